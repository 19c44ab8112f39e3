"""Representations for property tests."""

from dataclasses import replace

from hypothesis import strategies as st

from llava_video.representation import VideoRepresentation


@st.composite
def representations(draw: st.DrawFn, max_side: int = 9) -> VideoRepresentation:
    stride = draw(st.integers(1, 5))
    side = draw(st.integers(4, max_side))
    pooling = draw(st.sampled_from(["average", "bilinear", "max", "adaptive"]))
    return VideoRepresentation(
        max_frames=20,
        grid_side=side,
        slow_stride=stride,
        slow_phase=draw(st.integers(0, stride - 1)),
        pool_stride=draw(st.integers(1, 2)),
        pooling=pooling,
        adaptive_side=draw(st.integers(2, side)) if pooling == "adaptive" else None,
        arrangement=draw(st.sampled_from(["interleaved", "fast_then_slow", "slow_then_fast"])),
        newline=draw(st.sampled_from(["grid", "frame", "end", "none"])),
        separator=draw(st.booleans()),
    )


@st.composite
def selecting(draw: st.DrawFn) -> VideoRepresentation:
    """Representations of which the language model gets a share of the tokens."""
    return replace(
        draw(representations()),
        selection=draw(st.sampled_from(["evs", "tstm", "random"])),
        keep_ratio=draw(st.sampled_from([0.01, 0.1, 0.25, 0.5, 0.9, 0.99, 1.0])),
    )
