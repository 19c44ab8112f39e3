"""Video representations with a name: the paper's, its peers' and those of checkpoints."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Any

from llava_video.errors import RepresentationError
from llava_video.representation.layout import make_layout
from llava_video.representation.video_representation import (
    VideoRepresentation,
    is_selection,
    paper_even_grid_count,
    paper_token_count,
    selection_values,
)


@dataclass(frozen=True, slots=True)
class Preset:
    """A named representation, with the count that its authors print.

    Attributes:
        name: what ``--representation`` takes.
        representation: the configuration.
        origin: where it comes from.
        printed_num_tokens: the count that the paper prints, if it prints one.
        note: how that figure is computed, or why it cannot be.
    """

    name: str
    representation: VideoRepresentation
    origin: str
    printed_num_tokens: int | None = None
    note: str = ""

    @property
    def num_tokens(self) -> int:
        """Exact count with all T frames, read off the layout."""
        return make_layout(self.representation, self.representation.max_frames).num_tokens

    @property
    def follows_formula(self) -> bool:
        """Whether the paper's formula applies: it assumes p x p and 2p x 2p pooling."""
        representation = self.representation
        return representation.adaptive_side is None and representation.fast_pool_stride is None

    @property
    def formula_num_tokens(self) -> int | None:
        """The paper's formula for the same T, M, s, p."""
        representation = self.representation
        if not self.follows_formula:
            return None
        return paper_token_count(
            representation.max_frames,
            representation.tokens_per_frame,
            representation.slow_stride,
            representation.pool_stride,
        )

    @property
    def even_grid_num_tokens(self) -> int | None:
        """The convention that reproduces most printed figures; see `paper_even_grid_count`."""
        return paper_even_grid_count(self.representation) if self.follows_formula else None


_DUPLICATED = "even-grid convention: 21 x 169 + 42 x 42"


def _preset(
    name: str,
    origin: str,
    representation: VideoRepresentation,
    printed: int | None = None,
    note: str = "",
) -> Preset:
    return Preset(name, representation, origin, printed, note)


def _paper(max_frames: int, slow_stride: int, **options: object) -> VideoRepresentation:
    """A row of the paper's tables: average pooling, no newlines, floor(T/s) slow frames."""
    values = {"slow_phase": slow_stride - 1, **options}
    return VideoRepresentation.from_dict(
        {"max_frames": max_frames, "slow_stride": slow_stride, **values}
    )


_ALL = [
    _preset("simple", "Table 5, simple representation", _paper(32, 1), 5408),
    _preset(
        "llava-video-slowfast",
        "Table 5, LLaVA-Video SlowFast",
        _paper(64, 3),
        5396,
        "no convention in whole numbers gives 5,396",
    ),
    _preset(
        "lita", "Table 5, LITA", _paper(42, 2, arrangement="fast_then_slow"), 5313, _DUPLICATED
    ),
    _preset(
        "slowfast-llava",
        "Table 5, SlowFast-LLaVA",
        _paper(42, 2, arrangement="slow_then_fast"),
        5313,
        _DUPLICATED,
    ),
    _preset(
        "lita-published",
        "LITA as published: CLIP-L/14-224, 100 frames of 1 token, then 4 of 64",
        VideoRepresentation(
            max_frames=100,
            grid_side=16,
            slow_stride=33,
            arrangement="fast_then_slow",
            fast_pool_stride=16,
        ),
    ),
    _preset(
        "slowfast-llava-published",
        "SlowFast-LLaVA as published: CLIP-L/14-336, 10 frames of 288 tokens, then 50 of 16",
        VideoRepresentation(
            max_frames=50,
            grid_side=24,
            slow_stride=5,
            pooling="max_1d",
            arrangement="slow_then_fast",
            fast_pooling="average",
            fast_pool_stride=6,
        ),
    ),
    _preset(
        "llava-next-video",
        "LLaVA-NeXT-Video: CLIP-L/14-336, 32 frames pooled 2 x 2",
        VideoRepresentation(max_frames=32, grid_side=24),
    ),
    _preset(
        "pllava",
        "PLLaVA: CLIP-L/14-336, 16 frames pooled to 12 x 12",
        VideoRepresentation(max_frames=16, grid_side=24, pooling="adaptive", adaptive_side=12),
    ),
    _preset(
        "released-7b",
        "LLaVA-Video-7B-Qwen2 as released",
        VideoRepresentation(pooling="bilinear", newline="grid"),
    ),
    _preset(
        "released-72b",
        "LLaVA-Video-72B-Qwen2: SlowFast as the official code meant it",
        VideoRepresentation(slow_stride=3, pooling="bilinear", newline="grid", separator=True),
    ),
    _preset(
        "table4-32x169", "Table 4, 32 frames x 169 tokens (also inference row 1)", _paper(32, 1)
    ),
    _preset(
        "table4-64x169", "Table 4, 64 frames x 169 tokens (also inference row 2)", _paper(64, 1)
    ),
    _preset(
        "table4-110x169",
        "Table 4, 110 frames x 169 tokens (also inference row 3)",
        _paper(110, 1),
        18590,
    ),
    _preset(
        "table4-32x729",
        "Table 4, 32 frames x 729 tokens",
        _paper(32, 1, pool_stride=1),
        21632,
        "even-grid convention: the paper counts 676 tokens per frame, the row says 729",
    ),
    _preset(
        "table4-440x64",
        "Table 4, 440 frames x 64 tokens",
        _paper(440, 1, pooling="adaptive", adaptive_side=8),
        None,
        "no whole-number stride takes 27 x 27 to 8 x 8: adaptive pooling",
    ),
]

PRESETS: dict[str, Preset] = {preset.name: preset for preset in _ALL}


def split_selection(text: str) -> tuple[str, dict[str, Any]]:
    """A representation's text without the word that says which tokens are kept, and that as fields.

    ``"64,729,3,2 evs=0.5"`` gives ``"64,729,3,2"`` and ``{"selection": "evs", "keep_ratio": 0.5}``.

    Raises:
        RepresentationError: the word has no share that is a number.
    """
    words = text.split()
    chosen = [selection_values(word) for word in words if is_selection(word)]
    rest = " ".join(word for word in words if not is_selection(word))
    return rest, chosen[-1] if chosen else {}


def parse_representation(text: str, base: VideoRepresentation | None = None) -> VideoRepresentation:
    """Read ``T,M,s,p`` or the name of a preset, with or without a selection of tokens.

    Args:
        text: for example ``64,729,3,2``, ``llava-video-slowfast``, ``64,729,3,2 evs=0.5`` or only
            ``evs=0.5``, which changes nothing else. What ``str`` of a representation says is read
            too, and holds everything.
        base: other values (pooling, newlines, ...), as a rule those of the checkpoint; by
            default the paper's average pooling without newlines.

    Raises:
        RepresentationError: neither a preset nor four fitting numbers nor a selection.
    """
    base = base or VideoRepresentation()
    name, selection = split_selection(text)
    if name in PRESETS:
        representation = PRESETS[name].representation
    elif selection and not name:
        representation = base
    elif name[:1].isdigit() and any(character.isalpha() for character in name):
        return VideoRepresentation.from_text(text)
    elif any(character.isalpha() for character in name):
        near = difflib.get_close_matches(name, PRESETS, n=1)
        hint = f"did you mean {near[0]}?" if near else "see `llava-video presets`"
        raise RepresentationError(f"no representation is called {name!r}; {hint}")
    else:
        representation = base.with_numbers(name)
    return VideoRepresentation.from_dict({**representation.to_dict(), **selection})
