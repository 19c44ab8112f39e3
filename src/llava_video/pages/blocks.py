"""Blocks of a page. Texts are plain: each renderer escapes them for its medium."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Figure:
    """A picture.

    Attributes:
        source: a ``data:`` URL, so that the page needs no other file.
        caption: below it.
    """

    source: str
    caption: str = ""


@dataclass(frozen=True, slots=True)
class Figures:
    """Pictures side by side.

    Attributes:
        figures: in order.
        are_small: for a cell of a table.
        are_wide: as wide as the page, below each other.
    """

    kind: ClassVar[str] = "figures"
    figures: Sequence[Figure]
    are_small: bool = False
    are_wide: bool = False


Cell = str | int | Figures
"""Of a table; whole numbers get thousands separators."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells below a head.

    Attributes:
        head: names of the columns.
        rows: as many cells each.
        align: ``l`` or ``r`` for each column, as in LaTeX; all to the left by default.
        title: above it.
        marked: index of the highlighted row, or None.
    """

    kind: ClassVar[str] = "table"
    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    align: str = ""
    title: str = ""
    marked: int | None = None

    def __post_init__(self) -> None:
        widths = {len(self.head), *(len(row) for row in self.rows)}
        widths |= {len(self.align)} if self.align else set()
        if len(widths) > 1:
            raise ValueError(f"columns of head, rows and align differ: {sorted(widths)}")

    @property
    def sides(self) -> str:
        """``l`` or ``r`` for each column."""
        return self.align or "l" * len(self.head)


@dataclass(frozen=True, slots=True)
class Bar:
    """A length with its name and its value as text; ``reference`` is a length beside it."""

    name: str
    length: float
    text: str
    reference: float | None = None


@dataclass(frozen=True, slots=True)
class Bars:
    """Bars below each other, as long as their values.

    Attributes:
        bars: from the top.
        names: of the bars and of their references, where there are any.
    """

    kind: ClassVar[str] = "bars"
    bars: Sequence[Bar]
    names: tuple[str, str] | None = None

    @property
    def longest(self) -> float:
        """The length of a bar of full width."""
        return max((max(bar.length, bar.reference or 0) for bar in self.bars), default=0) or 1


@dataclass(frozen=True, slots=True)
class Histogram:
    """How often values fall into bins of equal width.

    Attributes:
        name: what is counted, with its unit.
        low: the lowest value.
        high: the highest.
        counts: of each bin; empty where there are no values.
    """

    kind: ClassVar[str] = "histogram"
    name: str
    low: float
    high: float
    counts: Sequence[int]

    @classmethod
    def of(cls, name: str, values: Sequence[float], num_bins: int = 12) -> Histogram:
        """Count values; the highest one belongs to the last bin."""
        if not values:
            return cls(name, 0.0, 0.0, ())
        low, high = min(values), max(values)
        width = (high - low) / num_bins or 1.0
        counts = [0] * num_bins
        for value in values:
            counts[min(num_bins - 1, int((value - low) / width))] += 1
        return cls(name, low, high, counts)

    def bounds(self, number: int) -> tuple[float, float]:
        """Where a bin begins and ends."""
        width = (self.high - self.low) / len(self.counts)
        return self.low + number * width, self.low + (number + 1) * width


@dataclass(frozen=True, slots=True)
class Line:
    """A value over steps, ``(step, value)`` each; there is at least one."""

    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Lines:
    """Line charts side by side."""

    kind: ClassVar[str] = "lines"
    lines: Sequence[Line]


@dataclass(frozen=True, slots=True)
class Tiles:
    """Headline figures: ``(value, name)`` each."""

    kind: ClassVar[str] = "tiles"
    tiles: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph."""

    kind: ClassVar[str] = "text"
    text: str


@dataclass(frozen=True, slots=True)
class Quote:
    """A quotation of a person or a model."""

    kind: ClassVar[str] = "quote"
    text: str


@dataclass(frozen=True, slots=True)
class Code:
    """Preformatted text; ``ending`` follows in bold."""

    kind: ClassVar[str] = "code"
    text: str
    ending: str = ""


Block = Table | Bars | Histogram | Lines | Tiles | Figures | Text | Quote | Code


@dataclass(frozen=True, slots=True)
class Section:
    """Blocks below a heading."""

    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True, slots=True)
class Page:
    """A page.

    Attributes:
        title: its heading, and the name of the window.
        lead: blocks above the first section.
        sections: in order.
    """

    title: str
    lead: Sequence[Block]
    sections: Sequence[Section]
