"""Pools the features of frames on their grid. Needs torch.

Reference: ``get_2dPool`` of the official code, which works on a channels-first copy; here the
channels stay last, because copying them costs more than the pooling.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from llava_video.representation.layout import TokenLayout
from llava_video.representation.video_representation import FrameGrid, Pooling


def pool_frames(features_NMC: Tensor, pooling: Pooling, stride: int, grid: FrameGrid) -> Tensor:
    """Pool the tokens of each frame on their grid.

    Args:
        features_NMC: features of N frames, M a square number.
        pooling: see `VideoRepresentation`.
        stride: pooling stride; for ``bilinear`` and ``adaptive`` the output grid decides.
        grid: rows and columns of the output.

    Returns:
        ``(N, rows, columns, C)`` in the dtype of the features.
    """
    side = int(features_NMC.shape[1] ** 0.5 + 0.5)
    # (N, M, C) -> (N, C, side, side), a view
    channels_first = features_NMC.unflatten(1, (side, side)).permute(0, 3, 1, 2)
    if pooling == "average":
        pooled = _average(channels_first, stride)
    elif pooling == "max":
        pooled = functional.max_pool2d(channels_first, stride)
    elif pooling == "max_1d":
        pooled = functional.max_pool2d(channels_first, (1, stride))
    elif pooling == "bilinear":
        pooled = functional.interpolate(channels_first, (grid.rows, grid.columns), mode="bilinear")
    else:
        pooled = functional.adaptive_avg_pool2d(channels_first, (grid.rows, grid.columns))
    return pooled.permute(0, 2, 3, 1)


def _average(images_NCHW: Tensor, stride: int) -> Tensor:
    """Average pooling that drops rows and columns of incomplete windows.

    Halving by bilinear interpolation takes exactly the mean of 2 x 2 neighbours, and is several
    times faster than ``avg_pool2d`` on channels-last bfloat16.
    """
    while stride % 2 == 0 and min(images_NCHW.shape[-2:]) >= 2:
        images_NCHW = functional.interpolate(images_NCHW, scale_factor=0.5, mode="bilinear")
        stride //= 2
    return images_NCHW if stride == 1 else functional.avg_pool2d(images_NCHW, stride)


def pool_for(features_NMC: Tensor, layout: TokenLayout, slow: bool) -> Tensor:
    """Pool frames as slow or fast ones of a layout: (N, M, C) -> (N, rows, columns, C)."""
    representation = layout.representation
    pooling = representation.pooling
    if not slow and representation.fast_pooling is not None:
        pooling = representation.fast_pooling
    stride = representation.pool_stride if slow else representation.fast_stride
    return pool_frames(features_NMC, pooling, stride, layout.grid(slow))
