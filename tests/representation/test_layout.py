"""Layouts count what they hold, and the counts of the paper are pinned with their discrepancies."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llava_video.errors import RepresentationError
from llava_video.representation import (
    PRESETS,
    VideoRepresentation,
    make_layout,
    paper_even_grid_count,
    paper_token_count,
    parse_representation,
)
from tests.representation.strategies import representations


def slow_frames(representation: VideoRepresentation, num_frames: int) -> list[int]:
    return list(range(representation.slow_phase, num_frames, representation.slow_stride))


@given(representations(), st.integers(1, 20))
def test_blocks_cover_every_token_exactly_once(
    representation: VideoRepresentation, num_frames: int
) -> None:
    layout = make_layout(representation, num_frames)
    position = 0
    for block in layout.blocks():
        assert block.first_token == position
        position += block.num_tokens
    assert position + (representation.newline == "end") == layout.num_tokens


@given(representations(), st.integers(1, 20))
def test_order_of_frames_is_the_one_of_the_arrangement(
    representation: VideoRepresentation, num_frames: int
) -> None:
    slow = slow_frames(representation, num_frames)
    expected = {
        "interleaved": [(frame, frame in slow) for frame in range(num_frames)],
        "fast_then_slow": [(frame, False) for frame in range(num_frames)]
        + [(frame, True) for frame in slow],
        "slow_then_fast": [(frame, True) for frame in slow]
        + [(frame, False) for frame in range(num_frames)],
    }[representation.arrangement]
    blocks = list(make_layout(representation, num_frames).blocks())
    assert [(block.frame, block.slow) for block in blocks] == expected


@pytest.mark.parametrize(
    ("phase", "num_slow"),
    [(0, 22), (2, 21)],
    ids=["official code: ceil(T/s)", "paper: floor(T/s)"],
)
def test_slow_phase_decides_between_the_papers_and_the_official_count(
    phase: int, num_slow: int
) -> None:
    layout = make_layout(VideoRepresentation(slow_stride=3, slow_phase=phase), 64)
    assert layout.num_slow == num_slow
    assert layout.num_fast == 64 - num_slow


@pytest.mark.parametrize(
    ("name", "exact", "formula", "even_grid", "printed"),
    [
        ("simple", 5408, 5824, 5408, 5408),
        ("llava-video-slowfast", 5097, 5757, 5355, 5396),
        ("lita", 5061, 4767, 5313, 5313),
        ("slowfast-llava", 5061, 4767, 5313, 5313),
        ("lita-published", 356, None, None, None),
        ("slowfast-llava-published", 3680, None, None, None),
        ("llava-next-video", 4608, 4608, 4608, None),
        ("pllava", 2304, None, None, None),
        ("released-7b", 13440, 11648, 10816, None),
        ("released-72b", 7036, 5757, 5355, None),
        ("table4-32x169", 5408, 5824, 5408, None),
        ("table4-64x169", 10816, 11648, 10816, None),
        ("table4-110x169", 18590, 20020, 18590, 18590),
        ("table4-32x729", 23328, 23328, 21632, 21632),
        ("table4-440x64", 28160, None, None, None),
    ],
)
def test_counts_of_the_papers_tables(
    name: str, exact: int, formula: int | None, even_grid: int | None, printed: int | None
) -> None:
    preset = PRESETS[name]
    assert preset.num_tokens == exact
    assert preset.formula_num_tokens == formula
    assert preset.even_grid_num_tokens == even_grid
    assert preset.printed_num_tokens == printed


def test_every_printed_figure_but_one_follows_from_the_even_grid_convention() -> None:
    printed = {name: p for name, p in PRESETS.items() if p.printed_num_tokens is not None}
    unexplained = [n for n, p in printed.items() if p.even_grid_num_tokens != p.printed_num_tokens]
    assert unexplained == ["llava-video-slowfast"]
    hundred = VideoRepresentation(max_frames=100, pool_stride=1)
    assert paper_even_grid_count(hundred) == 67_600  # section 1.2


def test_official_slowfast_counts() -> None:
    slowfast = VideoRepresentation(slow_stride=3, newline="grid", separator=True)
    assert make_layout(slowfast, 64).num_tokens == 5832
    assert make_layout(slowfast, 5).num_tokens == 495
    assert paper_token_count(64, 729, 3, 2) == 5757


@pytest.mark.parametrize(
    ("pooling", "sides"),
    [("average", [27, 13, 9, 6, 3]), ("bilinear", [27, 14, 9, 7, 4])],
)
def test_sides_of_a_27_grid(pooling: str, sides: list[int]) -> None:
    for stride, side in zip([1, 2, 3, 4, 8], sides, strict=True):
        grid = VideoRepresentation.from_dict({"pooling": pooling, "pool_stride": stride}).slow_grid
        assert (grid.rows, grid.columns) == (side, side)


def test_fewer_frames_than_the_stride() -> None:
    early = VideoRepresentation(max_frames=8, slow_stride=4, slow_phase=0)
    late = VideoRepresentation(max_frames=8, slow_stride=4, slow_phase=3)
    assert [b.slow for b in make_layout(early, 2).blocks()] == [True, False]
    assert [b.slow for b in make_layout(late, 2).blocks()] == [False, False]
    assert make_layout(early, 1).num_tokens == 169


def test_frame_of_token_ends_without_a_frame_where_one_newline_ends_the_video() -> None:
    layout = make_layout(VideoRepresentation(grid_side=2, newline="end"), 3)
    np.testing.assert_array_equal(layout.frame_of_token(), [0, 1, 2, -1])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"max_frames": 0}, "max_frames must be a whole number above zero"),
        ({"slow_stride": 0}, "slow_stride must be a whole number above zero"),
        ({"pool_stride": 28}, "a slow frame would keep no token"),
        ({"slow_stride": 2, "pool_stride": 14}, "a fast frame would keep no token"),
        ({"slow_stride": 2, "slow_phase": 2}, "slow_phase must be from 0 to"),
        ({"pooling": "mean"}, "pooling must be one of average"),
        ({"pooling": "adaptive"}, "adaptive_side goes with"),
        ({"pooling": "bilinear", "pool_stride": 28}, "a slow frame would keep no token"),
        ({"pooling": "max_1d"}, "that its stride divides"),
        ({"colour": "blue"}, "unknown key 'colour'"),
    ],
)
def test_representations_that_cannot_be(values: dict[str, object], message: str) -> None:
    with pytest.raises(RepresentationError, match=message):
        VideoRepresentation.from_dict(values)


@pytest.mark.parametrize("num_frames", [0, -1, 65])
def test_layout_needs_one_to_max_frames(num_frames: int) -> None:
    with pytest.raises(RepresentationError, match="frame"):
        make_layout(VideoRepresentation(), num_frames)


@pytest.mark.parametrize(
    "text",
    [
        *("", "64", "64,729,3", "64,729,3,2,1", "64,728,3,2", "64,0,1,1", "0,729,1,2"),
        *("64,729,0,2", "64,729,3,28", "64,-729,3,2", "1.5,729,1,2", "nonsense", "64;729;3;2"),
    ],
)
def test_nonsense_text_is_refused(text: str) -> None:
    with pytest.raises(RepresentationError):
        parse_representation(text)


def test_numbers_keep_what_a_checkpoint_was_trained_with() -> None:
    base = VideoRepresentation(pooling="bilinear", newline="grid", separator=True)
    parsed = parse_representation("32,729,4,2", base)
    assert (parsed.max_frames, parsed.slow_stride) == (32, 4)
    assert (parsed.pooling, parsed.newline, parsed.separator) == ("bilinear", "grid", True)


def test_a_near_miss_names_the_preset_meant() -> None:
    with pytest.raises(RepresentationError, match="did you mean llava-video-slowfast"):
        parse_representation("llava-video-slowfats")


@given(representations())
def test_text_round_trip(representation: VideoRepresentation) -> None:
    again = VideoRepresentation.from_text(str(representation))
    assert str(again) == str(representation)
    one, other = (make_layout(layout, layout.max_frames) for layout in (again, representation))
    assert list(one.blocks()) == list(other.blocks())


@pytest.mark.parametrize("text", ["", "64,729,3", "64,729,3,2 soft", "64,729,3,2 phase=x"])
def test_text_that_is_no_representation_is_refused(text: str) -> None:
    with pytest.raises(RepresentationError):
        VideoRepresentation.from_text(text)


@given(representations())
def test_dictionary_round_trip(representation: VideoRepresentation) -> None:
    assert VideoRepresentation.from_dict(representation.to_dict()) == representation
