"""The clock of a video: when each frame appears, the rate, the duration."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

_FPS_WITHOUT_CLOCK = 25.0
"""Assumed where neither container nor codec tells times or a rate; FFmpeg assumes the same."""

_JUMP_AHEAD_SECONDS = 10.0
_JUMP_AHEAD_GAPS = 30
"""A clock that is ahead by more than both has restarted; pictures that stay are not that long."""

_STAYS_PERIODS = 1.5
"""A last picture that is shown for more than so many periods stays: it ends the even spacing."""


@dataclass(frozen=True, slots=True, eq=False)
class Clock:
    """Times of the frames of a video.

    Attributes:
        times_seconds: ``(N,)`` float64 when each frame appears, from the first one.
        average_fps: frames per second.
        duration_seconds: from the first frame's appearance to the last one's end.
        is_variable_rate: whether the frames are not evenly spaced, or the last one stays.
    """

    times_seconds: NDArray[np.float64]
    average_fps: float
    duration_seconds: float
    is_variable_rate: bool


def join_clocks(
    pts: NDArray[np.int64],
    dts: NDArray[np.int64],
    durations: NDArray[np.int64],
    tick_seconds: float,
    *,
    may_jump_ahead: bool,
) -> tuple[NDArray[np.int64], bool]:
    """Presentation ticks of joined recordings, whose clocks start anew, on one clock.

    A clock restarts where decoding ticks fall. Each part begins where the one before it ended.

    Args:
        pts: ``(P,)`` presentation ticks in file order.
        dts: ``(P,)`` decoding ticks.
        durations: ``(P,)`` ticks that each packet claims to last, 0 for unknown.
        tick_seconds: length of a tick.
        may_jump_ahead: whether the container's clock may restart later, as that of MPEG streams.

    Returns:
        The ticks, and whether a clock restarted.
    """
    if len(pts) < 2:
        return pts, False
    gaps = np.diff(dts)
    lowest_before = np.minimum.reduce([np.roll(pts, shift) for shift in (1, 2, 3)])[1:]
    restarts = (gaps < 0) & (pts[1:] <= lowest_before)
    usual_gap = max(int(np.median(gaps)), 1)
    if may_jump_ahead:
        jump = max(_JUMP_AHEAD_SECONDS / tick_seconds, _JUMP_AHEAD_GAPS * usual_gap)
        restarts |= gaps > jump
    if not restarts.any():
        return pts, False
    joined = pts.copy()
    edges = [0, *(np.flatnonzero(restarts) + 1).tolist(), len(pts)]
    end = int(pts[0])
    for start, stop in pairwise(edges):
        part = joined[start:stop]
        if start > 0:
            part += end - part.min()
        last = int(part.argmax())
        end = int(part[last]) + (int(durations[start + last]) or usual_gap)
    return joined, True


def measure_clock(
    frame_pts: NDArray[np.int64] | None,
    frame_durations: NDArray[np.int64],
    tick_seconds: float,
    claimed_fps: list[float],
) -> Clock:
    """Times, rate and duration.

    A rate is constant where counted times and ticks agree within the rounding of ticks; times are
    then counted, as in the official implementation.

    Args:
        frame_pts: ``(N,)`` presentation ticks, increasing; None where the file has none.
        frame_durations: ``(N,)`` ticks that each frame claims to last, 0 for unknown.
        tick_seconds: length of a tick.
        claimed_fps: rates that container and codec claim, the likeliest first.
    """
    num_frames = len(frame_durations)
    counted = np.arange(num_frames)
    if frame_pts is None:
        fps = claimed_fps[0] if claimed_fps else _FPS_WITHOUT_CLOCK
        return Clock(counted / fps, fps, num_frames / fps, False)
    times = (frame_pts - frame_pts[0]) * tick_seconds
    span_seconds = float(times[-1])
    stays_seconds = int(frame_durations[-1]) * tick_seconds
    candidates = [*claimed_fps]
    if span_seconds > 0:
        candidates.append((num_frames - 1) / span_seconds)
    elif num_frames == 1 and stays_seconds > 0:
        candidates.append(1 / stays_seconds)
    tolerance_seconds = max(1.5 * tick_seconds, 1e-3)
    for fps in candidates:
        is_even = np.all(np.abs(times - counted / fps) <= tolerance_seconds)
        if is_even and stays_seconds <= _STAYS_PERIODS / fps + tolerance_seconds:
            return Clock(counted / fps, fps, num_frames / fps, False)
    mean_seconds = span_seconds / max(num_frames - 1, 1)
    duration = span_seconds + (stays_seconds or mean_seconds or 1 / _FPS_WITHOUT_CLOCK)
    return Clock(times, num_frames / duration, duration, True)
