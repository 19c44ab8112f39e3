"""Pictures of videos as JPEG, for pages that need no other file."""

from __future__ import annotations

import base64
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def jpeg(
    pixels: NDArray[np.uint8], *, most: tuple[int, int] | None = None, quality: int = 85
) -> bytes:
    """A JPEG of ``(H, W, 3)`` uint8 RGB pixels.

    Args:
        pixels: the picture.
        most: its largest width and height; None for its own.
        quality: 1 to 100.
    """
    image = Image.fromarray(np.ascontiguousarray(pixels))
    if most is not None:
        image.thumbnail(most)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def jpeg_url(content: bytes) -> str:
    """A ``data:`` address that holds a JPEG."""
    return f"data:image/jpeg;base64,{base64.b64encode(content).decode()}"
