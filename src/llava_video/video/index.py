"""Index of a video: positions and times of its frames, from its packets and first pictures."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream
from numpy.typing import NDArray

from llava_video.errors import VideoError
from llava_video.video.clock import Clock, join_clocks, measure_clock
from llava_video.video.crop import read_crop
from llava_video.video.opening import demux, make_decoder, open_video
from llava_video.video.picture import UPRIGHT, Display, Orientation
from llava_video.video.start import NUM_PACKETS, look_at_start, may_tell_orientation
from llava_video.video.webp import is_webp, read_durations

_CLOCK_MAY_JUMP_AHEAD = {"mpegts", "mpeg"}

_BARE = {"h264", "hevc", "vvc", "m4v", "mpegvideo", "h263", "vc1", "obu"}
"""Bare streams of a codec, whose ticks FFmpeg makes up; the codec's headers tell the rate."""

_JOINT_PACKETS = 2
"""Where streams were joined, FFmpeg tells a transport error so many packets before the joint."""

_WIDEST_PIXEL = 8.0
"""Pixels that are wider than this, or as much higher than wide, are an error of the file."""

_LIMITED_UNLESS_TAGGED = {"h264", "hevc", "av1", "vp9"}


@dataclass(frozen=True, slots=True, eq=False)
class FrameIndex:
    """Every packet of a video in file order, and every frame in presentation order.

    P counts packets, N frames. A packet holds one frame, or none that is shown.

    Attributes:
        file: the video.
        container: the container format, by FFmpeg's name.
        codec: the codec, by FFmpeg's name.
        decoder: the decoder, by FFmpeg's name.
        packet_pts: ``(P,)`` int64 presentation ticks of the file, -1 repeated where it has none.
        packet_sizes: ``(P,)`` int64 bytes of each packet.
        positions: position of a packet in the file by its presentation ticks or, where those
            are not unique, its decoding ticks; empty where neither are.
        positions_are_by_pts: which of the two.
        is_keyframe: ``(P,)`` bool, the container claims that decoding may start here.
        is_damaged: ``(P,)`` bool, lost in transport in part.
        packet_frames: ``(P,)`` int64 index of the packet's frame, -1 where it shows none; in file
            order without timestamps.
        has_timestamps: whether presentation ticks exist, are unique and were not found to be
            decoding times.
        order_is_doubtful: whether the ticks may still be decoding times: they rise from packet
            to packet, and the codec may present frames in another order.
        clock: times of the frames.
        display: how stored pictures are shown.
        warnings: what is wrong with the file.
    """

    file: Path
    container: str
    codec: str
    decoder: str
    packet_pts: NDArray[np.int64]
    packet_sizes: NDArray[np.int64]
    positions: dict[int, int]
    positions_are_by_pts: bool
    is_keyframe: NDArray[np.bool_]
    is_damaged: NDArray[np.bool_]
    packet_frames: NDArray[np.int64]
    has_timestamps: bool
    order_is_doubtful: bool
    clock: Clock
    display: Display
    warnings: tuple[str, ...]

    def find_packet(self, packet: Packet[VideoStream]) -> int:
        """Position of a packet in the file; -1 if there is none like it."""
        tick = packet.pts if self.positions_are_by_pts else packet.dts
        position = -1 if tick is None else self.positions.get(tick, -1)
        return position if position >= 0 and self.packet_sizes[position] == packet.size else -1

    @property
    def num_frames(self) -> int:
        """Frames that are shown."""
        return len(self.clock.times_seconds)


@dataclass(slots=True)
class _Packets:
    """Columns of a packet table while it is being read, and the first packets that decode."""

    pts: list[int | None] = field(default_factory=list)
    dts: list[int | None] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    durations: list[int] = field(default_factory=list)
    keyframes: list[bool] = field(default_factory=list)
    shown: list[bool] = field(default_factory=list)
    corrupt: list[bool] = field(default_factory=list)
    first: list[tuple[int, Packet[VideoStream]]] = field(default_factory=list)
    warnings: tuple[str, ...] = ()


def index_video(file: Path) -> FrameIndex:
    """Read all packets of a file's video stream once, and decode what its first pictures need.

    The index of an unchanged file is cached, for callers that read it clip by clip.

    Raises:
        VideoError: the file is not a video, is encrypted, or has no picture.
    """
    status = file.stat()
    return _index_version(file, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=32)  # more than are read at a time
def _index_version(file: Path, _size: int, _mtime_ns: int) -> FrameIndex:
    if is_webp(file):
        return _index_webp(file)
    with open_video(file) as (container, stream):
        packets = _read_packets(file, container, stream)
        decoder = make_decoder(stream)
        pts, is_joined = _on_one_clock(packets, container.format.name, _tick_seconds(stream))
        shown = np.array(packets.shown, np.bool_)
        has_timestamps = pts is not None and len(np.unique(pts[shown])) == int(shown.sum())
        if container.format.name == "avi" and decoder.has_b_frames:
            has_timestamps = False  # avi numbers frames in decoding order only
        is_doubtful = bool(decoder.has_b_frames and has_timestamps and _rises(pts, shown))
        start = look_at_start(
            decoder,
            _packets_to_look_at(
                packets, decoder.name, None if is_doubtful or not has_timestamps else pts
            ),
        )
        if is_doubtful and start.is_reordered:
            has_timestamps = is_doubtful = False
        shown[list(start.missing)] = False
        order = np.flatnonzero(shown)
        if len(order) == 0:
            raise VideoError(f"{file}: holds no picture; record or download it again")
        if has_timestamps and pts is not None:
            order = order[np.argsort(pts[order], kind="stable")]
        packet_frames = np.full(len(shown), -1, np.int64)
        packet_frames[order] = np.arange(len(order))
        ticks = pts
        last = shown
        if not has_timestamps and not is_joined and _are_increasing(packets.dts):
            # Frames are as far apart as decoding ticks; the first of them are those of leading
            # pictures, which are not shown.
            ticks = _filled(packets.dts)
            last = np.arange(len(shown)) >= len(shown) - len(order)
        display, remarks = _find_display(file, container, stream, start.orientation)
        by_pts = _positions(packets.pts)
        return FrameIndex(
            file=file,
            container=container.format.name,
            codec=stream.codec_context.codec.canonical_name,
            decoder=decoder.name,
            packet_pts=np.array([-1 if p is None else p for p in packets.pts], np.int64),
            packet_sizes=np.array(packets.sizes, np.int64),
            positions={} if is_joined else by_pts or _positions(packets.dts),
            positions_are_by_pts=bool(by_pts),
            is_keyframe=np.array(packets.keyframes, np.bool_),
            is_damaged=_damaged_in_transport(packets),
            packet_frames=packet_frames,
            has_timestamps=has_timestamps,
            order_is_doubtful=is_doubtful,
            clock=_clock(ticks, last, packets, container, stream),
            display=display,
            warnings=packets.warnings + remarks,
        )


def _read_packets(file: Path, container: InputContainer, stream: VideoStream) -> _Packets:
    table = _Packets()
    shows_frame = _FRAME_TESTS.get(stream.codec_context.codec.canonical_name)
    try:
        for packet in demux(container, stream):
            if packet.has_sidedata("encryption_info"):
                raise VideoError(f"{file}: is encrypted; read a copy without copy protection")
            table.pts.append(packet.pts)
            table.dts.append(packet.dts)
            table.sizes.append(packet.size)
            table.durations.append(packet.duration or 0)
            table.keyframes.append(packet.is_keyframe)
            table.corrupt.append(packet.is_corrupt)
            is_shown = shows_frame is None or shows_frame(packet)
            table.shown.append(is_shown and not packet.is_discard)
            if len(table.first) < NUM_PACKETS and (table.first or packet.is_keyframe):
                table.first.append((len(table.pts) - 1, packet))
    except av.FFmpegError as error:
        if container.format.name != "mpjpeg":  # which ends where a next header should be
            table.warnings = (f"reading stopped after {len(table.pts)} packets: {error.strerror}",)
    if table.first:
        # A stream cut out of a longer one may start between keyframes, where nothing decodes.
        table.shown[: table.first[0][0]] = [False] * table.first[0][0]
    return table


def _on_one_clock(
    packets: _Packets, container: str, tick_seconds: float
) -> tuple[NDArray[np.int64] | None, bool]:
    """Presentation ticks of all packets on one clock, None if any lacks them; whether joined."""
    if any(p is None and shown for p, shown in zip(packets.pts, packets.shown, strict=True)):
        return None, False
    pts = _filled(packets.pts)
    if all(tick is None for tick in packets.dts):
        return pts, False
    return join_clocks(
        pts,
        _filled(packets.dts),
        np.array(packets.durations, np.int64),
        tick_seconds,
        may_jump_ahead=container in _CLOCK_MAY_JUMP_AHEAD,
    )


def _filled(ticks: list[int | None]) -> NDArray[np.int64]:
    """Ticks, each missing one as the one before it, or as the first."""
    last = next((tick for tick in ticks if tick is not None), 0)
    filled = []
    for tick in ticks:
        last = last if tick is None else tick
        filled.append(last)
    return np.array(filled, np.int64)


def _are_increasing(ticks: list[int | None]) -> bool:
    known = [tick for tick in ticks if tick is not None]
    return len(known) == len(ticks) and all(a < b for a, b in pairwise(known))


def _rises(pts: NDArray[np.int64] | None, shown: NDArray[np.bool_]) -> bool:
    return pts is not None and bool(np.all(np.diff(pts[shown]) > 0))


def _packets_to_look_at(
    packets: _Packets, decoder: str, pts: NDArray[np.int64] | None
) -> list[tuple[int, Packet[VideoStream]]]:
    """The first packets to decode: as few as tell what is not known.

    Args:
        packets: all of them.
        decoder: by FFmpeg's name.
        pts: presentation ticks; None where the order has to be found.
    """
    if pts is None or not packets.first:
        return packets.first
    keyframe = packets.first[0][0]
    num_leading = sum(pts[position] < pts[keyframe] for position, _ in packets.first)
    if num_leading or may_tell_orientation(packets.first[0][1], decoder):
        return packets.first[: num_leading + 1]
    return []


def _damaged_in_transport(packets: _Packets) -> NDArray[np.bool_]:
    """Packets with a transport error, other than those where streams were joined at a keyframe."""
    is_damaged = np.array(packets.corrupt, np.bool_)
    is_damaged[:-_JOINT_PACKETS] &= ~np.array(packets.keyframes[_JOINT_PACKETS:], np.bool_)
    return is_damaged


def _positions(ticks: list[int | None]) -> dict[int, int]:
    positions = {tick: position for position, tick in enumerate(ticks) if tick is not None}
    return positions if len(positions) == len(ticks) else {}


def _clock(
    ticks: NDArray[np.int64] | None,
    shown: NDArray[np.bool_],
    packets: _Packets,
    container: InputContainer,
    stream: VideoStream,
) -> Clock:
    """The clock of frames whose packets bear ticks, where the container has any."""
    claimed = [stream.average_rate, stream.guessed_rate, stream.base_rate]
    if container.format.name in _BARE:
        claimed.insert(0, stream.codec_context.framerate)
        ticks = None
    order = np.flatnonzero(shown)
    if ticks is not None:
        order = order[np.argsort(ticks[order], kind="stable")]
    return measure_clock(
        None if ticks is None else ticks[order],
        np.array(packets.durations, np.int64)[order],
        _tick_seconds(stream),
        [float(rate) for rate in claimed if rate],
    )


def _tick_seconds(stream: VideoStream) -> float:
    return float(stream.time_base or 0) or 1.0


def _find_display(
    file: Path, container: InputContainer, stream: VideoStream, orientation: Orientation | None
) -> tuple[Display, tuple[str, ...]]:
    """How pictures are shown, and remarks on claims of the file that cannot be true."""
    codec = stream.codec_context
    claimed = [stream.sample_aspect_ratio, codec.sample_aspect_ratio]
    ratios = [float(ratio) for ratio in claimed if ratio]
    likely = [ratio for ratio in ratios if 1 / _WIDEST_PIXEL <= ratio <= _WIDEST_PIXEL]
    remarks: tuple[str, ...] = ()
    if ratios[:1] != likely[:1]:
        shape = "the codec's shape" if likely else "square"
        remarks = (f"says that pixels are {ratios[0]:g} times as wide as high; {shape} is taken",)
    display = Display(
        crop=read_crop(
            file,
            container.format.name,
            container.streams.video.index(stream),
            codec.height,
            codec.width,
        ),
        sample_aspect_ratio=likely[0] if likely else 1.0,
        orientation=orientation or UPRIGHT,
        untagged_grey_is_limited=codec.codec.canonical_name in _LIMITED_UNLESS_TAGGED,
    )
    return display, remarks


def _index_webp(file: Path) -> FrameIndex:
    durations, stopped = read_durations(file)
    num_frames = len(durations)
    milliseconds = np.array(durations, np.int64)
    pts = np.cumsum(milliseconds) - milliseconds
    return FrameIndex(
        file=file,
        container="webp",
        codec="webp",
        decoder="Pillow",
        packet_pts=pts,
        packet_sizes=np.zeros(num_frames, np.int64),
        positions={},
        positions_are_by_pts=True,
        is_keyframe=np.ones(num_frames, np.bool_),
        is_damaged=np.zeros(num_frames, np.bool_),
        packet_frames=np.arange(num_frames),
        has_timestamps=True,
        order_is_doubtful=False,
        clock=measure_clock(pts, milliseconds, 1e-3, []),
        display=Display(),
        warnings=(f"reading stopped after {num_frames} pictures: {stopped}",) if stopped else (),
    )


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
