"""What the first pictures of a stream show and its packets do not say.

Whether ticks that rise from packet to packet are the moments of decoding rather than of
presentation; which leading pictures of an open group lack the group before; how pictures lie.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import av
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from llava_video.video.picture import Orientation, orientation_of

NUM_PACKETS = 48
"""Packets that tell the order: some groups of reordered pictures."""

MOST_REORDERED_FRAMES = 16
"""Upper bound of reordering between file order and presentation order."""

_ORIENTATION_MESSAGE = re.compile(rb"\x2f[\x03-\x08]")
"""Number and size of the message of display orientation (H.264, D.1.27; H.265, D.2.17)."""

_MESSAGE_BYTES = 2048
"""Messages stand in front of the picture. Some other bytes found here cost one decoded picture."""


@dataclass(frozen=True, slots=True)
class Start:
    """What was found.

    Attributes:
        is_reordered: the decoder presents pictures in another order than that of their packets.
        missing: positions of leading packets whose pictures do not come.
        orientation: how the first picture lies; None where it does not say.
    """

    is_reordered: bool = False
    missing: frozenset[int] = frozenset()
    orientation: Orientation | None = None


def look_at_start(
    decoder: VideoCodecContext, packets: Sequence[tuple[int, Packet[VideoStream]]]
) -> Start:
    """Decode packets from a keyframe on.

    Args:
        decoder: of the stream, not used before.
        packets: positions in the file, and packets; a keyframe is the first.

    Returns:
        What was found; nothing where a packet is damaged.
    """
    decoder.thread_count = 1
    frames: list[VideoFrame] = []
    try:
        for position, packet in packets:
            stamp(packet, position)
            frames += decoder.decode(packet)
        frames += decoder.decode(None)
    except av.FFmpegError:
        return Start()
    if not frames or any(frame.is_corrupt for frame in frames):
        return Start()
    came = [position_of(frame) for frame in frames]
    leading = [position for position, _ in packets[:MOST_REORDERED_FRAMES]]
    return Start(
        is_reordered=any(later < earlier for earlier, later in pairwise(came)),
        missing=frozenset(leading).difference(came),
        orientation=orientation_of(frames[0]),
    )


def may_tell_orientation(packet: Packet[VideoStream], decoder: str) -> bool:
    """Whether a keyframe may say how it and all pictures after it lie."""
    if decoder not in ("h264", "hevc"):
        return False
    return _ORIENTATION_MESSAGE.search(bytes(packet)[:_MESSAGE_BYTES]) is not None


def stamp(packet: Packet[VideoStream], position: int) -> None:
    """Mark a packet with its position, which the frame decoded from it will carry.

    Ticks of the file do not identify packets: they may be missing, repeated or wrong.
    """
    packet.pts = packet.dts = position


def position_of(frame: VideoFrame) -> int:
    """Position of the packet that a frame was decoded from; -1 if the decoder does not say."""
    return -1 if frame.pts is None else frame.pts
