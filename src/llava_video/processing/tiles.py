"""Cuts pictures into the tiles of an image layout."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from llava_video.representation.image_layout import ImageLayout
from llava_video.video.resize import resize

SQUARE_COLOUR = 127
"""SigLIP's mean, rounded down: around an image that is padded to a square."""


def cut_tiles(picture: NDArray[np.uint8], layout: ImageLayout) -> NDArray[np.uint8]:
    """The base and the tiles of a picture: (H, W, 3) -> (N, S, S, 3), N = ``layout.num_tiles``.

    As ``process_anyres_image`` of the official code: the base is squeezed to a square; the tiles
    show the picture in its own aspect on black. An image without tiles is padded to a square.
    """
    size = layout.representation.tile_size
    if layout.num_tiles == 1:
        return np.stack([resize(_pad_to_square(picture), (size, size), exact=True)])
    base = resize(picture, (size, size), exact=True)
    height, width = layout.fitted_height, layout.fitted_width
    grid = np.zeros((layout.tile_rows * size, layout.tile_columns * size, 3), np.uint8)
    top, left = (grid.shape[0] - height) // 2, (grid.shape[1] - width) // 2
    grid[top : top + height, left : left + width] = resize(picture, (height, width), exact=True)
    # (rows * S, columns * S, 3) -> (rows, columns, S, S, 3)
    tiles = grid.reshape(layout.tile_rows, size, layout.tile_columns, size, 3).swapaxes(1, 2)
    return np.concatenate([base[None], tiles.reshape(-1, size, size, 3)])


def _pad_to_square(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width, _ = picture.shape
    side = max(height, width)
    square = np.full((side, side, 3), SQUARE_COLOUR, np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = picture
    return square
