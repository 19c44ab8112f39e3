"""As many tokens are kept as the layout says, whatever the video: frames, rows and times stay."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from llava_video.errors import RepresentationError
from llava_video.representation import VideoRepresentation, make_layout, parse_representation
from llava_video.representation.layout import TokenLayout
from llava_video.representation.selection import (
    TokenSelection,
    choose_tokens,
    patch_mask,
    row_of_token,
)
from tests.representation.strategies import selecting

SEEDS = st.integers(0, 99)


def drawn(layout: TokenLayout, seed: int, num_values: int = 10**9) -> NDArray[np.float64]:
    """A value for each token, of which few may be told apart."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, num_values, layout.num_packed_tokens).astype(np.float64)


def walk(layout: TokenLayout, dissimilarity: NDArray[np.float64]) -> list[int]:
    """The reference: one token after the other, with what its row and frame need."""
    newline, separator = layout.representation.newline, layout.representation.separator
    needs: dict[int, set[int]] = {}  # of each patch: the places of what stands behind it
    for block in layout.blocks():
        grid = layout.grid(block.slow)
        end = block.first_token + block.num_tokens
        ends = set(range(end - (newline == "frame") - separator, end))
        for row in range(grid.rows):
            width = grid.columns + (newline == "grid")
            first = block.first_token + row * width
            own = {first + grid.columns} if newline == "grid" else set()
            for place in range(first, first + grid.columns):
                needs[place] = ends | own
    kept = {p for a in layout.anchors() for p in range(a.first_token, a.first_token + a.num_tokens)}
    if newline == "end":
        kept.add(layout.num_packed_tokens - 1)

    free = sorted(set(needs) - kept)
    spread = {place: index * ((5**0.5 - 1) / 2) % 1.0 for index, place in enumerate(free)}
    for place in sorted(free, key=lambda place: (-dissimilarity[place], spread[place])):
        wanted = {place, *needs[place]} - kept
        if len(kept) + len(wanted) <= layout.num_tokens:
            kept |= wanted
    specials = sorted(set(range(layout.num_packed_tokens)) - set(needs) - kept)
    return sorted(kept | set(specials[: layout.num_tokens - len(kept)]))


@settings(deadline=None, max_examples=150)
@given(selecting(), st.integers(1, 12), SEEDS, st.sampled_from([1, 3, 10**9]))
def test_the_choice_is_that_of_a_walk_from_the_most_to_the_least_dissimilar(
    representation: VideoRepresentation, num_frames: int, seed: int, num_values: int
) -> None:
    layout = make_layout(representation, num_frames)
    dissimilarity = drawn(layout, seed, num_values)
    assert choose_tokens(layout, dissimilarity).tolist() == walk(layout, dissimilarity)


@settings(deadline=None)
@given(selecting(), st.integers(1, 20), SEEDS)
def test_the_number_of_tokens_is_known_before_the_video(
    representation: VideoRepresentation, num_frames: int, seed: int
) -> None:
    layout = make_layout(representation, num_frames)
    kept = choose_tokens(layout, drawn(layout, seed))
    assert len(kept) == layout.num_tokens
    share = round(representation.keep_ratio * layout.num_packed_tokens)
    anchored = sum(anchor.num_tokens for anchor in layout.anchors())
    assert layout.num_tokens == max(share, anchored + (representation.newline == "end"))


@settings(deadline=None)
@given(selecting(), st.integers(1, 20), SEEDS)
def test_tokens_stay_in_order_with_their_frames(
    representation: VideoRepresentation, num_frames: int, seed: int
) -> None:
    layout = make_layout(representation, num_frames)
    kept = choose_tokens(layout, drawn(layout, seed))
    assert (np.diff(kept) > 0).all()
    selection = TokenSelection(layout, kept, np.zeros(layout.num_packed_tokens, np.int64))
    frames = selection.frame_of_token()
    expected = [
        block.frame for block in layout.blocks() for _ in range(int(selection.is_kept(block).sum()))
    ]
    assert frames.tolist() == expected + [-1] * (representation.newline == "end")


@settings(deadline=None)
@given(selecting(), st.integers(1, 20), SEEDS)
def test_a_row_that_keeps_a_token_keeps_its_newline_and_the_end_of_its_frame(
    representation: VideoRepresentation, num_frames: int, seed: int
) -> None:
    layout = make_layout(representation, num_frames)
    selection = TokenSelection(
        layout,
        choose_tokens(layout, drawn(layout, seed)),
        np.zeros(layout.num_packed_tokens, np.int64),
    )
    num_alone = 0
    for block in layout.blocks():
        is_kept, is_patch = selection.is_kept(block), patch_mask(layout, block.slow)
        rows = row_of_token(layout, block.slow)
        for row in {-1, *rows.tolist()}:
            own = rows == row if row >= 0 else np.ones(len(rows), bool)
            ends = is_kept[~is_patch & (rows == row)]
            if (is_kept & is_patch & own).any():
                assert ends.all()
            else:
                num_alone += int(ends.sum())
    assert num_alone <= 2  # what no token fitted into


@settings(deadline=None)
@given(selecting(), st.integers(1, 20), SEEDS)
def test_frames_without_a_predecessor_are_kept_whole(
    representation: VideoRepresentation, num_frames: int, seed: int
) -> None:
    layout = make_layout(representation, num_frames)
    selection = TokenSelection(
        layout,
        choose_tokens(layout, drawn(layout, seed)),
        np.zeros(layout.num_packed_tokens, np.int64),
    )
    blocks = list(layout.blocks())
    for slow in (True, False):
        first = min((block.frame for block in blocks if block.slow == slow), default=None)
        for block in blocks:
            if block.slow == slow and block.frame == (first if slow else 0):
                assert selection.is_kept(block).all()


def test_equal_tokens_are_spread_over_the_video() -> None:
    layout = make_layout(parse_representation("64,729,1,2 evs=0.25"), 64)
    kept = choose_tokens(layout, np.zeros(layout.num_packed_tokens))
    counts = np.bincount(layout.frame_of_token(kept), minlength=64)
    assert counts[0] == 169
    assert set(counts[1:].tolist()) <= {39, 40, 41, 42}


def test_the_layout_of_a_selection_does_not_guess_which_tokens_are_kept() -> None:
    layout = make_layout(parse_representation("12,64,3,2 evs=0.5"), 12)
    assert (layout.num_tokens, layout.num_packed_tokens) == (48, 96)
    with pytest.raises(RepresentationError, match="which 48 of 96 tokens are kept depends on"):
        layout.frame_of_token()


def test_a_selection_of_another_size_is_refused() -> None:
    layout = make_layout(parse_representation("12,64,3,2 evs=0.5"), 12)
    with pytest.raises(RepresentationError, match="47 tokens are kept, not 48"):
        TokenSelection(layout, np.arange(47), np.arange(96))
    with pytest.raises(RepresentationError, match="another layout"):
        TokenSelection(layout, np.arange(48), np.arange(95))


@given(selecting())
def test_a_selection_is_part_of_the_text_and_the_value(representation: VideoRepresentation) -> None:
    assert VideoRepresentation.from_text(str(representation)) == representation
    assert parse_representation(str(representation), VideoRepresentation()) == representation
    assert parse_representation("64, 729, 3, 2") == parse_representation("64,729,3,2")
    assert VideoRepresentation.from_dict(representation.to_dict()) == representation
    assert str(representation).endswith(f"{representation.selection}={representation.keep_ratio}")


def test_a_selection_is_asked_for_beside_numbers_a_name_or_alone() -> None:
    base = VideoRepresentation(newline="grid", pooling="bilinear", max_frames=32)
    alone = parse_representation("evs=0.5", base)
    assert str(alone) == "32,729,1,2 bilinear newline=grid evs=0.5"
    assert parse_representation("32,729,1,2 evs=0.5", base) == alone
    assert parse_representation("all", alone) == base
    assert str(parse_representation("released-7b tstm=0.1")).endswith("newline=grid tstm=0.1")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("evs", "'evs' does not say which share of the tokens is kept; write evs=0.5"),
        ("64,729,3,2 evs=half", "'evs=half' does not say which share"),
        ("evs=0", "keep_ratio must be above 0 and at most 1, got 0.0"),
        ("evs=1.5", "keep_ratio must be above 0 and at most 1, got 1.5"),
        ("evs=nan", "keep_ratio must be above 0 and at most 1, got nan"),
        ("vse=0.5", "no representation is called 'vse=0.5'"),
    ],
)
def test_what_is_no_selection_is_said(text: str, message: str) -> None:
    with pytest.raises(RepresentationError) as caught:
        parse_representation(text)
    assert message in str(caught.value)


def test_a_share_needs_a_way_to_choose_it() -> None:
    with pytest.raises(RepresentationError, match="needs a selection"):
        VideoRepresentation(keep_ratio=0.5)
