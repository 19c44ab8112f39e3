"""Sampling: which frames to take.

Two ways, as in the official implementation. *Forced*: a fixed number of frames, spread from the
first to the last with ``linspace``, truncated to whole indices. *At a rate*: every so-many-th
frame, at most ``max_frames``; beyond that it becomes forced. Videos whose frames are not evenly
spaced in time are sampled at evenly spaced times instead: the frame on screen at each time.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

DEFAULT_NUM_FRAMES = 64
"""Default number of frames, as for the released checkpoints."""

_EPSILON_SECONDS = 1e-6
"""Times closer than this are equal: products of rates and counts are not exact."""

_MOST_MOMENTS_PER_FRAME = 16
"""Bounds the number of samples of a video that is mostly one still frame."""


def spread_indices(num_total: int, num_frames: int) -> NDArray[np.int64]:
    """``num_frames`` indices from 0 to ``num_total - 1``, evenly spread and truncated.

    Indices repeat where there are fewer frames than asked for.

    Args:
        num_total: frames in the video, at least 1.
        num_frames: frames wanted, at least 1.

    Returns:
        ``(num_frames,)`` int64, never decreasing.
    """
    return np.linspace(0, num_total - 1, num_frames, dtype=np.int64)


def rate_indices(
    num_total: int, average_fps: float, fps: float, max_frames: int | None
) -> NDArray[np.int64]:
    """Every ``round(average_fps / fps)``-th index, or ``max_frames`` spread ones if fewer.

    Args:
        num_total: frames in the video, at least 1.
        average_fps: frames per second of the video.
        fps: frames per second wanted; more than the video has means every frame.
        max_frames: the most frames to take; None for no limit.

    Returns:
        ``(T,)`` int64, never decreasing.
    """
    step = max(1, round(average_fps / fps))
    indices = np.arange(0, num_total, step, dtype=np.int64)
    if max_frames is not None and len(indices) > max_frames:
        return spread_indices(num_total, max_frames)
    return indices


def spread_times(times_seconds: NDArray[np.float64], num_frames: int) -> NDArray[np.int64]:
    """The frames on screen at ``num_frames`` evenly spaced moments, from first frame to last.

    Args:
        times_seconds: ``(N,)`` when each frame appears, never decreasing.
        num_frames: frames wanted, at least 1.

    Returns:
        ``(num_frames,)`` int64 indices into ``times_seconds``, never decreasing.
    """
    moments = np.linspace(times_seconds[0], times_seconds[-1], num_frames)
    return shown_at(times_seconds, moments)


def rate_times(
    times_seconds: NDArray[np.float64], end_seconds: float, fps: float, max_frames: int | None
) -> NDArray[np.int64]:
    """The frame on screen every ``1 / fps`` seconds, or ``max_frames`` spread ones if fewer.

    A frame that stays on screen for several moments is taken as often. A rate above the video's
    usual one, that of its median gap between frames, counts as the usual one.

    Args:
        times_seconds: ``(N,)`` when each frame appears, never decreasing.
        end_seconds: when the last frame disappears.
        fps: moments per second.
        max_frames: the most frames to take; None for no limit.

    Returns:
        ``(T,)`` int64 indices into ``times_seconds``, never decreasing.
    """
    num_total = len(times_seconds)
    edges_seconds = np.append(times_seconds, end_seconds) - times_seconds[0]
    shortest_gap_seconds = edges_seconds[-1] / (_MOST_MOMENTS_PER_FRAME * num_total)
    usual_gap_seconds = max(float(np.median(np.diff(edges_seconds))), shortest_gap_seconds)
    rate = min(fps, 1 / max(usual_gap_seconds, _EPSILON_SECONDS))
    num_moments_before = np.ceil((edges_seconds - _EPSILON_SECONDS) * rate).astype(np.int64)
    num_moments_before[0] = 0
    num_moments_before[-1] = max(1, num_moments_before[-1])
    indices = np.repeat(np.arange(num_total, dtype=np.int64), np.diff(num_moments_before))
    if max_frames is not None and len(indices) > max_frames:
        return spread_times(times_seconds, max_frames)
    return indices


def shown_at(
    times_seconds: NDArray[np.float64], moments_seconds: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Index of the frame that is on screen at each moment.

    Args:
        times_seconds: ``(N,)`` when each frame appears, never decreasing.
        moments_seconds: ``(M,)`` moments; before the first frame counts as the first frame.

    Returns:
        ``(M,)`` int64.
    """
    after = np.searchsorted(times_seconds, moments_seconds + _EPSILON_SECONDS, side="right")
    return np.maximum(after - 1, 0).astype(np.int64)


def span_indices(
    times_seconds: NDArray[np.float64], start_seconds: float, end_seconds: float | None
) -> tuple[int, int]:
    """The frames that appear from ``start_seconds`` up to but not at ``end_seconds``.

    A span too short for any frame to appear in it holds the frame that is on screen at its start.

    Args:
        times_seconds: ``(N,)`` when each frame appears, never decreasing.
        start_seconds: begin of the span.
        end_seconds: end of the span; None for the end of the video.

    Returns:
        First index and one past the last; at least one frame.
    """
    first = int(np.searchsorted(times_seconds, start_seconds - _EPSILON_SECONDS))
    stop = len(times_seconds)
    if end_seconds is not None:
        stop = int(np.searchsorted(times_seconds, end_seconds - _EPSILON_SECONDS))
    if stop <= first:
        first = int(shown_at(times_seconds, np.array([start_seconds]))[0])
        stop = first + 1
    return first, stop
