"""Images in integers: the same grids and counts as transformers' LlavaOnevision processor."""

from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers.image_processing_utils import select_best_resolution
from transformers.models.llava_onevision.processing_llava_onevision import LlavaOnevisionProcessor

from llava_video.errors import InputError, RepresentationError
from llava_video.representation.image_layout import (
    RELEASED_TILE_GRIDS,
    ImageRepresentation,
    best_tile_grid,
    make_image_layout,
)
from llava_video.representation.image_packing import pack_image

RELEASED = ImageRepresentation(tile_grids=RELEASED_TILE_GRIDS)
PINPOINTS = [[384 * rows, 384 * columns] for rows, columns in RELEASED_TILE_GRIDS]
SIDES = st.integers(20, 4000)


def onevision_count(height: int, width: int) -> int:
    processor = SimpleNamespace(
        image_processor=SimpleNamespace(image_grid_pinpoints=PINPOINTS),
        num_image_tokens=729,
        vision_aspect_ratio="anyres_max_9",
    )
    unpadded = LlavaOnevisionProcessor._get_unpadded_features
    processor._get_unpadded_features = lambda *sizes: unpadded(processor, *sizes)
    return LlavaOnevisionProcessor._get_number_of_features(processor, height, width, 384, 384)


@given(SIDES, SIDES)
def test_grids_and_counts_are_those_of_transformers(height: int, width: int) -> None:
    rows, columns = best_tile_grid(RELEASED, height, width)
    assert (rows * 384, columns * 384) == select_best_resolution((height, width), PINPOINTS)
    assert make_image_layout(RELEASED, height, width).num_tokens == onevision_count(height, width)


@pytest.mark.parametrize(
    ("height", "width", "grid", "rows", "columns", "num_tokens"),
    [
        (384, 384, (1, 1), 27, 27, 729 + 27 * 28),
        (768, 1024, (2, 3), 54, 73, 729 + 54 * 74),  # 72 of 81 columns; padding is cut in pairs
        (2304, 2304, (6, 6), 81, 81, 729 + 81 * 82),  # scaled down by two
        (100, 2304, (1, 6), 7, 162, 729 + 7 * 163),  # mostly padding, which is cut off
    ],
)
def test_layouts_by_hand(height, width, grid, rows, columns, num_tokens) -> None:  # type: ignore[no-untyped-def]
    layout = make_image_layout(RELEASED, height, width)
    assert (layout.tile_rows, layout.tile_columns) == grid
    assert (layout.rows, layout.columns) == (rows, columns)
    assert layout.num_tokens == num_tokens


def test_one_of_several_images_is_a_square() -> None:
    assert make_image_layout(RELEASED, 700, 1300, tiled=False).num_tokens == 730
    assert make_image_layout(ImageRepresentation(newline=False), 700, 1300).num_tokens == 729


@given(SIDES, SIDES, st.booleans(), st.sampled_from([None, 1, 4, 9]))
def test_packing_makes_as_many_tokens_as_the_layout_counts(
    height: int, width: int, newline: bool, max_tiles: int | None
) -> None:
    representation = ImageRepresentation(
        tile_size=32,
        grid_side=4,
        tile_grids=RELEASED_TILE_GRIDS,
        max_tiles=max_tiles,
        newline=newline,
    )
    try:
        layout = make_image_layout(representation, height, width)
    except InputError:
        assert max(height, width) > 20 * min(height, width)
        return
    tokens = pack_image(torch.ones(layout.num_tiles, 16, 1), layout, torch.zeros(1))
    assert len(tokens) == layout.num_tokens
    assert int((tokens == 0).sum()) == (layout.rows if newline else 0)


def test_tokens_stand_where_their_patch_is() -> None:
    """Each token names its row and column in the picture; they come out in reading order."""
    representation = ImageRepresentation(
        tile_size=32, grid_side=4, tile_grids=((2, 3),), max_tiles=None, newline=False
    )
    layout = make_image_layout(representation, 64, 96)
    places = torch.stack(
        torch.meshgrid(torch.arange(8.0), torch.arange(12.0), indexing="ij"), dim=-1
    )
    tiles = places.unflatten(0, (2, 4)).unflatten(2, (3, 4)).transpose(1, 2).reshape(6, 16, 2)
    tokens = pack_image(torch.cat([torch.zeros(1, 16, 2), tiles]), layout, None)
    torch.testing.assert_close(tokens[16:], places.flatten(0, 1))


def test_what_cannot_be() -> None:
    with pytest.raises(InputError, match="too narrow"):
        make_image_layout(ImageRepresentation(grid_side=4, tile_grids=((1, 6),)), 1, 3000)
    with pytest.raises(RepresentationError, match="start at 1"):
        ImageRepresentation(tile_grids=((0, 1),))
    with pytest.raises(RepresentationError, match="unknown key 'tiles'"):
        ImageRepresentation.from_dict({"tiles": 1})
    layout = make_image_layout(RELEASED, 384, 384)
    with pytest.raises(RepresentationError, match="the layout needs"):
        pack_image(torch.zeros(1, 729, 2), layout, torch.zeros(2))
    with pytest.raises(RepresentationError, match="need a newline vector"):
        pack_image(torch.zeros(2, 729, 2), layout, None)


def test_values_go_to_json_and_back() -> None:
    assert ImageRepresentation.from_dict(RELEASED.to_dict()) == RELEASED
