"""Collects pictures in any order, from several threads."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Self

import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from llava_video.video.decoding import count_cpus
from llava_video.video.picture import Display, PictureMaker
from llava_video.video.resize import resize

_WAITING_PIXELS = 1 << 26
"""Pixels of frames that are converted, or wait for it; each takes up to ten bytes."""


class Album:
    """Pictures by frame index. Its threads convert frames to pictures while others decode.

    Args:
        display: how stored pictures are shown.
        size: ``(height, width)`` of the pictures; None for the displayed size.
        exact_resize: resize with PIL itself.
    """

    def __init__(
        self, display: Display, size: tuple[int, int] | None, *, exact_resize: bool
    ) -> None:
        self._exact_resize = exact_resize
        self._local = threading.local()
        self._pool = ThreadPoolExecutor(
            count_cpus(),
            initializer=self._equip_thread,
            initargs=(display, size),
        )
        self._lock = threading.Lock()
        self._may_wait: threading.Semaphore | None = None  # until the size of frames is known
        self._pictures: dict[int, Future[NDArray[np.uint8]]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def add(self, index: int, frame: VideoFrame) -> None:
        """Keep the picture of a decoded frame; blocks while too many frames wait for conversion."""
        with self._lock:
            if self._may_wait is None:
                most = _WAITING_PIXELS // (frame.width * frame.height)
                self._may_wait = threading.Semaphore(max(1, min(2 * count_cpus(), most)))
        self._may_wait.acquire()
        self._pictures[index] = self._pool.submit(self._make, frame, self._may_wait)

    def clear(self) -> None:
        """Drop all pictures."""
        self._pictures.clear()

    def take(self, indices: NDArray[np.int64]) -> tuple[NDArray[np.uint8], bool]:
        """All pictures in one array; the album is empty afterwards, so that memory holds them once.

        If the size changes within a video, all pictures get the size of the first.

        Args:
            indices: ``(T,)`` frames, never decreasing; repeated ones are repeated.

        Returns:
            ``(T, H, W, 3)`` uint8, and whether sizes differed.
        """
        height, width, _ = self._pictures[int(indices[0])].result().shape
        pixels = np.empty((len(indices), height, width, 3), np.uint8)
        sizes_differ = False
        for place, index in enumerate(indices):
            if place > 0 and index == indices[place - 1]:
                pixels[place] = pixels[place - 1]
                continue
            picture = self._pictures.pop(int(index)).result()
            if picture.shape != (height, width, 3):
                sizes_differ = True
                picture = resize(picture, (height, width), exact=self._exact_resize)
            pixels[place] = picture
        return pixels, sizes_differ

    def _equip_thread(self, display: Display, size: tuple[int, int] | None) -> None:
        self._local.maker = PictureMaker(display, size, exact_resize=self._exact_resize)

    def _make(self, frame: VideoFrame, may_wait: threading.Semaphore) -> NDArray[np.uint8]:
        try:
            maker: PictureMaker = self._local.maker
            return maker.make(frame)
        finally:
            may_wait.release()
