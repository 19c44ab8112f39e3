"""The interface of this room: probe a video, choose frames, read their pictures."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass

import av
import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from llava_video.errors import InputError, VideoError
from llava_video.types import Frames
from llava_video.video import sampling
from llava_video.video.album import Album
from llava_video.video.decoding import UnsoundError, decode_runs
from llava_video.video.in_order import decode_in_order, first_frame
from llava_video.video.index import FrameIndex, index_video
from llava_video.video.opening import check_local_file
from llava_video.video.picture import Display, orientation_of
from llava_video.video.planning import can_seek, plan_runs

Warnings = tuple[str, ...]

_NOTHING_DECODES = "{file}: no picture of it decodes soundly; record or download it again"


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """Facts about a video file, found by reading all its packets and decoding its first picture.

    Attributes:
        path: the file.
        container: the container format, by FFmpeg's name.
        codec: the codec, by FFmpeg's name.
        width: columns of a picture as displayed: upright and with square pixels.
        height: rows of a picture as displayed.
        rotation_degrees: clockwise turn that makes the stored pictures upright: 0, 90, 180, 270.
        num_frames: pictures in the file, counted; the container's claim is not used.
        average_fps: pictures per second.
        duration_seconds: from the first picture's appearance to the last one's end.
        is_variable_rate: whether the pictures are not evenly spaced in time.
        warnings: what is wrong with the file, one sentence each; empty if nothing is.
        is_mirrored: whether left and right of stored pictures are exchanged before that turn.
    """

    path: str
    container: str
    codec: str
    width: int
    height: int
    rotation_degrees: int
    num_frames: int
    average_fps: float
    duration_seconds: float
    is_variable_rate: bool
    warnings: tuple[str, ...] = ()
    is_mirrored: bool = False


@dataclass(frozen=True, slots=True)
class _Request:
    num_frames: int | None
    fps: float | None
    max_frames: int | None
    start_seconds: float
    end_seconds: float | None
    at_seconds: tuple[float, ...] | None = None


def probe_video(path: str | os.PathLike[str]) -> VideoInfo:
    """Facts about a video file: counted frames, true duration, displayed size.

    Args:
        path: a local file.

    Raises:
        VideoError: the file cannot be read as a video; one line naming it and what to do.
    """
    index = index_video(check_local_file(path))
    frame = first_frame(index)
    if frame is None:
        raise VideoError(_NOTHING_DECODES.format(file=index.file))
    height, width = index.display.size(frame)
    orientation = orientation_of(frame) or index.display.orientation
    return VideoInfo(
        path=os.fspath(path),
        container=index.container,
        codec=index.codec,
        width=width,
        height=height,
        rotation_degrees=orientation.quarter_turns_clockwise * 90,
        num_frames=index.num_frames,
        average_fps=index.clock.average_fps,
        duration_seconds=index.clock.duration_seconds,
        is_variable_rate=index.clock.is_variable_rate,
        warnings=index.warnings,
        is_mirrored=orientation.is_mirrored,
    )


def read_video(
    path: str | os.PathLike[str],
    *,
    num_frames: int | None = None,
    fps: float | None = None,
    max_frames: int | None = None,
    size: int | tuple[int, int] | None = None,
    start_seconds: float = 0.0,
    end_seconds: float | None = None,
    at_seconds: Sequence[float] | None = None,
    exact_resize: bool = False,
) -> Frames:
    """Sample pictures from a video, as the official implementation samples them.

    Either ``num_frames``, spread from the first frame to the last, or one frame every ``1 / fps``
    seconds, at most ``max_frames``, beyond which they are spread too. With neither, 64 frames are
    spread, the setting of the released checkpoints.

    Args:
        path: a local file.
        num_frames: how many frames; they repeat where the video has fewer.
        fps: frames per second to take.
        max_frames: the most frames to take with ``fps``.
        size: ``(height, width)`` to resize pictures to, or the side of a square; None keeps theirs.
        start_seconds: take frames that appear from here on.
        end_seconds: take frames that appear before this; None for the end.
        at_seconds: take the frames on screen at these moments instead, which never decrease.
        exact_resize: resize bit-equal to PIL's bicubic filter rather than within one level of it.

    Raises:
        InputError: the request contradicts itself or lies outside the video.
        VideoError: the file cannot be read as a video.
    """
    name = os.fspath(path)
    moments = None if at_seconds is None else tuple(at_seconds)
    request = _Request(num_frames, fps, max_frames, start_seconds, end_seconds, moments)
    shape = _check_size(name, size)
    index = _index_for(name, request)
    with Album(index.display, shape, exact_resize=exact_resize) as album:
        try:
            wanted, warnings = _fill(album, index, request)
            pixels, sizes_differ = album.take(wanted)
        except av.FFmpegError as error:
            raise VideoError(
                f"{name}: its pictures cannot be turned into RGB ({error.strerror}); "
                "convert it to h264 with ffmpeg"
            ) from error
    if sizes_differ:
        warnings += ("the picture size changes on the way; all are resized to the first one's",)
    return Frames(
        pixels=pixels,
        timestamps_seconds=index.clock.times_seconds[wanted],
        indices=wanted,
        duration_seconds=index.clock.duration_seconds,
        source=name,
        warnings=index.warnings + warnings,
    )


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """What `read_video` takes from a file, without the pictures.

    Attributes:
        indices: ``(T,)`` int64, as of `Frames`.
        timestamps_seconds: ``(T,)`` float64, as of `Frames`.
        duration_seconds: length of the whole video.
        height: rows of a picture as displayed.
        width: columns of a picture as displayed.
        warnings: what is wrong with the file, one sentence each.
    """

    indices: NDArray[np.int64]
    timestamps_seconds: NDArray[np.float64]
    duration_seconds: float
    height: int
    width: int
    warnings: tuple[str, ...]


def sample_video(
    path: str | os.PathLike[str],
    *,
    num_frames: int | None = None,
    fps: float | None = None,
    max_frames: int | None = None,
    start_seconds: float = 0.0,
    end_seconds: float | None = None,
) -> Sample:
    """Decode the frames that `read_video` would take, and keep no picture.

    Args:
        path: a local file.
        num_frames: as for `read_video`.
        fps: frames per second to take.
        max_frames: the most frames to take with ``fps``.
        start_seconds: take frames that appear from here on.
        end_seconds: take frames that appear before this; None for the end.

    Raises:
        InputError: the request contradicts itself or lies outside the video.
        VideoError: the file cannot be read as a video.
    """
    request = _Request(num_frames, fps, max_frames, start_seconds, end_seconds)
    index = _index_for(os.fspath(path), request)
    sizes = _Sizes(index.display)
    wanted, warnings = _fill(sizes, index, request)
    height, width = sizes.of[int(wanted[0])]
    return Sample(
        indices=wanted,
        timestamps_seconds=index.clock.times_seconds[wanted],
        duration_seconds=index.clock.duration_seconds,
        height=height,
        width=width,
        warnings=index.warnings + warnings,
    )


class _Sizes:
    """The displayed height and width of frames that come."""

    def __init__(self, display: Display) -> None:
        self._display = display
        self.of: dict[int, tuple[int, int]] = {}

    def add(self, index: int, frame: VideoFrame) -> None:
        self.of[index] = self._display.size(frame)

    def clear(self) -> None:
        self.of.clear()


def sample_times(
    path: str | os.PathLike[str],
    *,
    num_frames: int | None = None,
    fps: float | None = None,
    max_frames: int | None = None,
    start_seconds: float = 0.0,
    end_seconds: float | None = None,
) -> tuple[NDArray[np.float64], float]:
    """Times of the frames that `read_video` would take, from the packets alone.

    Args:
        path: a local file.
        num_frames: as for `read_video`.
        fps: frames per second to take.
        max_frames: the most frames to take with ``fps``.
        start_seconds: take frames that appear from here on.
        end_seconds: take frames that appear before this; None for the end.

    Returns:
        Times in seconds (T,), and the duration of the video in seconds. In a damaged file
        `read_video` may have to take other frames.

    Raises:
        InputError: the request contradicts itself.
        VideoError: the file cannot be read as a video.
    """
    request = _Request(num_frames, fps, max_frames, start_seconds, end_seconds)
    _check_request(os.fspath(path), request)
    index = index_video(check_local_file(path))
    if first_frame(index) is None:
        raise VideoError(_NOTHING_DECODES.format(file=index.file))
    wanted = _choose(index, np.arange(index.num_frames), request)
    return index.clock.times_seconds[wanted], index.clock.duration_seconds


def _choose(
    index: FrameIndex, available: NDArray[np.int64], request: _Request
) -> NDArray[np.int64]:
    """Indices of the frames to take, among those that are available."""
    clock = index.clock
    times = clock.times_seconds[available]
    if request.at_seconds is not None:
        return available[sampling.shown_at(times, np.array(request.at_seconds, np.float64))]
    first, stop = sampling.span_indices(times, request.start_seconds, request.end_seconds)
    end_seconds = times[stop] if stop < len(times) else clock.duration_seconds
    available, times = available[first:stop], times[first:stop]
    is_even = not clock.is_variable_rate and len(available) == available[-1] - available[0] + 1
    if request.fps is None:
        count = sampling.DEFAULT_NUM_FRAMES if request.num_frames is None else request.num_frames
        if is_even:
            return available[sampling.spread_indices(len(available), count)]
        return available[sampling.spread_times(times, count)]
    if is_even:
        chosen = sampling.rate_indices(
            len(available), clock.average_fps, request.fps, request.max_frames
        )
    else:
        chosen = sampling.rate_times(times, float(end_seconds), request.fps, request.max_frames)
    return available[chosen]


def _index_for(name: str, request: _Request) -> FrameIndex:
    """The index of a file in which a request makes sense."""
    _check_request(name, request)
    index = index_video(check_local_file(name))
    if request.start_seconds >= index.clock.duration_seconds:
        raise InputError(
            f"{name}: start_seconds={request.start_seconds:g} lies beyond its end at "
            f"{index.clock.duration_seconds:.2f} s; start earlier"
        )
    return index


def _fill(
    album: Album | _Sizes, index: FrameIndex, request: _Request
) -> tuple[NDArray[np.int64], Warnings]:
    """Decode the wanted frames: after seeks, else in order, else those without damage."""
    wanted = _choose(index, np.arange(index.num_frames), request)
    targets = {int(i) for i in wanted}
    if can_seek(index):
        try:
            decode_runs(index, plan_runs(index, targets), album.add)
        except UnsoundError:
            album.clear()
        else:
            return wanted, ()
    survey = decode_in_order(index, targets, album.add)
    packet_frames = survey.order_frames(index)
    is_complete = survey.is_complete(index)
    if is_complete and (not index.has_timestamps or packet_frames is index.packet_frames):
        return wanted, ()
    sound = survey.sound_frames(index, packet_frames)
    if len(sound) == 0:
        raise VideoError(_NOTHING_DECODES.format(file=index.file))
    wanted = _choose(index, sound, request)
    album.clear()
    decode_in_order(index, {int(i) for i in wanted}, album.add, packet_frames)
    if is_complete:
        return wanted, ()
    return wanted, (
        f"damaged: {len(sound)} of {index.num_frames} frames decode soundly, "
        "and only those are sampled",
    )


def _check_request(name: str, request: _Request) -> None:
    moments = request.at_seconds
    if moments is not None:
        if request != _Request(None, None, None, 0.0, None, moments):
            raise InputError(f"{name}: give at_seconds alone; it names every frame")
        if not moments or not np.all(np.isfinite(moments)) or np.any(np.diff(moments) < 0):
            raise InputError(f"{name}: at_seconds must be numbers that never decrease")
        return
    for label, count in (("num_frames", request.num_frames), ("max_frames", request.max_frames)):
        if count is not None and count < 1:
            raise InputError(f"{name}: {label} must be at least 1, got {count}")
    if request.fps is not None:
        if request.num_frames is not None:
            raise InputError(f"{name}: give num_frames or fps, not both")
        if not (math.isfinite(request.fps) and request.fps > 0):
            raise InputError(f"{name}: fps must be a positive number, got {request.fps}")
    elif request.max_frames is not None:
        raise InputError(f"{name}: max_frames goes with fps; give num_frames for a fixed number")
    if not (math.isfinite(request.start_seconds) and request.start_seconds >= 0):
        raise InputError(f"{name}: start_seconds must be 0 or more, got {request.start_seconds}")
    if request.end_seconds is not None and not request.end_seconds > request.start_seconds:
        raise InputError(
            f"{name}: end_seconds must lie after start_seconds={request.start_seconds:g}, "
            f"got {request.end_seconds}"
        )


def _check_size(name: str, size: int | tuple[int, int] | None) -> tuple[int, int] | None:
    if size is None:
        return None
    height, width = (size, size) if isinstance(size, int) else size
    if height < 1 or width < 1:
        raise InputError(f"{name}: size must be at least 1 x 1 pixels, got {height} x {width}")
    return height, width
