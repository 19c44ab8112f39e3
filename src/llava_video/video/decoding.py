"""Decodes the wanted frames of a file, and as few others as possible."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from llava_video.video.index import FrameIndex
from llava_video.video.opening import open_video
from llava_video.video.planning import Run, cut, num_packets

Receive = Callable[[int, VideoFrame], None]
"""Called with the index of a wanted frame and the decoded frame; from several threads."""

# Decoders of FFmpeg that can skip non-reference frames, frame by frame.
# libdav1d takes that option only when it is opened, and loses frames.
_SKIPS_NON_REFERENCE = {"h264", "hevc"}

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
        UnsoundError: a seek landed elsewhere, a packet did not decode without damage, or a wanted
            frame is missing. What was received until then may be wrong.
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
        self._codec = stream.codec_context
        self._codec.thread_count = num_threads
        self._codec.thread_type = "FRAME" if num_threads > 1 else "SLICE"
        self._may_skip = index.decoder in _SKIPS_NON_REFERENCE
        self._next = 0
        self._packets: Iterator[Packet[VideoStream]] = iter(container.demux(stream))

    def decode(self, run: Run) -> None:
        """Decode one run and pass its targets on."""
        targets = {int(self._index.frame_pts[t]): t for t in run.targets}
        for position, packet in self._read(run.start, run.stop):
            if self._may_skip:
                is_target = int(self._index.packet_frames[position]) in run.targets
                self._codec.skip_frame = "DEFAULT" if is_target else "NONREF"
            self._hand_over(packet, targets)
        self._hand_over(None, targets)
        self._codec.flush_buffers()
        if targets:
            raise UnsoundError(f"{len(targets)} wanted frames did not come")

    def _hand_over(self, packet: Packet[VideoStream] | None, targets: dict[int, int]) -> None:
        try:
            frames = self._codec.decode(packet)
        except av.FFmpegError as error:
            raise UnsoundError("a packet does not decode") from error
        for frame in frames:
            if frame.is_corrupt:
                raise UnsoundError("a packet decodes to a damaged picture")
            if frame.pts in targets:
                self._receive(targets.pop(frame.pts), frame)

    def _read(self, start: int, stop: int) -> Iterator[tuple[int, Packet[VideoStream]]]:
        if not 0 <= start - self._next <= _SEEK_GAP_PACKETS:
            self._container.seek(int(self._index.packet_pts[start]), stream=self._stream)
            self._packets = iter(self._container.demux(self._stream))
            self._next = -1
        while self._next < stop:
            try:
                packet = next(self._packets, None)
            except av.FFmpegError as error:
                raise UnsoundError("the file does not read on") from error
            if packet is None or packet.size == 0:
                raise UnsoundError("the file ended early")
            position = self._index.find_packet(packet)
            landed_well = position <= start if self._next < 0 else position == self._next
            if position < 0 or not landed_well or packet.is_corrupt:
                raise UnsoundError("packets differ from the first reading")
            self._next = position + 1
            if position >= start:
                yield position, packet
