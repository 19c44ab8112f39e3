"""Decoding a whole file in order: for files without seeking, and for damaged ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import av
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from llava_video.video.decoding import Receive
from llava_video.video.index import FrameIndex
from llava_video.video.opening import open_video
from llava_video.video.planning import packets_of_frames

_MOST_REORDERED_FRAMES = 16
"""Upper bound of reordering between file order and presentation order."""

_BURST_PACKETS = 4
"""Packets before damage that count as damaged: decoders do not detect all of a burst."""


@dataclass(slots=True)
class Survey:
    """Result of decoding in order.

    Attributes:
        decoded: indices of frames that came, in the order they came.
        damaged_packets: positions of packets that do not decode, or to a damaged picture.
    """

    decoded: list[int] = field(default_factory=list)
    damaged_packets: set[int] = field(default_factory=set)

    def sound_frames(self, index: FrameIndex) -> NDArray[np.int64]:
        """Indices of frames that came and do not build on damage, increasing.

        A picture may refer to any one before it back to a keyframe, so damage counts up to the next
        keyframe, and on to the pictures after that one in the file which are shown before it.
        Without timestamps packets are matched to frames by counting, which reordering shifts.
        """
        slack = 0 if index.has_timestamps else _MOST_REORDERED_FRAMES
        before = slack + _BURST_PACKETS
        is_sound = np.ones(len(index.packet_frames), np.bool_)
        keyframes = np.flatnonzero(index.is_keyframe)
        for packet in self.damaged_packets:
            place = int(np.searchsorted(keyframes, packet, side="right"))
            stop = int(keyframes[place]) if place < len(keyframes) else len(is_sound)
            end = int(keyframes[place + 1]) if place + 1 < len(keyframes) else len(is_sound)
            is_sound[max(packet - before, 0) : stop + slack] = False
            if stop < len(is_sound):
                leads = index.packet_pts[stop:end] < index.packet_pts[stop]
                is_sound[stop:end][leads] = False
        came = np.unique(np.array(self.decoded, np.int64))
        return came[is_sound[packets_of_frames(index)[came]]]


def decode_in_order(index: FrameIndex, targets: set[int], receive: Receive) -> Survey:
    """Decode the whole file in order and pass the wanted frames on, damaged ones included.

    Returns:
        Which frames came and which packets are damaged.
    """
    survey = Survey()
    frame_of_pts = {int(p): i for i, p in enumerate(index.frame_pts)}
    packet_of_frame = packets_of_frames(index)
    with open_video(index.file) as (container, stream):
        stream.codec_context.thread_count = 1  # with more, errors are reported at other packets
        for count, frame in enumerate(_decode_all(container, stream, survey.damaged_packets)):
            position = count
            if index.has_timestamps:
                position = frame_of_pts.get(frame.pts, -1) if frame.pts is not None else -1
            if not 0 <= position < index.num_frames:
                continue
            survey.decoded.append(position)
            if frame.is_corrupt:
                survey.damaged_packets.add(int(packet_of_frame[position]))
            if position in targets:
                receive(position, frame)
    return survey


def first_frame(index: FrameIndex) -> VideoFrame | None:
    """The first frame that decodes."""
    with open_video(index.file) as (container, stream):
        stream.codec_context.thread_count = 1
        return next(_decode_all(container, stream, set()), None)


def _decode_all(
    container: InputContainer, stream: VideoStream, damaged_packets: set[int]
) -> Iterator[VideoFrame]:
    packets = iter(container.demux(stream))
    position = -1
    while True:
        try:
            packet = next(packets, None)
        except av.FFmpegError:  # the index has this warning already
            packet = None
        if packet is None:
            yield from _decode_last(stream)
            return
        if packet.size == 0:
            continue
        position += 1
        if packet.is_corrupt:
            damaged_packets.add(position)
        try:
            frames = stream.codec_context.decode(packet)
        except av.FFmpegError:
            damaged_packets.add(position)
            continue
        yield from frames


def _decode_last(stream: VideoStream) -> list[VideoFrame]:
    try:
        return stream.codec_context.decode(None)
    except av.FFmpegError:
        return []
