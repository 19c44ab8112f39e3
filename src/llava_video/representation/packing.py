"""From features of frames to video tokens: pool each frame, put it in its place. Needs torch.

Reference for the poolings: ``get_2dPool`` of the official code, which works on a channels-first
copy; here the channels stay last, because copying them costs more than the pooling.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional

from llava_video.errors import RepresentationError
from llava_video.representation.layout import Run, TokenLayout
from llava_video.representation.video_representation import FrameGrid, Pooling

FRAMES_PER_CHUNK = 8
"""Frames pooled and projected at a time: large enough for a matrix product, small enough for a
cache."""

Pool = Callable[[Tensor], Tensor]
"""Maps features of frames (N, M, C) to pooled features (N, rows, columns, C)."""

Project = Callable[[Tensor, Pool], Tensor]
"""Maps features of frames (N, M, C) and a pooling to tokens (N, rows, columns, D)."""


def pool_frames(features_NMC: Tensor, pooling: Pooling, stride: int, grid: FrameGrid) -> Tensor:
    """Pool the tokens of each frame on their grid.

    Args:
        features_NMC: features of N frames, M a square number.
        pooling: see `VideoRepresentation`.
        stride: pooling stride; for ``bilinear`` and ``adaptive`` the output grid decides.
        grid: rows and columns to come out.

    Returns:
        ``(N, rows, columns, C)`` in the dtype of the features.
    """
    side = int(features_NMC.shape[1] ** 0.5 + 0.5)
    features = features_NMC.unflatten(1, (side, side))
    if pooling == "average" and stride == 1:
        return features  # type: ignore[no-any-return]
    if pooling == "average" and stride == 2:
        return _average_2x2(features, grid)
    channels_first = features.permute(0, 3, 1, 2)  # a view: memory keeps channels last
    if pooling == "average":
        pooled = functional.avg_pool2d(channels_first, stride)
    elif pooling == "max":
        pooled = functional.max_pool2d(channels_first, stride)
    elif pooling == "max_1d":
        pooled = functional.max_pool2d(channels_first, (1, stride))
    elif pooling == "bilinear":
        pooled = functional.interpolate(channels_first, (grid.rows, grid.columns), mode="bilinear")
    else:
        pooled = functional.adaptive_avg_pool2d(channels_first, (grid.rows, grid.columns))
    return pooled.permute(0, 2, 3, 1)


def _average_2x2(features: Tensor, grid: FrameGrid) -> Tensor:
    """Mean of 2 x 2 neighbours as three additions of views: inputs are read once, not copied."""
    even_rows = features[:, 0 : 2 * grid.rows : 2]
    odd_rows = features[:, 1 : 2 * grid.rows : 2]
    left, right = slice(0, 2 * grid.columns, 2), slice(1, 2 * grid.columns, 2)
    top = even_rows[:, :, left] + even_rows[:, :, right]
    bottom = odd_rows[:, :, left] + odd_rows[:, :, right]
    return (top + bottom) * 0.25


def pack_video(
    features_TMC: Tensor,
    layout: TokenLayout,
    *,
    newline_D: Tensor | None = None,
    separator_D: Tensor | None = None,
    project: Project = lambda features, pool: pool(features),
) -> Tensor:
    """Turn the features of a video's frames into its video tokens, in the order of the layout.

    There is no loop over frames: each run of the layout is written through strided views, a few
    frames at a time so that what is in flight stays in the cache and memory stays bounded.

    Args:
        features_TMC: ``(T, M, C)`` features, one row of M tokens per frame.
        layout: made for exactly T frames.
        newline_D: the learned newline vector, where the representation has newlines.
        separator_D: the learned separator, where it has one.
        project: maps (n, M, C) features and the pooling to (n, rows, columns, D) tokens; the
            projector goes here, so that a linear pooling can be moved in front of its last layer.

    Returns:
        ``(V, D)`` video tokens, V = ``layout.num_tokens``.

    Raises:
        RepresentationError: features and layout do not fit, or a learned vector is missing.
    """
    representation = layout.representation
    expected = (layout.num_frames, representation.tokens_per_frame)
    if tuple(features_TMC.shape[:2]) != expected:
        raise RepresentationError(
            f"features have {tuple(features_TMC.shape[:2])} frames x tokens, "
            f"the layout needs {expected}"
        )
    if representation.newline != "none" and newline_D is None:
        raise RepresentationError(
            f"newline={representation.newline!r} needs a newline vector, which this model does not "
            "have; use newline='none'"
        )
    if representation.separator and separator_D is None:
        raise RepresentationError(
            "the representation has a separator, but this model has no separator vector; "
            "use separator=False"
        )
    tokens_VD: Tensor | None = None
    for run in layout.runs:
        pool = _pool_of(layout, run.slow)
        periods_per_chunk = max(1, FRAMES_PER_CHUNK // run.frames_per_period)
        for start in range(0, run.num_periods, periods_per_chunk):
            stop = min(start + periods_per_chunk, run.num_periods)
            for first, last in _frame_chunks(run, stop - start):
                frames = _frames_of(features_TMC, run, start, stop, first, last)
                grids = project(frames, pool)
                if tokens_VD is None:
                    tokens_VD = grids.new_empty(layout.num_tokens, grids.shape[-1])
                place = _place_of(tokens_VD, layout, run, start, stop, first, last)
                _write_blocks(place, grids, layout, run.slow, newline_D, separator_D)
    assert tokens_VD is not None  # a layout has at least one frame
    if representation.newline == "end" and newline_D is not None:
        tokens_VD[-1] = newline_D.to(tokens_VD)
    return tokens_VD


def _frame_chunks(run: Run, num_periods: int) -> list[tuple[int, int]]:
    """Split the frames of a period when one period alone is longer than a chunk."""
    step = run.frames_per_period if num_periods > 1 else FRAMES_PER_CHUNK
    return [
        (first, min(first + step, run.frames_per_period))
        for first in range(0, run.frames_per_period, step)
    ]


def _pool_of(layout: TokenLayout, slow: bool) -> Pool:
    representation = layout.representation
    pooling = representation.pooling
    if not slow and representation.fast_pooling is not None:
        pooling = representation.fast_pooling
    stride = representation.pool_stride if slow else representation.fast_stride
    grid = layout.grid(slow)
    return lambda features: pool_frames(features, pooling, stride, grid)


def _frames_of(
    features_TMC: Tensor, run: Run, start: int, stop: int, first: int, last: int
) -> Tensor:
    """Frames ``first:last`` of periods ``start:stop`` of a run, (n, M, C); a view if possible."""
    if run.frames_per_period == 1:
        begin = run.first_frame + start * run.frame_period
        end = run.first_frame + (stop - 1) * run.frame_period + 1
        return features_TMC[begin : end : run.frame_period]
    if stop - start == 1:
        begin = run.first_frame + start * run.frame_period
        return features_TMC[begin + first : begin + last]
    begin = run.first_frame + start * run.frame_period
    periods = features_TMC[begin:].unfold(0, run.frames_per_period, run.frame_period)
    return periods[: stop - start].movedim(-1, 1).flatten(0, 1)


def _place_of(
    tokens_VD: Tensor, layout: TokenLayout, run: Run, start: int, stop: int, first: int, last: int
) -> Tensor:
    """The tokens of those frames, (periods, frames, tokens per block, D): a view to write into."""
    size = layout.tokens_per_block(run.slow)
    width = tokens_VD.shape[1]
    offset = run.first_token + start * run.token_period + first * size
    return tokens_VD.as_strided(
        (stop - start, last - first, size, width),
        (run.token_period * width, size * width, width, 1),
        offset * width,
    )


def _write_blocks(
    place: Tensor,
    grids: Tensor,
    layout: TokenLayout,
    slow: bool,
    newline_D: Tensor | None,
    separator_D: Tensor | None,
) -> None:
    """Fill blocks with their pooled grids, newlines and separators."""
    grid = layout.grid(slow)
    representation = layout.representation
    grids = grids.unflatten(0, place.shape[:2])
    if representation.newline == "grid" and newline_D is not None:
        rows = place[:, :, : grid.rows * (grid.columns + 1)].unflatten(2, (grid.rows, -1))
        rows[:, :, :, : grid.columns] = grids
        rows[:, :, :, grid.columns] = newline_D.to(place)
    else:
        place[:, :, : grid.num_tokens] = grids.flatten(2, 3)
        if representation.newline == "frame" and newline_D is not None:
            place[:, :, grid.num_tokens] = newline_D.to(place)
    if representation.separator and separator_D is not None:
        place[:, :, -1] = separator_D.to(place)
