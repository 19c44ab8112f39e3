"""What is kept differs from what was shown before; what is merged is the mean of its tokens."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from llava_video.representation import VideoRepresentation, make_layout, parse_representation
from llava_video.representation.dissimilarity import (
    compare_places,
    keep_tokens,
    link_tokens,
    select_tokens,
)
from llava_video.representation.layout import TokenLayout
from llava_video.representation.packing import pack_video
from llava_video.representation.pooling import pool_for
from llava_video.representation.selection import patch_mask
from tests.representation.strategies import representations, selecting

WIDTH = 6
VECTORS = {"newline_D": torch.full((WIDTH,), 7.0), "separator_D": torch.full((WIDTH,), -7.0)}


def features_of(representation: VideoRepresentation, num_frames: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(num_frames, representation.tokens_per_frame, WIDTH, generator=generator)


def without_selection(representation: VideoRepresentation) -> VideoRepresentation:
    return replace(representation, selection="all", keep_ratio=1.0)


def vectors_of(features: Tensor, layout: TokenLayout, frame: int, slow: bool) -> Tensor:
    return pool_for(features[frame : frame + 1], layout, slow)[0].flatten(0, 1)


def predecessor(layout: TokenLayout, frame: int, slow: bool) -> int | None:
    """The frame that a frame is compared with."""
    earlier = [b.frame for b in layout.blocks() if b.frame < frame and (b.slow or not slow)]
    return max(earlier, default=None)


@settings(deadline=None, max_examples=80)
@given(representations(), st.integers(1, 12), st.integers(0, 99))
def test_places_are_compared_with_the_frame_before_on_one_grid(
    representation: VideoRepresentation, num_frames: int, seed: int
) -> None:
    layout = make_layout(representation, num_frames)
    features = features_of(representation, num_frames, seed)
    expected = torch.zeros(layout.num_packed_tokens)
    for block in layout.blocks():
        before = predecessor(layout, block.frame, block.slow)
        if before is not None:
            now = vectors_of(features, layout, block.frame, block.slow)
            then = vectors_of(features, layout, before, block.slow)
            places = block.first_token + np.flatnonzero(patch_mask(layout, block.slow))
            expected[places] = 1 - torch.cosine_similarity(now, then, dim=-1)
    found = compare_places(features, layout)
    torch.testing.assert_close(torch.from_numpy(found), expected, rtol=1e-4, atol=1e-5)


@settings(deadline=None, max_examples=80)
@given(representations(), st.integers(1, 12), st.integers(0, 99))
def test_links_lead_to_the_most_similar_token_of_the_frame_before(
    representation: VideoRepresentation, num_frames: int, seed: int
) -> None:
    layout = make_layout(representation, num_frames)
    features = features_of(representation, num_frames, seed)
    dissimilarity, links = link_tokens(features, layout)
    blocks = {(block.frame, block.slow): block for block in layout.blocks()}
    linked = set()
    for block in layout.blocks():
        frame = predecessor(layout, block.frame, block.slow)
        if frame is None:
            continue
        before = blocks.get((frame, block.slow)) or blocks[frame, True]
        now = vectors_of(features, layout, block.frame, block.slow)
        then = vectors_of(features, layout, frame, before.slow)
        then_on_grid = vectors_of(features, layout, frame, block.slow)
        others = before.first_token + np.flatnonzero(patch_mask(layout, before.slow))
        own = block.first_token + np.flatnonzero(patch_mask(layout, block.slow))
        for place, vector in zip(own.tolist(), now, strict=True):
            similarity = torch.cosine_similarity(vector, then, dim=-1)
            chosen = others.tolist().index(links[place])
            assert similarity[chosen] == pytest.approx(float(similarity.max()), abs=1e-5)
            on_one_grid = torch.cosine_similarity(vector, then_on_grid, dim=-1)
            assert dissimilarity[place] == pytest.approx(1 - float(on_one_grid.max()), abs=1e-5)
            linked.add(place)
    assert set(np.flatnonzero(links >= 0).tolist()) == linked


@settings(deadline=None, max_examples=80)
@given(selecting(), st.integers(1, 12), st.integers(0, 99))
def test_packing_gives_as_many_tokens_as_the_layout_says(
    representation: VideoRepresentation, num_frames: int, seed: int
) -> None:
    layout = make_layout(representation, num_frames)
    features = features_of(representation, num_frames, seed)
    packed = pack_video(features, layout, **VECTORS)
    assert packed.shape == (layout.num_tokens, WIDTH)
    selection = select_tokens(features, layout)
    everything = pack_video(
        features, make_layout(without_selection(representation), num_frames), **VECTORS
    )
    assert torch.equal(packed, keep_tokens(everything, selection))
    if representation.selection != "tstm":
        assert torch.equal(packed, everything[selection.kept])


@settings(deadline=None, max_examples=60)
@given(selecting(), st.integers(1, 12), st.integers(0, 99))
def test_a_share_of_one_changes_no_byte(
    representation: VideoRepresentation, num_frames: int, seed: int
) -> None:
    whole = replace(representation, keep_ratio=1.0)
    features = features_of(representation, num_frames, seed).bfloat16()
    everything = pack_video(features, make_layout(without_selection(whole), num_frames), **VECTORS)
    assert torch.equal(pack_video(features, make_layout(whole, num_frames), **VECTORS), everything)


@settings(deadline=None, max_examples=80)
@given(selecting(), st.integers(2, 12), st.integers(0, 99))
def test_a_merged_token_is_the_mean_of_its_tree(
    representation: VideoRepresentation, num_frames: int, seed: int
) -> None:
    layout = make_layout(replace(representation, selection="tstm"), num_frames)
    features = features_of(representation, num_frames, seed)
    selection = select_tokens(features, layout)
    _, links = link_tokens(features, layout)
    trees: dict[int, list[int]] = {place: [] for place in selection.kept.tolist()}
    for place in range(layout.num_packed_tokens):
        root = place
        while root not in trees and links[root] >= 0:
            root = int(links[root])
        if root in trees:  # dropped newlines are nobody's
            trees[root].append(place)
    tokens = torch.randn(layout.num_packed_tokens, 3)
    expected = torch.stack([tokens[own].mean(dim=0) for own in trees.values()])
    torch.testing.assert_close(keep_tokens(tokens, selection), expected)
    frames = make_layout(without_selection(layout.representation), num_frames).frame_of_token()
    for root, own in trees.items():
        assert frames[root] == min(frames[own])  # its time is that of its first token


@settings(deadline=None, max_examples=40, derandomize=True)  # sums of another order may tie
@given(selecting(), st.integers(2, 12), st.integers(0, 99))
def test_the_choice_knows_neither_scale_nor_order_of_channels(
    representation: VideoRepresentation, num_frames: int, seed: int
) -> None:
    representation = replace(representation, selection="evs")
    layout = make_layout(representation, num_frames)
    features = features_of(representation, num_frames, seed)
    kept = select_tokens(features, layout).kept
    turned = 4 * features[:, :, np.random.default_rng(seed).permutation(WIDTH)]
    assert np.array_equal(select_tokens(turned, layout).kept, kept)


@pytest.mark.parametrize("method", ["evs", "tstm"])
@pytest.mark.parametrize("newline", ["grid", "none"])
def test_a_still_video_keeps_its_first_frame_and_spreads_the_rest(
    method: str, newline: str
) -> None:
    base = VideoRepresentation(max_frames=8, grid_side=8, newline=newline)  # type: ignore[arg-type]
    layout = make_layout(parse_representation(f"{method}=0.5", base), 8)
    features = torch.randn(1, 64, 32).expand(8, -1, -1)
    selection = select_tokens(features, layout)
    counts = np.bincount(selection.frame_of_token(), minlength=8)
    assert counts[0] == layout.tokens_per_block(slow=True)
    assert counts[1:].max() - counts[1:].min() <= 4
    assert np.array_equal(select_tokens(features, layout).kept, selection.kept)


def test_a_dissolve_keeps_what_changes() -> None:
    """One row of patches of a still video changes at every frame: it is kept, nothing else."""
    features = torch.randn(1, 64, 32).repeat(8, 1, 1)
    features[:, 16:32] = torch.randn(8, 16, 32)  # the second row of the pooled 4 x 4 grid
    layout = make_layout(parse_representation("8,64,1,2 evs=0.34375"), 8)
    assert layout.num_tokens == 16 + 7 * 4
    kept = select_tokens(features, layout).kept
    rows = kept[16:] % 16 // 4
    assert set(rows.tolist()) == {1}


def test_merging_follows_what_moves_and_dropping_does_not() -> None:
    """A picture shifted by one patch a frame: every token but a column's is found again."""
    picture = torch.randn(8, 16, 32)
    features = torch.stack([picture[:, t : t + 8].flatten(0, 1) for t in range(8)])
    layout = make_layout(parse_representation("8,64,1,1 tstm=0.25"), 8)
    dissimilarity, _ = link_tokens(features, layout)
    is_new = dissimilarity.reshape(8, 8, 8)[1:] > 1e-6
    assert is_new[:, :, :7].sum() == 0
    assert is_new[:, :, 7].all()
    assert (compare_places(features, layout).reshape(8, 8, 8)[1:] > 0.1).all()
    # All trees fit: each kept token is what each of its tokens was.
    packed = pack_video(features, layout)
    selection = select_tokens(features, layout)
    torch.testing.assert_close(packed[selection.holders], features.flatten(0, 1))


def test_random_tokens_are_those_of_the_video() -> None:
    layout = make_layout(parse_representation("8,64,1,2 random=0.5"), 8)
    one, other = torch.randn(2, 8, 64, 4)
    assert np.array_equal(select_tokens(one, layout).kept, select_tokens(one, layout).kept)
    assert not np.array_equal(select_tokens(one, layout).kept, select_tokens(other, layout).kept)


def test_gradients_reach_the_tokens_that_are_kept_or_merged() -> None:
    layout = make_layout(parse_representation("4,64,1,2 tstm=0.5"), 4)
    features = torch.randn(4, 64, 8, requires_grad=True)
    pack_video(features, layout).sum().backward()
    assert features.grad is not None
    assert (features.grad != 0).any(dim=-1).all()
