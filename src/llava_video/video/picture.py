"""From a decoded frame to an upright RGB picture with square pixels."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from av.sidedata.sidedata import SideDataContainer, Type
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, VideoReformatter
from numpy.typing import NDArray

from llava_video.video.resize import resize


class Orientation(NamedTuple):
    """How a stored picture is put upright: first exchange rows and columns, then flip."""

    transpose: bool = False
    flip_rows: bool = False
    flip_columns: bool = False

    @property
    def is_mirrored(self) -> bool:
        """Whether left and right are exchanged, before any turn."""
        return self.transpose == (self.flip_rows == self.flip_columns)

    @property
    def quarter_turns_clockwise(self) -> int:
        """Clockwise turns by 90 degrees, after mirroring: 0 to 3."""
        if self.transpose:
            return 1 if self.flip_columns else 3
        return 2 if self.flip_rows else 0


class Crop(NamedTuple):
    """Rows and columns at the edges of a stored picture that are not shown."""

    top: int = 0
    bottom: int = 0
    left: int = 0
    right: int = 0


UPRIGHT = Orientation()
NO_CROP = Crop()


@dataclass(frozen=True, slots=True)
class Display:
    """How stored pictures of a video are shown.

    Attributes:
        crop: edges that are not shown.
        sample_aspect_ratio: width of a stored pixel divided by its height.
        orientation: of frames that carry none of their own.
        untagged_grey_is_limited: whether levels of a grey picture without a tag are 16 to 235.
    """

    crop: Crop = NO_CROP
    sample_aspect_ratio: float = 1.0
    orientation: Orientation = UPRIGHT
    untagged_grey_is_limited: bool = False

    def window(self, frame: VideoFrame) -> tuple[slice, slice]:
        """Rows and columns of a frame that are shown: all where the crop is of another size."""
        top, bottom, left, right = self.crop
        if top + bottom >= frame.height or left + right >= frame.width:
            return slice(0, frame.height), slice(0, frame.width)
        return slice(top, frame.height - bottom), slice(left, frame.width - right)

    def size(self, frame: VideoFrame) -> tuple[int, int]:
        """Height and width of the picture that a frame becomes."""
        rows, columns = self.window(frame)
        height = rows.stop - rows.start
        width = square_pixel_width(columns.stop - columns.start, self.sample_aspect_ratio)
        is_on_its_side = (orientation_of(frame) or self.orientation).transpose
        return (width, height) if is_on_its_side else (height, width)


class PictureMaker:
    """Converts decoded frames to RGB arrays. One per thread: it keeps FFmpeg's converter.

    Colours follow the frame's own tags: matrix (BT.601 where untagged, as FFmpeg has it), limited
    or full range, any bit depth. Transparent pixels go over black.

    Args:
        display: how stored pictures are shown.
        size: ``(height, width)`` of the pictures to make; None for the displayed size.
        exact_resize: resize with PIL itself.
    """

    def __init__(
        self,
        display: Display,
        size: tuple[int, int] | None = None,
        *,
        exact_resize: bool = False,
    ) -> None:
        self._display = display
        self._size = size
        self._exact_resize = exact_resize
        self._reformatter = VideoReformatter()

    def make(self, frame: VideoFrame) -> NDArray[np.uint8]:
        """An ``(H, W, 3)`` uint8 RGB picture, upright, with square pixels; may be a view."""
        picture = self._rgb(frame)[self._display.window(frame)]
        height, width, _ = picture.shape
        square_width = square_pixel_width(width, self._display.sample_aspect_ratio)
        if square_width != width:
            picture = resize(picture, (height, square_width), exact=self._exact_resize)
        transpose, flip_rows, flip_columns = orientation_of(frame) or self._display.orientation
        if transpose:
            picture = picture.transpose(1, 0, 2)
        picture = picture[:: -1 if flip_rows else 1, :: -1 if flip_columns else 1]
        if self._size is not None and picture.shape[:2] != self._size:
            picture = resize(picture, self._size, exact=self._exact_resize)
        return picture

    def _rgb(self, frame: VideoFrame) -> NDArray[np.uint8]:
        if frame.format.name.startswith("gray") and self._is_limited(frame):
            return self._limited_grey(frame)
        has_alpha = any(component.is_alpha for component in frame.format.components)
        if not has_alpha and frame.format.name != "pal8":
            return self._convert(frame, "rgb24", 3)
        rgba = self._convert(frame, "rgba", 4)
        alpha = rgba[..., 3:].astype(np.uint16)
        return ((rgba[..., :3] * alpha + 127) // 255).astype(np.uint8)

    def _is_limited(self, frame: VideoFrame) -> bool:
        if frame.color_range == ColorRange.UNSPECIFIED:
            return self._display.untagged_grey_is_limited
        return bool(frame.color_range == ColorRange.MPEG)

    def _limited_grey(self, frame: VideoFrame) -> NDArray[np.uint8]:
        """FFmpeg's converter counts every grey picture as full range."""
        grey = self._convert(frame, "gray", 1)[..., 0]
        return np.repeat(_FULL_OF_LIMITED[grey][..., None], 3, axis=-1)

    def _convert(
        self, frame: VideoFrame, pixel_format: str, num_channels: int
    ) -> NDArray[np.uint8]:
        converted = self._reformatter.reformat(frame, format=pixel_format, threads=1)
        plane = converted.planes[0]
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
        pixels = rows[: frame.height, : frame.width * num_channels]
        return pixels.reshape(frame.height, frame.width, num_channels)


_FULL_OF_LIMITED = np.clip(np.round((np.arange(256) - 16) * 255 / 219), 0, 255).astype(np.uint8)


def orientation_of(frame: VideoFrame) -> Orientation | None:
    """The orientation that a frame carries; None where it has none, or one that shows nothing.

    The display matrix of ISO/IEC 14496-12 maps stored to shown columns and rows: only signs and
    which side becomes which count, not its scale.
    """
    try:
        # Not `frame.side_data`, which the frame keeps: in a circle, memory is freed much later.
        side_data = SideDataContainer(frame)  # type: ignore[call-arg]
        matrix = bytes(side_data[Type.DISPLAYMATRIX])
    except KeyError:
        return None
    except ValueError:  # PyAV has no name for another kind of side data, and then reads none
        turns = -round(frame.rotation / 90) % 4
        return Orientation(turns % 2 == 1, turns in (2, 3), turns in (1, 2))
    a, b, _, c, d, *_ = struct.unpack("9i", matrix)
    if a * d == b * c:
        return None
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return Orientation(False, d < 0, a < 0)
    return Orientation(True, b < 0, c < 0)


def square_pixel_width(width: int, sample_aspect_ratio: float) -> int:
    """Columns of a picture once its pixels are made square; rows stay."""
    return max(1, round(width * sample_aspect_ratio))
