"""Packs features of tiles into image tokens by the layout. Needs torch."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from llava_video.errors import RepresentationError
from llava_video.representation.image_layout import ImageLayout


def pack_image(features_NMD: Tensor, layout: ImageLayout, newline_D: Tensor | None) -> Tensor:
    """Turn the projected features of an image's tiles into its image tokens.

    Args:
        features_NMD: ``(N, M, D)``: the base, then the tiles, row by row.
        layout: made for this image.
        newline_D: the learned newline vector, where the representation has newlines.

    Returns:
        ``(V, D)`` image tokens, V = ``layout.num_tokens``: the base, then the rows of the tiles.

    Raises:
        RepresentationError: features and layout do not fit, or the newline vector is missing.
    """
    representation = layout.representation
    side = representation.grid_side
    if tuple(features_NMD.shape[:2]) != (layout.num_tiles, side**2):
        raise RepresentationError(
            f"features have {tuple(features_NMD.shape[:2])} tiles x tokens, the layout needs "
            f"{(layout.num_tiles, side**2)}"
        )
    if representation.newline and newline_D is None:
        raise RepresentationError("images with newlines need a newline vector; use newline=False")
    newline = (
        newline_D.to(features_NMD) if representation.newline and newline_D is not None else None
    )
    parts = [features_NMD[0]]
    if layout.num_tiles > 1:
        parts.append(_rows_of_tiles(features_NMD[1:], layout, newline))
    elif newline is not None:
        parts.append(newline[None])
    return torch.cat(parts)


def _rows_of_tiles(tiles_NMD: Tensor, layout: ImageLayout, newline: Tensor | None) -> Tensor:
    """The grid of all tiles, cut, scaled down and with a newline after each row: (tokens, D)."""
    side = layout.representation.grid_side
    tiles = tiles_NMD.unflatten(1, (side, side)).unflatten(0, (layout.tile_rows, -1))
    # (tile rows, tile columns, side, side, D) -> (R, C, D)
    grid_RCD: Tensor = tiles.transpose(1, 2).flatten(0, 1).flatten(1, 2)
    first_row, first_column = layout.first_row, layout.first_column
    grid_RCD = grid_RCD[
        first_row : len(grid_RCD) - first_row,
        first_column : grid_RCD.shape[1] - first_column,
    ]
    if tuple(grid_RCD.shape[:2]) != (layout.rows, layout.columns):
        size = (layout.rows, layout.columns)
        images_1DRC = grid_RCD.permute(2, 0, 1)[None]
        scaled_1DRC = functional.interpolate(images_1DRC, size, mode="bilinear")
        grid_RCD = scaled_1DRC[0].permute(1, 2, 0)
    if newline is not None:
        newlines = newline.expand(layout.rows, 1, -1)
        grid_RCD = torch.cat([grid_RCD, newlines], dim=1)
    return grid_RCD.flatten(0, 1)  # (R * (C + 1), D) with newlines
