"""Contact sheet: the sampled frames side by side, each with its time."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from llava_video.types import Frames

_COLUMNS = 8
_THUMBNAIL_WIDTH = 192
_GAP = 8
_LABEL_HEIGHT = 20
_PAPER = (255, 255, 255)
_INK = (30, 30, 30)


def thumbnail_size(height: int, width: int) -> tuple[int, int]:
    """Height and width of the thumbnail of a picture."""
    return max(1, round(_THUMBNAIL_WIDTH * height / width)), _THUMBNAIL_WIDTH


def draw_contact_sheet(frames: Frames) -> Image.Image:
    """Draw all frames as thumbnails in reading order, the time and index under each.

    Args:
        frames: what to show.

    Returns:
        An RGB image.
    """
    columns = min(_COLUMNS, len(frames))
    rows = math.ceil(len(frames) / columns)
    thumbnail_height, _ = thumbnail_size(frames.height, frames.width)
    cell_width, cell_height = _THUMBNAIL_WIDTH + _GAP, thumbnail_height + _LABEL_HEIGHT + _GAP
    sheet = Image.new("RGB", (columns * cell_width + _GAP, rows * cell_height + _GAP), _PAPER)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=12)
    for place in range(len(frames)):
        left = _GAP + place % columns * cell_width
        top = _GAP + place // columns * cell_height
        picture = Image.fromarray(np.ascontiguousarray(frames.pixels[place]))
        sheet.paste(picture.resize((_THUMBNAIL_WIDTH, thumbnail_height)), (left, top))
        label = f"{frames.timestamps_seconds[place]:.2f} s  (frame {frames.indices[place]})"
        draw.text((left, top + thumbnail_height + 3), label, _INK, font)
    return sheet
