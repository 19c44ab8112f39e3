"""Decoding a whole file in order: for files without seeking, and for damaged ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import av
import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from llava_video.video.decoding import Receive
from llava_video.video.index import FrameIndex
from llava_video.video.opening import demux, make_decoder, open_video
from llava_video.video.start import position_of, stamp
from llava_video.video.webp import decode_webp

_BURST_PACKETS = 4
"""Packets before damage that count as damaged: decoders do not detect all of a burst."""


@dataclass(slots=True)
class Survey:
    """Result of decoding in order.

    Attributes:
        came: positions of packets whose frames are shown, in the order in which they came.
        damaged: positions of packets that do not decode, or to a damaged picture.
        intra: positions of packets that hold an intra picture.
    """

    came: list[int] = field(default_factory=list)
    damaged: set[int] = field(default_factory=set)
    intra: set[int] = field(default_factory=set)

    def is_complete(self, index: FrameIndex) -> bool:
        """Whether all frames came, none of them damaged."""
        return not self.damaged and len(set(self.came)) == index.num_frames

    def order_frames(self, index: FrameIndex) -> NDArray[np.int64]:
        """``(P,)`` index of the packet's frame, -1 where it shows none.

        By timestamps, unless those of an undamaged file contradict the order in which frames came.
        Without timestamps missing frames count where their packets lie.
        """
        came = np.array(list(dict.fromkeys(self.came)), np.int64)
        frames = index.packet_frames
        if index.has_timestamps and (self.damaged or np.all(np.diff(frames[came]) > 0)):
            return frames
        missing = np.setdiff1d(np.flatnonzero(frames >= 0), came)
        num_missing_before = np.maximum.accumulate(np.searchsorted(missing, came))
        frames = np.full(len(frames), -1, np.int64)
        frames[came] = np.arange(len(came)) + num_missing_before
        return frames

    def sound_frames(
        self, index: FrameIndex, packet_frames: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Indices of frames that came and do not build on damage, increasing.

        A picture may refer to any one before it back to a keyframe, so damage counts up to the next
        keyframe, and on to the pictures after that one in the file which are shown before it.

        Args:
            index: the video.
            packet_frames: from `order_frames`.
        """
        is_sound = np.zeros(len(packet_frames), np.bool_)
        is_sound[self.came] = True
        keyframes = np.array(
            [p for p in np.flatnonzero(index.is_keyframe) if p in self.intra], np.int64
        )
        for packet in self.damaged:
            place = int(np.searchsorted(keyframes, packet, side="right"))
            stop = int(keyframes[place]) if place < len(keyframes) else len(is_sound)
            end = int(keyframes[place + 1]) if place + 1 < len(keyframes) else len(is_sound)
            is_sound[max(packet - _BURST_PACKETS, 0) : stop] = False
            if stop < len(is_sound):
                leads = packet_frames[stop:end] < packet_frames[stop]
                is_sound[stop:end][leads] = False
        frames = packet_frames[is_sound]
        return np.sort(frames[frames >= 0])


def decode_in_order(
    index: FrameIndex,
    targets: set[int],
    receive: Receive,
    packet_frames: NDArray[np.int64] | None = None,
) -> Survey:
    """Decode the whole file in order and pass the wanted frames on, damaged ones included.

    Args:
        index: the video.
        targets: indices of wanted frames.
        receive: is called with them.
        packet_frames: index of each packet's frame, from a survey before; by default the frames are
            those of the index where it has timestamps, and counted as they come where not.

    Returns:
        Which frames came and which packets are damaged.
    """
    survey = Survey()
    if packet_frames is None and index.has_timestamps:
        packet_frames = index.packet_frames
    for position, frame in _decode_all(index, survey.damaged):
        if not 0 <= position < len(index.packet_frames) or index.packet_frames[position] < 0:
            continue
        frame_index = len(survey.came) if packet_frames is None else int(packet_frames[position])
        survey.came.append(position)
        if frame.is_corrupt:
            survey.damaged.add(position)
        if frame.key_frame:
            survey.intra.add(position)
        if frame_index in targets:
            receive(frame_index, frame)
    return survey


def first_frame(index: FrameIndex) -> VideoFrame | None:
    """The first frame that decodes."""
    return next((frame for _, frame in _decode_all(index, set())), None)


def _decode_all(index: FrameIndex, damaged: set[int]) -> Iterator[tuple[int, VideoFrame]]:
    """Frames in the order they come, with the position of their packet; collects damage."""
    if index.codec == "webp":
        yield from enumerate(decode_webp(index.file))
        return
    damaged.update(np.flatnonzero(index.is_damaged).tolist())
    with open_video(index.file) as (container, stream):
        codec = make_decoder(stream)
        codec.thread_count = 1  # with more, errors are reported at other packets
        packets = demux(container, stream)
        for position in range(len(index.packet_frames)):
            try:
                packet = next(packets)
            except (av.FFmpegError, StopIteration):  # the index has this warning already
                break
            stamp(packet, position)
            try:
                frames = codec.decode(packet)
            except av.FFmpegError:
                damaged.add(position)
                continue
            yield from ((position_of(frame), frame) for frame in frames)
        yield from ((position_of(frame), frame) for frame in _decode_last(codec))


def _decode_last(codec: VideoCodecContext) -> list[VideoFrame]:
    try:
        return codec.decode(None)
    except av.FFmpegError:
        return []
