"""The video representation: V = (T, M, s, p) of the paper, pooling, order, newlines."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from llava_video.errors import RepresentationError

Pooling = Literal["average", "bilinear", "max", "max_1d", "adaptive"]
Arrangement = Literal["interleaved", "fast_then_slow", "slow_then_fast"]
Newline = Literal["grid", "frame", "end", "none"]
Selection = Literal["all", "evs", "tstm", "random"]

LINEAR_POOLINGS = frozenset({"average", "bilinear", "adaptive"})
"""Poolings that are weighted means: they commute with a linear layer and keep constants."""


@dataclass(frozen=True, slots=True)
class FrameGrid:
    """Tokens that one frame keeps after pooling: ``rows`` x ``columns``."""

    rows: int
    columns: int

    @property
    def num_tokens(self) -> int:
        """Tokens without newline or separator."""
        return self.rows * self.columns


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoRepresentation:
    """A video representation: V = (T, M, s, p), with M the square of ``grid_side``.

    Slow frames are pooled p x p, fast frames 2p x 2p (paper, section 1.2). ``slow_stride=1`` makes
    every frame slow: the paper's simple representation.

    Attributes:
        max_frames: T, the most frames sampled from a video.
        grid_side: side of the square of tokens that the vision encoder makes of a frame; M = side².
        slow_stride: s, every s-th frame is slow.
        pool_stride: p, the pooling stride of slow frames.
        pooling: ``average`` (the paper; sides round down: 27 -> 13), ``bilinear`` (the released
            checkpoints; sides round up: 27 -> 14), ``max`` (rounds down), ``max_1d`` (p neighbours
            along a row, SlowFast-LLaVA's slow frames), ``adaptive`` (to ``adaptive_side``).
        arrangement: ``interleaved`` (each frame once, in time order), ``fast_then_slow`` (LITA:
            every frame fast, then the slow ones again), ``slow_then_fast`` (SlowFast-LLaVA).
        newline: where the learned newline vector goes: after each row (``grid``), after each frame,
            once at the ``end``, or nowhere.
        separator: whether a second learned vector follows every frame (upstream's
            ``faster_token``).
        slow_phase: index of the first slow frame. 0 is the official code (ceil(T/s) slow frames),
            s - 1 the paper's count (floor(T/s)).
        fast_pool_stride: pooling stride of fast frames where it is not 2p (published LITA and
            SlowFast-LLaVA).
        fast_pooling: pooling of fast frames where it differs from that of slow ones.
        adaptive_side: output side of a slow frame for ``adaptive`` pooling; fast frames get half of
            it.
        selection: which of these tokens the language model gets: ``all``, or a share of them that
            is chosen by ``evs`` (drops what repeats the frame before), ``tstm`` (merges it) or at
            ``random`` (the control); see `selection` and `dissimilarity`.
        keep_ratio: that share, newlines and separators included.

    Raises:
        RepresentationError: a number is out of range, or a frame would keep no token.
    """

    max_frames: int = 64
    grid_side: int = 27
    slow_stride: int = 1
    pool_stride: int = 2
    pooling: Pooling = "average"
    arrangement: Arrangement = "interleaved"
    newline: Newline = "none"
    separator: bool = False
    slow_phase: int = 0
    fast_pool_stride: int | None = None
    fast_pooling: Pooling | None = None
    adaptive_side: int | None = None
    selection: Selection = "all"
    keep_ratio: float = 1.0

    def __post_init__(self) -> None:
        _check_literal("pooling", self.pooling, Pooling)
        _check_literal("arrangement", self.arrangement, Arrangement)
        _check_literal("newline", self.newline, Newline)
        _check_literal("selection", self.selection, Selection)
        if self.fast_pooling is not None:
            _check_literal("fast_pooling", self.fast_pooling, Pooling)
        for name in ("max_frames", "grid_side", "slow_stride", "pool_stride"):
            _check_positive(name, getattr(self, name))
        for name in ("fast_pool_stride", "adaptive_side"):
            if getattr(self, name) is not None:
                _check_positive(name, getattr(self, name))
        if not 0 <= self.slow_phase < self.slow_stride:
            raise RepresentationError(
                f"slow_phase must be from 0 to slow_stride - 1 = {self.slow_stride - 1}, "
                f"got {self.slow_phase}"
            )
        if (self.pooling == "adaptive") != (self.adaptive_side is not None):
            raise RepresentationError(
                "adaptive_side goes with pooling='adaptive', and only with it"
            )
        _check_share("keep_ratio", self.keep_ratio)
        if self.selection == "all" and self.keep_ratio != 1:
            raise RepresentationError(
                f"keep_ratio = {self.keep_ratio} needs a selection: evs, tstm or random"
            )
        _ = self.slow_grid
        if self.has_fast_frames:
            _ = self.fast_grid

    @property
    def tokens_per_frame(self) -> int:
        """M, the tokens that the vision encoder makes of a frame."""
        return self.grid_side**2

    @property
    def has_fast_frames(self) -> bool:
        """Whether any frame can be fast."""
        return self.slow_stride > 1 or self.arrangement != "interleaved"

    @property
    def fast_stride(self) -> int:
        """Pooling stride of fast frames: 2p unless said otherwise."""
        return self.fast_pool_stride or 2 * self.pool_stride

    @property
    def slow_grid(self) -> FrameGrid:
        """Rows and columns that a slow frame keeps."""
        return self._grid("slow", self.pooling, self.pool_stride, self.adaptive_side)

    @property
    def fast_grid(self) -> FrameGrid:
        """Rows and columns that a fast frame keeps."""
        half = None if self.adaptive_side is None else self.adaptive_side // 2
        return self._grid("fast", self.fast_pooling or self.pooling, self.fast_stride, half)

    def _grid(
        self, kind: str, pooling: Pooling, stride: int, adaptive_side: int | None
    ) -> FrameGrid:
        side = self.grid_side
        if pooling == "adaptive":
            rows = columns = min(adaptive_side or 0, side)
        elif pooling == "bilinear":
            rows = columns = math.ceil(side / stride) if stride <= side else 0
        elif pooling == "max_1d":
            if side % stride:
                raise RepresentationError(
                    "max_1d pooling needs a grid side that its stride divides, "
                    f"got {side} and {stride}"
                )
            rows, columns = side, side // stride
        else:
            rows = columns = side // stride
        if rows < 1 or columns < 1:
            raise RepresentationError(
                f"a {kind} frame would keep no token: pooling by {stride} is larger than the "
                f"{side} x {side} grid; use a smaller pool stride"
            )
        return FrameGrid(rows, columns)

    def __str__(self) -> str:
        numbers = (self.max_frames, self.tokens_per_frame, self.slow_stride, self.pool_stride)
        words = [",".join(map(str, numbers)), self.pooling]
        if self.adaptive_side is not None:
            words.append(f"to {self.adaptive_side}x{self.adaptive_side}")
        if self.arrangement != "interleaved":
            words.append(self.arrangement)
        if self.newline != "none":
            words.append(f"newline={self.newline}")
        if self.separator:
            words.append("separator")
        if self.slow_phase:
            words.append(f"phase={self.slow_phase}")
        if self.fast_pool_stride is not None or self.fast_pooling is not None:
            words.append(f"fast={self.fast_pooling or self.pooling}/{self.fast_stride}")
        if self.selection != "all":
            words.append(f"{self.selection}={self.keep_ratio}")
        return " ".join(words)

    def to_dict(self) -> dict[str, Any]:
        """Plain values under the names of the attributes, for configurations and JSON."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> VideoRepresentation:
        """The inverse of `to_dict`.

        Raises:
            RepresentationError: a key is unknown or a value is out of range.
        """
        check_keys(values, cls.__dataclass_fields__, "a video representation")
        return cls(**values)

    @classmethod
    def from_text(cls, text: str) -> VideoRepresentation:
        """The inverse of ``str``: ``"64,729,3,2 bilinear newline=grid separator"``.

        Raises:
            RepresentationError: no representation is written like this.
        """
        numbers, *words = text.split() or [""]
        values: dict[str, Any] = {}
        try:
            for word in words:
                name, _, value = word.partition("=")
                if word in get_args(Pooling):
                    values["pooling"] = word
                elif word in get_args(Arrangement):
                    values["arrangement"] = word
                elif is_selection(word):
                    values |= selection_values(word)
                elif word == "separator":
                    values["separator"] = True
                elif name == "newline":
                    values["newline"] = value
                elif name == "phase":
                    values["slow_phase"] = int(value)
                elif name == "fast":
                    pooling, _, stride = value.partition("/")
                    values |= {"fast_pooling": pooling, "fast_pool_stride": int(stride)}
                elif word != "to":
                    values["adaptive_side"] = int(word.partition("x")[0])
        except ValueError:
            raise RepresentationError(f"{text!r} is not the text of a representation") from None
        return cls.from_dict({**cls().with_numbers(numbers).to_dict(), **values})

    def with_numbers(self, text: str) -> VideoRepresentation:
        """This representation with other numbers: ``"T,M,s,p"``, as ``"64,729,3,2"``.

        Pooling, newlines and the rest stay as they are, because a checkpoint was trained with them;
        only the phase becomes 0 where it does not fit the stride.

        Raises:
            RepresentationError: the text is not four whole numbers, or they are out of range.
        """
        parts = text.split(",")
        try:
            frames, tokens, slow_stride, pool_stride = (int(part) for part in parts)
        except ValueError:
            raise RepresentationError(
                f"{text!r} is not a video representation; give four whole numbers T,M,s,p such as "
                "64,729,3,2 or a name that `llava-video presets` lists"
            ) from None
        side = math.isqrt(max(tokens, 0))
        if side * side != tokens or side == 0:
            raise RepresentationError(
                f"M = {tokens} tokens per frame is not the square of a whole number above zero; "
                "SigLIP so400m-384 makes 729 (27 x 27), the embedded tiny model 64 (8 x 8)"
            )
        return replace(
            self,
            max_frames=frames,
            grid_side=side,
            slow_stride=slow_stride,
            pool_stride=pool_stride,
            slow_phase=self.slow_phase if self.slow_phase < slow_stride else 0,
        )


def is_selection(word: str) -> bool:
    """Whether a word of a representation's text says which tokens are kept."""
    return word.partition("=")[0] in get_args(Selection)


def selection_values(word: str) -> dict[str, Any]:
    """The fields that ``evs=0.5`` or ``all`` stands for.

    Raises:
        RepresentationError: the share is missing or is not a number.
    """
    name, _, share = word.partition("=")
    try:
        return {"selection": name, "keep_ratio": 1.0 if word == "all" else float(share)}
    except ValueError:
        raise RepresentationError(
            f"{word!r} does not say which share of the tokens is kept; write {name}=0.5"
        ) from None


def paper_token_count(max_frames: int, tokens_per_frame: int, slow_stride: int, pool: int) -> int:
    """The formula printed in section 1.2 of the paper, taken literally.

    It rounds M/p² instead of the side of the grid and knows no newlines, so it differs from what
    any implementation produces: (64,729,3,2) gives 5,757, pooling 27 x 27 gives 5,097, Table 5 says
    5,396.
    """
    num_slow = max_frames // slow_stride
    num_fast = max_frames - num_slow
    slow_tokens = tokens_per_frame // pool**2
    return num_slow * slow_tokens + num_fast * (tokens_per_frame // (4 * pool**2))


def paper_even_grid_count(representation: VideoRepresentation) -> int:
    """The convention behind most figures that the paper prints: the formula on a grid of even side.

    A 27 x 27 grid counts as 26 x 26 = 676 tokens. With every frame fast and the slow ones repeated
    (LITA and SlowFast-LLaVA) this gives 5,408, 5,313, 18,590, 21,632 and 67,600 as printed. The
    5,396 of LLaVA-Video SlowFast is not reproduced by this or any other convention in whole
    numbers.
    """
    even_tokens = (representation.grid_side // 2 * 2) ** 2
    stride = representation.pool_stride
    num_slow = representation.max_frames // representation.slow_stride
    num_fast = representation.max_frames
    if representation.arrangement == "interleaved":
        num_fast -= num_slow
    return num_slow * (even_tokens // stride**2) + num_fast * (even_tokens // (4 * stride**2))


def _check_literal(name: str, value: str, literal: Any) -> None:
    if value not in get_args(literal):
        choices = ", ".join(get_args(literal))
        raise RepresentationError(f"{name} must be one of {choices}; got {value!r}")


def check_keys(values: Iterable[str], known: Iterable[str], what: str) -> None:
    """Refuse keys that are none of those known.

    Raises:
        RepresentationError: naming the first of them.
    """
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise RepresentationError(
            f"unknown key {unknown[0]!r} in {what}; known are {', '.join(known)}"
        )


def _check_share(name: str, value: float) -> None:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value <= 1:
        raise RepresentationError(f"{name} must be above 0 and at most 1, got {value!r}")


def _check_positive(name: str, value: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise RepresentationError(f"{name} must be a whole number above zero, got {value!r}")
