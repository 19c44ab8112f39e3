"""Images: how a picture is cut into tiles, and where its tokens go. Integers only.

The released checkpoints show a single image twice: squeezed into one square (the base), and at more
detail, fitted into a grid of square tiles without changing its aspect. After the vision encoder the
tokens of the tiles form one large grid; rows and columns of padding are cut off,
a grid of too many tokens is scaled down, and each row ends in the newline vector (``anyres_max_9``
with ``spatial_unpad`` in the official code). Each of several images is one square, as is any image
of a model that was not trained on tiles.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from llava_video.errors import InputError, RepresentationError
from llava_video.representation.video_representation import VideoRepresentation, check_keys

TileGrid = tuple[int, int]
"""Rows and columns of tiles."""

RELEASED_TILE_GRIDS: tuple[TileGrid, ...] = tuple(
    (rows, columns) for columns in range(1, 7) for rows in range(1, 7)
)
"""Up to 6 x 6 tiles, in the order of the released configurations."""

_SCALED_DOWN_FROM = 1.1
"""A grid is scaled down where its sides exceed those of ``max_tiles`` by more than this factor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRepresentation:
    """How images become tiles and tokens.

    Attributes:
        tile_size: side of a tile in pixels.
        grid_side: side of the square of tokens that the vision encoder makes of a tile.
        tile_grids: the grids of tiles to choose from; none where every image is one square.
        max_tiles: a grid keeps at most the tokens of this many tiles; None for no limit.
        newline: whether the learned newline vector ends each row of tiles, or a square.
        unsupported: why images of this checkpoint cannot be shown here, where they cannot.

    Raises:
        RepresentationError: a number is below 1.
    """

    tile_size: int = 384
    grid_side: int = 27
    tile_grids: tuple[TileGrid, ...] = ()
    max_tiles: int | None = 9
    newline: bool = True
    unsupported: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "tile_grids", tuple((r, c) for r, c in self.tile_grids))
        numbers = [self.tile_size, self.grid_side, *sum(self.tile_grids, ())]
        if min(*numbers, 1 if self.max_tiles is None else self.max_tiles) < 1:
            raise RepresentationError(f"numbers of an image representation start at 1: {self}")

    def to_dict(self) -> dict[str, Any]:
        """Plain values under the names of the attributes, for configurations and JSON."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        if not self.unsupported:
            del values["unsupported"]
        return {**values, "tile_grids": [list(grid) for grid in self.tile_grids]}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ImageRepresentation:
        """The inverse of `to_dict`.

        Raises:
            RepresentationError: a key is unknown or a value is out of range.
        """
        check_keys(values, cls.__dataclass_fields__, "an image representation")
        return cls(**values)


def complete_image_values(
    values: dict[str, Any] | None, image_size: int, representation: VideoRepresentation
) -> dict[str, Any]:
    """Values of an `ImageRepresentation` where some or all of them are not given.

    Images then are single squares, which end in the newline vector if videos have newlines.
    """
    given = {
        "tile_size": image_size,
        "grid_side": representation.grid_side,
        "newline": representation.newline != "none",
    }
    return ImageRepresentation.from_dict({**given, **(values or {})}).to_dict()


@dataclass(frozen=True, slots=True)
class ImageLayout:
    """The tiles and the tokens of one image.

    Attributes:
        representation: what it was made from.
        tile_rows: rows of tiles, 0 where the image is one square.
        tile_columns: columns of tiles, 0 where the image is one square.
        fitted_height: rows of the picture in the grid of tiles, in pixels, before padding.
        fitted_width: its columns.
        first_row: first row of the grid of tokens that shows more than padding.
        first_column: first such column; as many are cut off at the other end.
        rows: rows of tokens that stay, after scaling down.
        columns: columns of tokens that stay.
    """

    representation: ImageRepresentation
    tile_rows: int = 0
    tile_columns: int = 0
    fitted_height: int = 0
    fitted_width: int = 0
    first_row: int = 0
    first_column: int = 0
    rows: int = 0
    columns: int = 0

    @property
    def num_tiles(self) -> int:
        """Squares that go through the vision encoder, the base among them."""
        return 1 + self.tile_rows * self.tile_columns

    @property
    def num_tokens(self) -> int:
        """Tokens of the image, newlines included."""
        newline = int(self.representation.newline)
        base = self.representation.grid_side**2
        if self.num_tiles == 1:
            return base + newline
        return base + self.rows * (self.columns + newline)


def make_image_layout(
    representation: ImageRepresentation, height: int, width: int, *, tiled: bool = True
) -> ImageLayout:
    """Lay out the tiles and tokens of an image.

    Args:
        representation: of the model.
        height: rows of the picture, in pixels.
        width: its columns.
        tiled: whether the image may have tiles; False where it is one of several.

    Raises:
        InputError: the picture is too narrow to keep a token, or images cannot be shown.
    """
    if representation.unsupported:
        raise InputError(
            f"images cannot be shown to this checkpoint, videos can: {representation.unsupported}"
        )
    if not tiled or not representation.tile_grids:
        return ImageLayout(representation)
    tile_rows, tile_columns = best_tile_grid(representation, height, width)
    grid_height, grid_width = (n * representation.tile_size for n in (tile_rows, tile_columns))
    all_rows, all_columns = (n * representation.grid_side for n in (tile_rows, tile_columns))
    # In floating point, as upstream: rounding up can hit one pixel more than the exact quotient.
    fitted_height = min(math.ceil(height * (grid_width / width)), grid_height)
    fitted_width = min(math.ceil(width * (grid_height / height)), grid_width)
    first_row = first_column = 0
    if width * all_rows > all_columns * height:  # wider than its grid: padding above and below
        first_row = (all_rows - height * all_columns // width) // 2
    else:
        first_column = (all_columns - width * all_rows // height) // 2
    rows, columns = _scaled_down(
        representation, all_rows - 2 * first_row, all_columns - 2 * first_column
    )
    if rows < 1 or columns < 1:
        raise InputError(
            f"an image of {width} x {height} pixels is too narrow to show; crop or pad it"
        )
    return ImageLayout(
        representation,
        tile_rows,
        tile_columns,
        fitted_height,
        fitted_width,
        first_row,
        first_column,
        rows,
        columns,
    )


def best_tile_grid(representation: ImageRepresentation, height: int, width: int) -> TileGrid:
    """The grid that keeps most of a picture's pixels; among equals, the one with least padding.

    Pixels of an enlarged picture are not counted. Among grids equal in both the first one wins.
    """

    def fitness(grid: TileGrid) -> tuple[int, int]:
        grid_height, grid_width = (n * representation.tile_size for n in grid)
        scale = min(grid_width / width, grid_height / height)
        kept = min(int(width * scale) * int(height * scale), width * height)
        return kept, kept - grid_height * grid_width

    return max(representation.tile_grids, key=fitness)


def _scaled_down(representation: ImageRepresentation, rows: int, columns: int) -> tuple[int, int]:
    """Rows and columns of tokens, at most about ``max_tiles`` tiles of them."""
    if representation.max_tiles is None:
        return rows, columns
    most = representation.max_tiles * representation.grid_side**2
    ratio = math.sqrt(rows * columns / most)
    if ratio <= _SCALED_DOWN_FROM:
        return rows, columns
    return int(rows // ratio), int(columns // ratio)
