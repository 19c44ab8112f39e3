"""Value types that every room shares. They validate themselves."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llava_video.errors import InputError


@dataclass(frozen=True, slots=True, eq=False)
class Frames:
    """Pictures sampled from one video, in time order, with the moment each was shown.

    The arrays are read-only views of those given.

    Attributes:
        pixels: RGB pictures, ``(T, H, W, 3)`` uint8, upright and with square pixels.
        timestamps_seconds: ``(T,)`` float64, from the first frame of the video, never decreasing
            and within the video.
        indices: ``(T,)`` int64, position of each picture among the frames of the video, in
            presentation order, never decreasing. A frame repeats where a video is shorter than
            the sample.
        duration_seconds: length of the whole video, of which these frames are a sample.
        source: a path or a name, for messages.
        warnings: what is wrong with the file, one sentence each.

    Raises:
        InputError: the arrays contradict each other, or have values that no video has.
    """

    pixels: NDArray[np.uint8]
    timestamps_seconds: NDArray[np.float64]
    indices: NDArray[np.int64]
    duration_seconds: float
    source: str = "frames"
    warnings: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        if self.pixels.dtype != np.uint8 or self.pixels.ndim != 4 or self.pixels.shape[-1] != 3:
            raise InputError(
                f"{self.source}: frames must be uint8 of shape (T, H, W, 3), "
                f"got {self.pixels.dtype} {self.pixels.shape}"
            )
        num_frames = len(self.pixels)
        if num_frames == 0:
            raise InputError(f"{self.source}: no frames; ask for at least one")
        if self.timestamps_seconds.shape != (num_frames,) or self.indices.shape != (num_frames,):
            raise InputError(
                f"{self.source}: {num_frames} frames need as many timestamps and indices, got "
                f"{self.timestamps_seconds.shape} and {self.indices.shape}"
            )
        if not np.issubdtype(self.indices.dtype, np.integer):
            raise InputError(
                f"{self.source}: indices count frames, so they are whole numbers, "
                f"got {self.indices.dtype}"
            )
        if self.indices[0] < 0 or np.any(np.diff(self.indices) < 0):
            raise InputError(f"{self.source}: indices must start at 0 or later and not decrease")
        if not 0 <= self.duration_seconds < math.inf:
            raise InputError(
                f"{self.source}: no video lasts {self.duration_seconds} s; give its true duration"
            )
        times = self.timestamps_seconds
        if not np.all(np.isfinite(times)) or np.any(np.diff(times) < 0):
            raise InputError(f"{self.source}: timestamps must be numbers and not decrease")
        if times[0] < 0 or times[-1] > self.duration_seconds:
            raise InputError(
                f"{self.source}: frames from {times[0]:g} to {times[-1]:g} s lie outside the video "
                f"of {self.duration_seconds:g} s; give times from its first frame on"
            )
        for name in ("pixels", "timestamps_seconds", "indices"):
            view = getattr(self, name).view()
            view.flags.writeable = False
            object.__setattr__(self, name, view)

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def height(self) -> int:
        """Rows of each picture, in pixels."""
        return int(self.pixels.shape[1])

    @property
    def width(self) -> int:
        """Columns of each picture, in pixels."""
        return int(self.pixels.shape[2])

    @classmethod
    def from_array(
        cls, pixels: NDArray[np.uint8] | Any, *, fps: float = 1.0, source: str = "array"
    ) -> Frames:
        """Frames from pictures that are already in memory, evenly spaced in time.

        Args:
            pixels: ``(T, H, W, 3)`` uint8 RGB.
            fps: pictures per second.
            source: a name for messages.
        """
        array = np.asarray(pixels)
        if not 0 < fps < math.inf:
            raise InputError(f"{source}: fps must be positive, got {fps}")
        indices = np.arange(len(array), dtype=np.int64)
        return cls(array, indices / fps, indices, len(array) / fps, source)
