"""From a decoded frame to an upright RGB picture with square pixels."""

from __future__ import annotations

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from llava_video.video.resize import resize


class PictureMaker:
    """Converts decoded frames to RGB arrays. One per thread: it keeps FFmpeg's converter.

    Colours follow the frame's own tags: matrix (BT.601 where untagged, as FFmpeg has it), limited
    or full range, any bit depth. Transparent pixels go over black.

    Args:
        sample_aspect_ratio: width of a stored pixel divided by its height.
        size: ``(height, width)`` of the pictures to make; None for the displayed size.
        exact_resize: resize with PIL itself.
    """

    def __init__(
        self,
        sample_aspect_ratio: float,
        size: tuple[int, int] | None = None,
        *,
        exact_resize: bool = False,
    ) -> None:
        self._sample_aspect_ratio = sample_aspect_ratio
        self._size = size
        self._exact_resize = exact_resize
        self._reformatter = VideoReformatter()

    def make(self, frame: VideoFrame) -> NDArray[np.uint8]:
        """An ``(H, W, 3)`` uint8 RGB picture, upright, with square pixels; may be a view."""
        picture = self._rgb(frame)
        turns = quarter_turns_clockwise(frame)
        width = square_pixel_width(frame.width, self._sample_aspect_ratio)
        if width != frame.width:
            picture = resize(picture, (frame.height, width), exact=self._exact_resize)
        if turns:
            picture = np.rot90(picture, -turns)
        if self._size is not None and picture.shape[:2] != self._size:
            picture = resize(picture, self._size, exact=self._exact_resize)
        return picture

    def _rgb(self, frame: VideoFrame) -> NDArray[np.uint8]:
        has_alpha = any(component.is_alpha for component in frame.format.components)
        if not has_alpha and frame.format.name != "pal8":
            return self._convert(frame, "rgb24", 3)
        rgba = self._convert(frame, "rgba", 4)
        alpha = rgba[..., 3:].astype(np.uint16)
        return ((rgba[..., :3] * alpha + 127) // 255).astype(np.uint8)

    def _convert(
        self, frame: VideoFrame, pixel_format: str, num_channels: int
    ) -> NDArray[np.uint8]:
        converted = self._reformatter.reformat(frame, format=pixel_format, threads=1)
        plane = converted.planes[0]
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
        pixels = rows[: frame.height, : frame.width * num_channels]
        return pixels.reshape(frame.height, frame.width, num_channels)


def quarter_turns_clockwise(frame: VideoFrame) -> int:
    """Clockwise turns by 90 degrees that make a stored picture upright: 0 to 3."""
    return -round(frame.rotation / 90) % 4


def square_pixel_width(width: int, sample_aspect_ratio: float) -> int:
    """Columns of a picture once its pixels are made square; rows stay."""
    return max(1, round(width * sample_aspect_ratio))
