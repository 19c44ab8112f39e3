"""Videos that are folders of pictures: which pictures, in which order, at which times."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from llava_video.errors import VideoError
from llava_video.video.sampling import rate_indices, spread_indices

FRAMES_FOLDER_FPS = 2.0
"""Pictures per second of a folder, which says none itself: what the official code takes for
``shareVideoGPTV`` (train.py)."""

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")


def list_pictures(folder: Path) -> list[Path]:
    """The pictures of a folder, by name; numbers in names count as numbers (``9.jpg``, ``10.jpg``).

    For names with leading zeros this is the official order.

    Raises:
        VideoError: there are none.
    """
    try:
        files = [
            file
            for file in folder.iterdir()
            if file.suffix.lower() in PICTURE_SUFFIXES and not file.name.startswith(".")
        ]
    except OSError as error:
        raise VideoError(f"{folder}: cannot be listed ({error.strerror})") from error
    if not files:
        raise VideoError(
            f"{folder}: is a folder without pictures; name one video file in it, or a folder of "
            "frames"
        )
    return sorted(files, key=_order)


def choose_pictures(
    num_pictures: int, num_frames: int | None, fps: float | None, max_frames: int | None
) -> NDArray[np.int64]:
    """Which pictures are sampled: ``(T,)`` indices.

    Args:
        num_pictures: in the folder.
        num_frames: frames to spread.
        fps: frames per second instead.
        max_frames: the most frames to take with ``fps``.
    """
    if fps is not None:
        return rate_indices(num_pictures, FRAMES_FOLDER_FPS, fps, max_frames)
    assert num_frames is not None
    return spread_indices(num_pictures, num_frames)


def _order(file: Path) -> tuple[list[str | int], str]:
    pieces: list[str | int] = list(re.split(r"(\d+)", file.name))
    pieces[1::2] = [int(number) for number in pieces[1::2]]
    return pieces, file.name
