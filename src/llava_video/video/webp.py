"""Animated WebP, which FFmpeg does not read, by Pillow."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from av.video.frame import VideoFrame
from PIL import Image

from llava_video.errors import VideoError

_MILLISECONDS_OF_NONE = 100
"""How long a picture without a duration is shown; browsers do the same."""


def is_webp(file: Path) -> bool:
    """Whether a file is WebP, by its first bytes."""
    with file.open("rb") as content:
        head = content.read(12)
    return head[:4] == b"RIFF" and head[8:] == b"WEBP"


def read_durations(file: Path) -> tuple[list[int], str | None]:
    """Milliseconds that each picture is shown, and why reading stopped early, if it did.

    Raises:
        VideoError: the file is damaged from the start.
    """
    durations: list[int] = []
    try:
        for image in _pictures(file):
            durations.append(int(image.info.get("duration", 0)) or _MILLISECONDS_OF_NONE)
    except (OSError, ValueError, EOFError, Image.DecompressionBombError) as error:
        if not durations:
            raise VideoError(
                f"{file}: cannot be read as WebP ({error}); check that it is complete"
            ) from error
        return durations, str(error)
    return durations, None


def decode_webp(file: Path) -> Iterator[VideoFrame]:
    """The pictures in order, up to damage."""
    try:
        for image in _pictures(file):
            yield VideoFrame.from_ndarray(np.asarray(image.convert("RGBA")), format="rgba")
    except (OSError, ValueError, EOFError):  # the index has this warning already
        return


def _pictures(file: Path) -> Iterator[Image.Image]:
    with Image.open(file, formats=["WEBP"]) as image:
        for place in range(getattr(image, "n_frames", 1)):
            image.seek(place)
            image.load()
            yield image
