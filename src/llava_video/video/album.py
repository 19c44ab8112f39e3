"""Collects pictures that arrive in any order, from several threads, each once."""

from __future__ import annotations

import threading

import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from llava_video.video.picture import PictureMaker
from llava_video.video.resize import resize


class Album:
    """Pictures by frame index.

    Args:
        sample_aspect_ratio: width of a stored pixel divided by its height.
        size: ``(height, width)`` of the pictures; None for the displayed size.
        exact_resize: resize with PIL itself.
    """

    def __init__(
        self, sample_aspect_ratio: float, size: tuple[int, int] | None, *, exact_resize: bool
    ) -> None:
        self._maker_arguments = (sample_aspect_ratio, size, exact_resize)
        self._exact_resize = exact_resize
        self._pictures: dict[int, NDArray[np.uint8]] = {}
        self._local = threading.local()

    def __contains__(self, index: int) -> bool:
        return index in self._pictures

    def add(self, index: int, frame: VideoFrame) -> None:
        """Keep the picture of a decoded frame; the frame itself is not kept."""
        if not hasattr(self._local, "maker"):
            ratio, size, exact = self._maker_arguments
            self._local.maker = PictureMaker(ratio, size, exact_resize=exact)
        self._pictures[index] = np.array(self._local.maker.make(frame))

    def take(self, indices: NDArray[np.int64]) -> tuple[NDArray[np.uint8], bool]:
        """All pictures in one array; the album is empty afterwards, so that memory holds them once.

        Where a video changes its size on the way, the first picture's size holds for all.

        Args:
            indices: ``(T,)`` frames, never decreasing; repeated ones are repeated.

        Returns:
            ``(T, H, W, 3)`` uint8, and whether sizes differed.
        """
        height, width, _ = self._pictures[int(indices[0])].shape
        pixels = np.empty((len(indices), height, width, 3), np.uint8)
        sizes_differ = False
        for place, index in enumerate(indices):
            if place > 0 and index == indices[place - 1]:
                pixels[place] = pixels[place - 1]
                continue
            picture = self._pictures.pop(int(index))
            if picture.shape != (height, width, 3):
                sizes_differ = True
                picture = resize(picture, (height, width), exact=self._exact_resize)
            pixels[place] = picture
        return pixels, sizes_differ
