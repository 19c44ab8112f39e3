"""Blocks on a terminal, by Rich."""

from __future__ import annotations

import re

from rich import box
from rich.console import Console, RenderableType
from rich.table import Table as RichTable
from rich.text import Text
from rich.tree import Tree

from llava_video.pages.blocks import Cell, Histogram, Table

_BAR_WIDTH = 40
_UNWRAPPED = 100_000


def show(*parts: str | Table | Histogram | Tree) -> None:
    """Print to standard output; if that is not a terminal, lines are not broken or padded."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=_UNWRAPPED)
    for number, part in enumerate(parts):
        around = parts[max(0, number - 1) : number + 1]
        if number and not all(isinstance(near, str) for near in around):
            console.print()
        if console.is_terminal:
            console.print(to_rich(part), soft_wrap=isinstance(part, str))
            continue
        with console.capture() as captured:
            console.print(to_rich(part), soft_wrap=isinstance(part, str))
        for line in captured.get().splitlines():
            console.out(line.rstrip())


def to_rich(part: str | Table | Histogram | Tree) -> RenderableType:
    """A block for Rich, without control characters."""
    if isinstance(part, Histogram):
        return to_rich(_as_table(part))
    if isinstance(part, str):
        return Text(harmless(part))
    if isinstance(part, Tree):
        return part
    table = RichTable(box=box.SIMPLE_HEAD, header_style="bold", title_justify="left")
    table.show_edge, table.pad_edge, table.collapse_padding = False, False, True
    if part.title:
        table.title = Text(harmless(part.title))
    for number, (name, side) in enumerate(zip(part.head, part.sides, strict=True)):
        is_narrow = side == "r" or number == 0
        table.add_column(
            Text(harmless(name)), justify="right" if side == "r" else "left", no_wrap=is_narrow,
            overflow="fold",
        )  # fmt: skip
    for number, row in enumerate(part.rows):
        cells = (Text(harmless(cell_text(cell))) for cell in row)
        table.add_row(*cells, style="bold" if number == part.marked else None)
    return table


def cell_text(cell: Cell) -> str:
    """A cell in characters."""
    if isinstance(cell, int):
        return f"{cell:,}"
    return cell if isinstance(cell, str) else f"{len(cell.figures)} pictures"


def harmless(text: str) -> str:
    """Text of files and models without the control characters of terminals."""
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", "\N{REPLACEMENT CHARACTER}", text)


def _as_table(histogram: Histogram) -> Table:
    """The bins that are not empty, as bars."""
    most = max(histogram.counts, default=1)
    rows = []
    for number, count in enumerate(histogram.counts):
        if count:
            start, stop = histogram.bounds(number)
            bar = "#" * -(-_BAR_WIDTH * count // most)
            rows.append((f"{start:,.0f} to {stop:,.0f}", count, bar))
    return Table((histogram.name, "number", ""), rows, "lrl")
