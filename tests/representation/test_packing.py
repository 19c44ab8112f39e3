"""Packing equals the obvious loop over frames, and linear poolings commute with linear layers."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from llava_video.errors import RepresentationError
from llava_video.representation import LINEAR_POOLINGS, VideoRepresentation, make_layout, packing
from llava_video.representation.packing import pack_video, pool_frames
from tests.representation.strategies import representations

WIDTH = 5


def pack_frame_by_frame(
    features: Tensor, representation: VideoRepresentation, newline: Tensor, separator: Tensor
) -> Tensor:
    """The reference: one frame after the other, channels first, as the official code writes it."""
    side = representation.grid_side
    num_frames = len(features)

    def tokens_of(frame: int, slow: bool) -> list[Tensor]:
        grid = representation.slow_grid if slow else representation.fast_grid
        stride = representation.pool_stride if slow else representation.fast_stride
        image = features[frame].T.reshape(1, -1, side, side)
        pooled = {
            "average": lambda: functional.avg_pool2d(image, stride),
            "max": lambda: functional.max_pool2d(image, stride),
            "bilinear": lambda: functional.interpolate(image, (grid.rows,) * 2, mode="bilinear"),
            "adaptive": lambda: functional.adaptive_avg_pool2d(image, (grid.rows,) * 2),
        }[representation.pooling]()
        tokens = []
        for row in range(grid.rows):
            tokens += [pooled[0, :, row, column] for column in range(grid.columns)]
            if representation.newline == "grid":
                tokens.append(newline)
        if representation.newline == "frame":
            tokens.append(newline)
        if representation.separator:
            tokens.append(separator)
        return tokens

    slow = set(range(representation.slow_phase, num_frames, representation.slow_stride))
    frames = range(num_frames)
    order = {
        "interleaved": [(frame, frame in slow) for frame in frames],
        "fast_then_slow": [(f, False) for f in frames] + [(f, True) for f in sorted(slow)],
        "slow_then_fast": [(f, True) for f in sorted(slow)] + [(f, False) for f in frames],
    }[representation.arrangement]
    tokens = [token for frame, is_slow in order for token in tokens_of(frame, is_slow)]
    if representation.newline == "end":
        tokens.append(newline)
    return torch.stack(tokens)


def example(representation: VideoRepresentation, num_frames: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(num_frames)
    features = torch.randn(num_frames, representation.tokens_per_frame, WIDTH, generator=generator)
    return features, torch.full((WIDTH,), 7.0), torch.full((WIDTH,), -7.0)


@settings(deadline=None, max_examples=150)
@given(representations(), st.integers(1, 20), st.integers(1, 30))
def test_packing_equals_the_loop_over_frames(
    representation: VideoRepresentation, num_frames: int, window: int
) -> None:
    features, newline, separator = example(representation, num_frames)
    layout = make_layout(representation, num_frames)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(packing.FRAMES_PER_WINDOW, "cpu", window)
        packed = pack_video(features, layout, newline_D=newline, separator_D=separator)
    assert packed.shape == (layout.num_tokens, WIDTH)
    expected = pack_frame_by_frame(features, representation, newline, separator)
    torch.testing.assert_close(packed, expected)


def test_max_1d_pools_neighbours_along_the_flattened_tokens() -> None:
    features = torch.randn(3, 16, WIDTH)
    grid = VideoRepresentation(grid_side=4, pooling="max_1d", pool_stride=2).slow_grid
    expected = functional.max_pool1d(features.transpose(1, 2), 2).transpose(1, 2)
    torch.testing.assert_close(pool_frames(features, "max_1d", 2, grid).flatten(1, 2), expected)


@settings(deadline=None, max_examples=60)
@given(representations().filter(lambda r: r.pooling in LINEAR_POOLINGS), st.integers(1, 9))
def test_linear_poolings_move_in_front_of_a_linear_layer(
    representation: VideoRepresentation, num_frames: int
) -> None:
    features, newline, separator = example(representation, num_frames)
    linear = torch.nn.Linear(WIDTH, WIDTH)
    layout = make_layout(representation, num_frames)

    vectors = {"newline_D": newline, "separator_D": separator}
    early = pack_video(features, layout, after_pooling=linear, **vectors)
    late = pack_video(features, layout, before_pooling=linear, **vectors)
    torch.testing.assert_close(early, late, rtol=1e-5, atol=1e-5)


def test_max_pooling_does_not_commute() -> None:
    features = torch.randn(1, 16, WIDTH)
    linear = torch.nn.Linear(WIDTH, WIDTH)
    grid = VideoRepresentation(grid_side=4).slow_grid
    after = pool_frames(linear(features), "max", 2, grid)
    before = linear(pool_frames(features, "max", 2, grid))
    assert not torch.allclose(after, before, atol=1e-3)


@pytest.mark.parametrize("pooling", sorted(LINEAR_POOLINGS))
def test_linear_poolings_keep_constants(pooling: str) -> None:
    representation = VideoRepresentation.from_dict(
        {"pooling": pooling, "adaptive_side": 8 if pooling == "adaptive" else None}
    )
    ones = torch.full((2, 729, WIDTH), 3.0)
    pooled = pool_frames(ones, representation.pooling, 2, representation.slow_grid)
    torch.testing.assert_close(pooled, torch.full_like(pooled, 3.0))


@settings(deadline=None, max_examples=25)
@given(representations(max_side=5), st.integers(1, 9))
def test_gradients_equal_those_of_the_loop(
    representation: VideoRepresentation, num_frames: int
) -> None:
    tensors = [t.double().requires_grad_() for t in example(representation, num_frames)]
    layout = make_layout(representation, num_frames)
    packed = pack_video(tensors[0], layout, newline_D=tensors[1], separator_D=tensors[2])
    expected = pack_frame_by_frame(tensors[0], representation, tensors[1], tensors[2])
    weights = torch.randn_like(packed)
    grads = torch.autograd.grad((packed * weights).sum(), tensors, allow_unused=True)
    wanted = torch.autograd.grad((expected * weights).sum(), tensors, allow_unused=True)
    for grad, want in zip(grads, wanted, strict=True):
        assert (grad is None) == (want is None)
        if grad is not None:
            torch.testing.assert_close(grad, want)


def test_features_that_do_not_fit_the_layout_are_refused() -> None:
    layout = make_layout(VideoRepresentation(grid_side=4), 3)
    with pytest.raises(RepresentationError, match="the layout needs"):
        pack_video(torch.zeros(2, 16, WIDTH), layout)


def test_missing_learned_vectors_are_named() -> None:
    features = torch.zeros(3, 16, WIDTH)
    with pytest.raises(RepresentationError, match="needs a newline vector"):
        pack_video(features, make_layout(VideoRepresentation(grid_side=4, newline="grid"), 3))
    with pytest.raises(RepresentationError, match="no separator vector"):
        pack_video(features, make_layout(VideoRepresentation(grid_side=4, separator=True), 3))
