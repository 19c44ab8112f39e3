"""Decodes the wanted frames of a file, and as few others as possible."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import PictureType, VideoFrame
from av.video.stream import VideoStream

from llava_video.video.index import FrameIndex
from llava_video.video.opening import demux, make_decoder, open_video
from llava_video.video.planning import Run, cut, num_packets
from llava_video.video.start import position_of, stamp

Receive = Callable[[int, VideoFrame], None]
"""Called with the index of a wanted frame and the decoded frame; from several threads."""

# Decoders of FFmpeg that can skip non-reference frames, frame by frame.
# libdav1d takes that option only when it is opened, and loses frames.
_SKIPS_NON_REFERENCE = {"h264", "hevc"}

_INTRA = (PictureType.I, PictureType.SI, PictureType.BI)

_SEEK_GAP_PACKETS = 64
"""Reading this many packets costs about as much as one seek."""

_PIECES_PER_WORKER = 4
"""More pieces balance the load; each may cost a seek."""

_EVEN = 1.25
"""With a longest piece of up to this many fair shares, workers use decoders of one thread."""


class UnsoundError(Exception):
    """Decoding after seeks failed; the file has to be decoded in order."""


def count_cpus() -> int:
    """Processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def decode_runs(index: FrameIndex, runs: list[Run], receive: Receive) -> None:
    """Decode runs on all processors: several workers, each with a container of its own.

    Raises:
        UnsoundError: a seek landed elsewhere, a run does not start with an intra picture, a packet
            did not decode without damage, frames came in another order than that of their
            timestamps, or a wanted one is missing. What was received until then may be wrong.
    """
    num_cpus = count_cpus()
    pieces = deque(cut(runs, _PIECES_PER_WORKER * num_cpus))
    num_workers = min(num_cpus, len(pieces))
    longest = max(num_packets(piece) for piece in pieces)
    is_even = longest * num_workers <= _EVEN * num_packets(runs) and num_workers == num_cpus
    num_threads = 1 if is_even else num_cpus

    def work() -> None:
        with open_video(index.file) as (container, stream):
            decoder = _RunDecoder(index, container, stream, receive, num_threads)
            while pieces:
                try:
                    piece = pieces.popleft()
                except IndexError:  # another worker was faster
                    return
                for run in piece:
                    decoder.decode(run)

    with ThreadPoolExecutor(num_workers) as pool:
        jobs = [pool.submit(work) for _ in range(num_workers)]
        try:
            for job in jobs:
                job.result()
        finally:
            pieces.clear()


class _RunDecoder:
    """One worker: reads packets by their position in the index and decodes runs of them."""

    def __init__(
        self,
        index: FrameIndex,
        container: InputContainer,
        stream: VideoStream,
        receive: Receive,
        num_threads: int,
    ) -> None:
        self._index = index
        self._container = container
        self._stream = stream
        self._receive = receive
        self._codec = make_decoder(stream)
        self._codec.thread_count = num_threads
        self._codec.thread_type = "FRAME" if num_threads > 1 else "SLICE"
        # What is skipped cannot show that the order is another one.
        self._may_skip = index.decoder in _SKIPS_NON_REFERENCE and not index.order_is_doubtful
        self._next = 0
        self._packets = demux(container, stream)

    def decode(self, run: Run) -> None:
        """Decode one run and pass its targets on."""
        coming = _Coming(self._index, run)
        for position, packet in self._read(run.start, run.stop):
            if self._may_skip:
                is_target = int(self._index.packet_frames[position]) in run.targets
                self._codec.skip_frame = "DEFAULT" if is_target else "NONREF"
            stamp(packet, position)
            self._hand_over(packet, coming)
        self._hand_over(None, coming)
        self._codec.flush_buffers()
        coming.check_end()

    def _hand_over(self, packet: Packet[VideoStream] | None, coming: _Coming) -> None:
        try:
            frames = self._codec.decode(packet)
        except av.FFmpegError as error:
            raise UnsoundError("a packet does not decode") from error
        for frame in frames:
            target = coming.check(frame)
            if target is not None:
                self._receive(target, frame)

    def _read(self, start: int, stop: int) -> Iterator[tuple[int, Packet[VideoStream]]]:
        if not 0 <= start - self._next <= _SEEK_GAP_PACKETS:
            self._container.seek(int(self._index.packet_pts[start]), stream=self._stream)
            self._packets = demux(self._container, self._stream)
            self._next = -1
        while self._next < stop:
            try:
                packet = next(self._packets, None)
            except av.FFmpegError as error:
                raise UnsoundError("the file does not read on") from error
            if packet is None:
                raise UnsoundError("the file ended early")
            position = self._index.find_packet(packet)
            landed_well = position <= start if self._next < 0 else position == self._next
            if position < 0 or not landed_well:
                raise UnsoundError("packets differ from the first reading")
            if self._index.is_damaged[position]:
                raise UnsoundError("a packet was damaged in transport")
            self._next = position + 1
            if position >= start:
                yield position, packet


class _Coming:
    """Checks the frames that come from one run."""

    def __init__(self, index: FrameIndex, run: Run) -> None:
        self._frames = index.packet_frames
        self._start = run.start
        self._missing = set(run.targets)
        self._has_start = index.packet_frames[run.start] < 0  # which does not come then
        self._last = -1

    def check(self, frame: VideoFrame) -> int | None:
        """The wanted frame that this is, or None."""
        position = position_of(frame)
        index = int(self._frames[position])
        if frame.is_corrupt or position < 0:
            raise UnsoundError("a packet decodes to a damaged picture")
        if position == self._start:
            self._has_start = True
            if not (frame.key_frame and frame.pict_type in _INTRA):
                raise UnsoundError("a keyframe refers to other pictures")
        if index < 0:
            return None
        if index < self._last:
            raise UnsoundError("frames come in another order than that of their timestamps")
        self._last = index
        if index not in self._missing:
            return None
        self._missing.remove(index)
        return index

    def check_end(self) -> None:
        """All that was wanted has come."""
        if self._missing or not self._has_start:
            raise UnsoundError(f"{len(self._missing)} wanted frames did not come")
