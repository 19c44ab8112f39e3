"""Resizing as PIL's antialiased bicubic filter does, which the checkpoints were trained with."""

from __future__ import annotations

import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import Image

# Where both sides shrink by so much, PyTorch's filter on bytes stays within one level of PIL's, in
# a sixth of the time. Closer to the same size, or growing, its coarser weights can miss by two.
_SMALLEST_FAST_SHRINKING = 1.75

# From version 13 on, PIL filters columns before rows where the height shrinks much more than the
# width. Bytes are rounded and clipped in between, so the order shows at hard edges.
_PIL_MAY_FILTER_COLUMNS_FIRST = int(PIL.__version__.split(".")[0]) >= 13


def resize(
    picture: NDArray[np.uint8], size: tuple[int, int], *, exact: bool = False
) -> NDArray[np.uint8]:
    """Resize a picture with an antialiased bicubic filter.

    Args:
        picture: ``(H, W, 3)`` uint8.
        size: ``(height, width)`` of the result.
        exact: bit-equal to ``PIL.Image.resize(BICUBIC)``; otherwise within one level of it, faster.

    Returns:
        ``(height, width, 3)`` uint8.
    """
    height, width = size
    shrinking = min(picture.shape[0] / height, picture.shape[1] / width)
    if not exact and shrinking >= _SMALLEST_FAST_SHRINKING:
        return _resize_with_torch(picture, size)
    image = Image.fromarray(np.ascontiguousarray(picture))
    return np.asarray(image.resize((width, height), Image.Resampling.BICUBIC))


def _resize_with_torch(picture: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    import torch  # heavy, and only needed here

    height, width = size
    rows, columns, _ = picture.shape
    pixels_1CHW = torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)[None]
    steps = [size]
    if _PIL_MAY_FILTER_COLUMNS_FIRST and rows - height > 2 * (columns - width):
        steps.insert(0, (height, columns))
    for step in steps:
        pixels_1CHW = torch.nn.functional.interpolate(
            pixels_1CHW, step, mode="bicubic", antialias=True
        )
    resized: NDArray[np.uint8] = pixels_1CHW[0].permute(1, 2, 0).numpy()
    return resized
