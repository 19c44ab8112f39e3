"""Pools features of frames and packs them into video tokens by the layout. Needs torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise

from torch import Tensor

from llava_video.errors import RepresentationError
from llava_video.representation.dissimilarity import keep_tokens, select_tokens
from llava_video.representation.layout import Run, TokenLayout
from llava_video.representation.pooling import pool_for, pool_frames
from llava_video.representation.video_representation import VideoRepresentation

FRAMES_PER_WINDOW = {"cpu": 6, "cuda": 64}
"""Frames pooled at a time: few enough for the CPU's cache, or enough to fill a GPU."""

Layer = Callable[[Tensor], Tensor]
"""Maps the last dimension of a tensor, such as a linear layer."""


def pack_video(
    features_TMC: Tensor,
    layout: TokenLayout,
    *,
    newline_D: Tensor | None = None,
    separator_D: Tensor | None = None,
    before_pooling: Layer | None = None,
    after_pooling: Layer | None = None,
) -> Tensor:
    """Pool and pack the features of a video's frames into its video tokens, and select among them.

    There is no loop over frames: windows of many frames are pooled at once and written through
    strided views, so that windows stay in the cache and memory stays bounded.

    Args:
        features_TMC: ``(T, M, C)`` features, one row of M tokens per frame.
        layout: made for exactly T frames.
        newline_D: the learned newline vector, where the representation has newlines.
        separator_D: the learned separator, where it has one.
        before_pooling: layers to apply to every token of a frame, such as the first of a projector.
        after_pooling: layers to apply to pooled tokens, with D outputs.

    Returns:
        ``(V, D)`` video tokens, V = ``layout.num_tokens``.

    Raises:
        RepresentationError: features and layout do not fit, or a learned vector is missing.
    """
    _check(features_TMC, layout, newline_D, separator_D)
    in_steps = _pools_in_steps(layout.representation)
    tokens_VD: Tensor | None = None
    for first, last in _windows(layout, features_TMC.device.type):
        features = features_TMC[first:last]
        if before_pooling is not None:
            features = before_pooling(features)
        if in_steps:
            features = pool_for(features, layout, slow=True).flatten(1, 2)
        for run in layout.runs:
            part = run.within(first, last, layout.tokens_per_block(run.slow))
            if part is None:
                continue
            frames = _frames_of(features, part, first)
            if in_steps:
                grid = layout.grid(part.slow)
                grids = pool_frames(frames, "average", 1 if part.slow else 2, grid)
            else:
                grids = pool_for(frames, layout, part.slow)
            if after_pooling is not None:
                grids = after_pooling(grids)
            if tokens_VD is None:
                tokens_VD = grids.new_empty(layout.num_packed_tokens, grids.shape[-1])
            place = _place_of(tokens_VD, part, layout.tokens_per_block(part.slow))
            _write_blocks(place, grids, layout, part.slow, newline_D, separator_D)
    assert tokens_VD is not None  # a layout has at least one frame
    if layout.representation.newline == "end" and newline_D is not None:
        tokens_VD[-1] = newline_D.to(tokens_VD)
    if layout.num_tokens == layout.num_packed_tokens:
        return tokens_VD
    return keep_tokens(tokens_VD, select_tokens(features_TMC, layout))


def _check(
    features_TMC: Tensor,
    layout: TokenLayout,
    newline_D: Tensor | None,
    separator_D: Tensor | None,
) -> None:
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


def _pools_in_steps(representation: VideoRepresentation) -> bool:
    """Whether a fast frame is a slow frame averaged again, so that features are read once."""
    return (
        representation.pooling == "average"
        and representation.fast_pooling is None
        and representation.fast_pool_stride is None
    )


def _windows(layout: TokenLayout, device_type: str) -> Iterator[tuple[int, int]]:
    """Consecutive spans of all frames; their borders are borders of periods of the layout."""
    representation = layout.representation
    stride, phase = representation.slow_stride, representation.slow_phase
    size = max(1, FRAMES_PER_WINDOW.get(device_type, 64) // stride) * stride
    borders = [0, *range(phase, layout.num_frames, size), layout.num_frames]
    return ((a, b) for a, b in pairwise(borders) if a < b)


def _frames_of(features_TMC: Tensor, run: Run, first_frame: int) -> Tensor:
    """The frames of a run, (n, M, C), from features that begin with ``first_frame``."""
    begin = run.first_frame - first_frame
    if run.frames_per_period == 1:
        return features_TMC[begin : begin + run.num_periods * run.frame_period : run.frame_period]
    if run.num_periods == 1:
        return features_TMC[begin : begin + run.frames_per_period]
    # (periods, M, C, frames) -> (n, M, C)
    periods = features_TMC[begin:].unfold(0, run.frames_per_period, run.frame_period)
    return periods[: run.num_periods].movedim(-1, 1).flatten(0, 1)


def _place_of(tokens_VD: Tensor, run: Run, tokens_per_block: int) -> Tensor:
    """The tokens of a run, (periods, frames, tokens per block, D): a view to write into."""
    width = tokens_VD.shape[1]
    return tokens_VD.as_strided(
        (run.num_periods, run.frames_per_period, tokens_per_block, width),
        (run.token_period * width, tokens_per_block * width, width, 1),
        run.first_token * width,
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
    grids = grids.unflatten(0, place.shape[:2])  # (periods, frames, rows, columns, D)
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
