"""Getting the pictures of some frames out of a file while decoding as little as possible."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import av
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from llava_video.video.index import FrameIndex
from llava_video.video.opening import open_video

Receive = Callable[[int, VideoFrame], None]
"""Called with the index of a wanted frame and the decoded frame; from several threads."""

# Decoders of FFmpeg's own that leave out frames nobody refers to when asked, frame by frame.
# libdav1d takes that wish only once, when it is opened, and loses frames.
_SKIPS_NON_REFERENCE = {"h264", "hevc"}

# Codecs whose keyframe marks can be trusted: decoding from there equals decoding in order. Not gif
# and apng, whose pictures are drawn over earlier ones.
_SEEKABLE = {
    "h264", "hevc", "vp8", "vp9", "av1", "mpeg4", "mpeg2video", "mpeg1video", "theora", "mjpeg",
    "prores", "dnxhd", "ffv1", "h263", "flv1", "wmv1", "wmv2", "wmv3", "vc1", "msmpeg4v3",
}  # fmt: skip

_SEEK_GAP_PACKETS = 64
"""Reading over so many packets costs about as much as one seek."""


@dataclass(frozen=True, slots=True)
class Run:
    """Packets ``start`` to ``stop`` (exclusive), decoded in a row from a keyframe, for targets."""

    start: int
    stop: int
    targets: frozenset[int]


class DecodingUnsoundError(Exception):
    """The fast way met something unexpected; the file has to be decoded in order."""


def plan_runs(index: FrameIndex, targets: Sequence[int]) -> list[Run]:
    """Group wanted frames by the keyframe that decoding has to start from.

    Args:
        index: the video.
        targets: indices of wanted frames.

    Returns:
        Runs in file order that do not overlap.
    """
    packet_of_frame = np.full(index.num_frames, -1, np.int64)
    shown = np.flatnonzero(index.packet_frames >= 0)
    packet_of_frame[index.packet_frames[shown]] = shown
    keyframes = np.flatnonzero(index.is_keyframe)
    runs: list[Run] = []
    for packet in sorted(packet_of_frame[t] for t in set(targets)):
        frame = int(index.packet_frames[packet])
        place = int(np.searchsorted(keyframes, packet, side="right")) - 1
        # Pictures shown before the keyframe they follow in the file refer to the group before it.
        while place > 0 and index.packet_pts[keyframes[place]] > index.packet_pts[packet]:
            place -= 1
        start = int(keyframes[max(place, 0)])
        if runs and start < runs[-1].stop:
            last = runs.pop()
            start, wanted = last.start, last.targets | {frame}
        else:
            wanted = frozenset({frame})
        runs.append(Run(start, int(packet) + 1, wanted))
    return runs


def can_seek(index: FrameIndex) -> bool:
    """Whether frames can be found by their ticks after a jump into the file."""
    return (
        index.has_timestamps
        and index.codec in _SEEKABLE
        and bool(np.all(np.diff(index.packet_dts) > 0))
        and bool(index.is_keyframe.any())
    )


def decode_runs(index: FrameIndex, runs: list[Run], receive: Receive) -> None:
    """Decode runs on all cores, each worker with a container of its own.

    Raises:
        DecodingUnsoundError: a jump landed elsewhere, a packet did not decode, or a wanted frame
            did not come.
    """
    num_cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2
    num_workers = min(num_cpus, len(runs))
    shares = _share(runs, num_workers)
    stop = threading.Event()
    with ThreadPoolExecutor(num_workers) as pool:
        jobs = [
            pool.submit(_decode_share, index, share, receive, max(1, num_cpus // num_workers), stop)
            for share in shares
        ]
        for job in jobs:
            job.result()


def _share(runs: list[Run], num_workers: int) -> list[list[Run]]:
    """Cut a list of runs into contiguous shares of about equal numbers of packets."""
    ends = np.cumsum([run.stop - run.start for run in runs])
    owner = np.minimum((ends - 1) * num_workers // ends[-1], num_workers - 1)
    return [[r for r, o in zip(runs, owner, strict=True) if o == w] for w in range(num_workers)]


def _decode_share(
    index: FrameIndex, runs: list[Run], receive: Receive, num_threads: int, stop: threading.Event
) -> None:
    if not runs:
        return
    frame_of_pts = {int(p): i for i, p in enumerate(index.frame_pts)}
    with open_video(index.file) as (container, stream):
        codec = stream.codec_context
        codec.thread_count = num_threads
        codec.thread_type = "FRAME" if num_threads > 1 else "NONE"
        packets = _PacketReader(index, container, stream)
        may_skip = codec.codec.name in _SKIPS_NON_REFERENCE
        for run in runs:
            missing = set(run.targets)
            for position, packet in packets.read(run.start, run.stop):
                if stop.is_set():
                    return
                if may_skip:
                    is_target = int(index.packet_frames[position]) in run.targets
                    codec.skip_frame = "DEFAULT" if is_target else "NONREF"
                _keep(_decode(codec, packet), frame_of_pts, missing, receive)
            _keep(_decode(codec, None), frame_of_pts, missing, receive)
            codec.flush_buffers()
            if missing:
                stop.set()
                raise DecodingUnsoundError(f"frames {sorted(missing)} did not come")


def _decode(codec: VideoCodecContext, packet: Packet[VideoStream] | None) -> list[VideoFrame]:
    try:
        return codec.decode(packet)
    except av.FFmpegError as error:
        raise DecodingUnsoundError(str(error)) from error


def _keep(
    frames: list[VideoFrame], frame_of_pts: dict[int, int], missing: set[int], receive: Receive
) -> None:
    for frame in frames:
        position = frame_of_pts.get(frame.pts, -1) if frame.pts is not None else -1
        if position in missing:
            missing.remove(position)
            receive(position, frame)


class _PacketReader:
    """Reads packets by their position in the index, over a jump where that is shorter."""

    def __init__(self, index: FrameIndex, container: InputContainer, stream: VideoStream) -> None:
        self._index = index
        self._container = container
        self._stream = stream
        self._position_of_dts = {int(d): i for i, d in enumerate(index.packet_dts)}
        self._next = 0
        self._packets: Iterator[Packet[VideoStream]] = iter(container.demux(stream))

    def read(self, start: int, stop: int) -> Iterator[tuple[int, Packet[VideoStream]]]:
        """Packets ``start`` to ``stop`` (exclusive) with their positions."""
        if start < self._next or start - self._next > _SEEK_GAP_PACKETS:
            self._seek(start)
        while self._next < stop:
            packet = next(self._packets, None)
            if packet is None or packet.size == 0:
                raise DecodingUnsoundError("the file ended early")
            position = self._position_of_dts.get(packet.dts if packet.dts is not None else -1)
            if position is None or (position != self._next and self._next >= 0):
                raise DecodingUnsoundError("packets differ from the first reading")
            if position > start and self._next < 0:
                raise DecodingUnsoundError("a jump landed too late")
            self._next = position + 1
            if position >= start:
                yield position, packet

    def _seek(self, start: int) -> None:
        self._container.seek(int(self._index.packet_pts[start]), stream=self._stream)
        self._packets = iter(self._container.demux(self._stream))
        self._next = -1


def decode_in_order(index: FrameIndex, targets: set[int], receive: Receive) -> NDArray[np.int64]:
    """Decode the whole file in order and hand over the wanted frames.

    Returns:
        Indices of all frames that decoded, wanted or not, increasing.
    """
    frame_of_pts = {int(p): i for i, p in enumerate(index.frame_pts)}
    came: list[int] = []
    num_decoded = 0
    with open_video(index.file) as (container, stream):
        for frame in decode_tolerantly(container, stream):
            if index.has_timestamps:
                position = frame_of_pts.get(frame.pts, -1) if frame.pts is not None else -1
            else:
                position = num_decoded
            num_decoded += 1
            if 0 <= position < index.num_frames:
                came.append(position)
                if position in targets:
                    receive(position, frame)
    return np.unique(np.array(came, np.int64))


def decode_tolerantly(container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
    """All frames that decode, in the order they are shown; packets that do not are left out."""
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except av.FFmpegError:
            return
        if packet is None:
            return
        try:
            yield from packet.decode()
        except av.FFmpegError:
            continue
