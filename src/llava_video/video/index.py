"""Index of a video: positions and times of its frames, from packets, without decoding."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream
from numpy.typing import NDArray

from llava_video.errors import VideoError
from llava_video.video.opening import open_video

_FPS_WITHOUT_CLOCK = 25.0
"""Assumed for bare codec streams, which carry neither times nor a rate; FFmpeg assumes the same."""


@dataclass(frozen=True, slots=True, eq=False)
class FrameIndex:
    """Every packet of a video in file order, and every frame in presentation order.

    P counts packets, N frames. A packet holds one frame, or none that is shown.

    Attributes:
        file: the video.
        container: the container format, by FFmpeg's name.
        codec: the codec, by FFmpeg's name.
        decoder: the decoder, by FFmpeg's name.
        packet_pts: ``(P,)`` int64 presentation ticks, -1 repeated where the file has none.
        positions: position of a packet in the file by its presentation ticks or, where those
            are not unique, its decoding ticks; empty where neither are.
        positions_are_by_pts: which of the two.
        is_keyframe: ``(P,)`` bool, decoding may start here.
        packet_frames: ``(P,)`` int64 index of the packet's frame, -1 where it shows none.
        times_seconds: ``(N,)`` float64 when each frame appears, from the first one.
        frame_pts: ``(N,)`` int64 presentation ticks.
        has_timestamps: whether presentation ticks exist and are unique.
        average_fps: frames per second.
        duration_seconds: from the first frame's appearance to the last one's end.
        is_variable_rate: whether the frames are not evenly spaced in time.
        sample_aspect_ratio: width of a stored pixel divided by its height.
        warnings: what is wrong with the file.
    """

    file: Path
    container: str
    codec: str
    decoder: str
    packet_pts: NDArray[np.int64]
    positions: dict[int, int]
    positions_are_by_pts: bool
    is_keyframe: NDArray[np.bool_]
    packet_frames: NDArray[np.int64]
    frame_pts: NDArray[np.int64]
    times_seconds: NDArray[np.float64]
    has_timestamps: bool
    average_fps: float
    duration_seconds: float
    is_variable_rate: bool
    sample_aspect_ratio: float
    warnings: tuple[str, ...]

    def find_packet(self, packet: Packet[VideoStream]) -> int:
        """Position of a packet in the file; -1 if there is none like it."""
        tick = packet.pts if self.positions_are_by_pts else packet.dts
        return -1 if tick is None else self.positions.get(tick, -1)

    @property
    def num_frames(self) -> int:
        """Frames that are shown."""
        return len(self.times_seconds)


@dataclass(slots=True)
class _Packets:
    """Columns of a packet table while it is being read."""

    pts: list[int | None]
    dts: list[int | None]
    keyframes: list[bool]
    shown: list[bool]
    last_duration: int = 0
    warnings: tuple[str, ...] = ()


def index_video(file: Path) -> FrameIndex:
    """Read all packets of a file's video stream once, without decoding.

    The index of an unchanged file is cached, for callers that read it clip by clip.

    Raises:
        VideoError: the file is not a video, or has no picture.
    """
    status = file.stat()
    return _index_version(file, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=32)  # more than are read at a time
def _index_version(file: Path, _size: int, _mtime_ns: int) -> FrameIndex:
    with open_video(file) as (container, stream):
        packets = _read_packets(container, stream)
        _forget_before_first_keyframe(packets)
        num_frames = sum(packets.shown)
        if num_frames == 0:
            raise VideoError(f"{file}: holds no picture; record or download it again")
        shown_pts = [p for p, shown in zip(packets.pts, packets.shown, strict=True) if shown]
        known_pts = [p for p in shown_pts if p is not None]
        has_timestamps = len(set(known_pts)) == num_frames and not (
            container.format.name == "avi" and stream.codec_context.has_b_frames
        )  # avi numbers frames in decoding order only
        packet_pts = np.array([-1 if p is None else p for p in packets.pts], np.int64)
        shown = np.array(packets.shown, np.bool_)
        packet_frames = np.full(len(shown), -1, np.int64)
        order = np.flatnonzero(shown)
        if has_timestamps:
            order = order[np.argsort(packet_pts[order], kind="stable")]
        packet_frames[order] = np.arange(num_frames)
        frame_pts = packet_pts[order]
        rates = [r for r in (stream.average_rate, stream.guessed_rate, stream.base_rate) if r]
        times, fps, duration, is_variable = _clock(
            frame_pts if len(known_pts) == num_frames else None,
            num_frames,
            float(stream.time_base or 0) or 1.0,
            [float(rate) for rate in rates],
            packets.last_duration,
        )
        by_pts = _positions(packets.pts)
        return FrameIndex(
            file=file,
            container=container.format.name,
            codec=stream.codec_context.codec.canonical_name,
            decoder=stream.codec_context.codec.name,
            packet_pts=packet_pts,
            positions=by_pts or _positions(packets.dts),
            positions_are_by_pts=bool(by_pts),
            is_keyframe=np.array(packets.keyframes, np.bool_),
            packet_frames=packet_frames,
            frame_pts=frame_pts,
            times_seconds=times,
            has_timestamps=has_timestamps,
            average_fps=fps,
            duration_seconds=duration,
            is_variable_rate=is_variable,
            sample_aspect_ratio=float(stream.sample_aspect_ratio or 1),
            warnings=packets.warnings,
        )


def _read_packets(container: InputContainer, stream: VideoStream) -> _Packets:
    table = _Packets([], [], [], [])
    shows_frame = _FRAME_TESTS.get(stream.codec_context.codec.canonical_name)
    try:
        for packet in container.demux(stream):
            if packet.size == 0:
                continue
            table.pts.append(packet.pts)
            table.dts.append(packet.dts)
            table.keyframes.append(packet.is_keyframe)
            is_shown = shows_frame is None or shows_frame(packet)
            table.shown.append(is_shown and not packet.is_discard)
            table.last_duration = packet.duration or table.last_duration
    except av.FFmpegError as error:
        table.warnings = (f"reading stopped after {len(table.pts)} packets: {error.strerror}",)
    return table


def _forget_before_first_keyframe(packets: _Packets) -> None:
    """A stream cut out of a longer one may start between keyframes, where nothing decodes."""
    if True in packets.keyframes:
        first = packets.keyframes.index(True)
        packets.shown[:first] = [False] * first


def _positions(ticks: list[int | None]) -> dict[int, int]:
    positions = {tick: position for position, tick in enumerate(ticks) if tick is not None}
    return positions if len(positions) == len(ticks) else {}


def _clock(
    frame_pts: NDArray[np.int64] | None,
    num_frames: int,
    tick_seconds: float,
    claimed_fps: list[float],
    last_duration_ticks: int,
) -> tuple[NDArray[np.float64], float, float, bool]:
    """Times, rate, duration, and whether the rate varies.

    A rate is constant where counted times and ticks agree within the rounding of ticks; times are
    then counted, as in the official implementation.
    """
    if frame_pts is None:
        fps = claimed_fps[0] if claimed_fps else _FPS_WITHOUT_CLOCK
        return np.arange(num_frames) / fps, fps, num_frames / fps, False
    ticks = np.sort(frame_pts) - frame_pts.min()
    times = ticks * tick_seconds
    counted = np.arange(num_frames)
    span_seconds = float(times[-1])
    candidates = [*claimed_fps]
    if span_seconds > 0:
        candidates.append((num_frames - 1) / span_seconds)
    tolerance_seconds = max(1.5 * tick_seconds, 1e-3)
    for fps in candidates:
        if np.all(np.abs(times - counted / fps) <= tolerance_seconds):
            return counted / fps, fps, num_frames / fps, False
    mean_seconds = span_seconds / max(num_frames - 1, 1)
    duration = span_seconds + (last_duration_ticks * tick_seconds or mean_seconds)
    return times, num_frames / duration, duration, True


def _vp8_shows(packet: Packet[VideoStream]) -> bool:
    return bool(memoryview(packet)[0] & 0x10)


def _vp9_shows(packet: Packet[VideoStream]) -> bool:
    data = memoryview(packet)
    if data[-1] & 0xE0 == 0xC0:  # a superframe bundles hidden frames with the one that is shown
        return True
    first = data[0]
    is_profile_3 = first & 0x30 == 0x30
    shows_existing = first & (0x04 if is_profile_3 else 0x08)
    shows_new = first & (0x01 if is_profile_3 else 0x02)
    return bool(shows_existing or shows_new)


# Codecs whose packets may hold a reference picture that is never shown.
_FRAME_TESTS = {"vp8": _vp8_shows, "vp9": _vp9_shows}
