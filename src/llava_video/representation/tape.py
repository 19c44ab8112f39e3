"""The token tape: frames on a line, as wide as their tokens, as SVG, HTML or terminal text."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llava_video.pages.pictures import jpeg, jpeg_url
from llava_video.representation.layout import Block, TokenLayout
from llava_video.representation.selection import TokenSelection
from llava_video.representation.video_representation import paper_token_count
from llava_video.types import Frames

SLOW_COLOUR, FAST_COLOUR = "#2f6fb2", "#e0a33b"
NEWLINE_COLOUR, SEPARATOR_COLOUR = "#7a7a7a", "#b3373d"
DROPPED_COLOUR = "#ececec"
_INK, _PAPER = "#222222", "#ffffff"

_TAPE_WIDTH = 1100.0  # pixels for all tokens of a line of the tape
_BLOCK_HEIGHT = 34.0
_LINE_GAP = 26.0  # room for the labels below a line
_MARGIN = 24.0
_TOKENS_PER_LINE = 2600
_THUMBNAIL_HEIGHT = 38
_VALUE_HEIGHT = 30.0  # of the longest bar below a line of the tape
VALUE_COLOUR = "#3b8f5a"


@dataclass(frozen=True, slots=True)
class TapeLine:
    """Blocks and tokens of one line of the tape."""

    blocks: tuple[Block, ...]
    num_tokens: int


def summary(layout: TokenLayout) -> list[tuple[str, str]]:
    """Names and values to show beside the picture."""
    representation = layout.representation
    slow = _block_text(layout, slow=True)
    rows = [
        ("representation", f"V = {representation}"),
        ("frames", f"{layout.num_frames}"),
        ("slow", f"{layout.num_slow} frames x {slow}"),
    ]
    if layout.num_fast:
        rows.append(("fast", f"{layout.num_fast} frames x {_block_text(layout, slow=False)}"))
    if representation.newline == "end":
        rows.append(("newline", "1 at the end"))
    total = f"{layout.num_tokens:,} video tokens"
    if representation.selection != "all":
        share = f"{representation.selection}={representation.keep_ratio}"
        total = f"{total} of {layout.num_packed_tokens:,} ({share})"
    rows.append(("total", total))
    formula = paper_token_count(
        layout.num_frames,
        representation.tokens_per_frame,
        representation.slow_stride,
        representation.pool_stride,
    )
    rows.append(
        (
            "paper's formula",
            f"⌊T/s⌋·⌊M/p²⌋ + (T−⌊T/s⌋)·⌊M/4p²⌋ = {formula:,} for T = {layout.num_frames}",
        )
    )
    return rows


def to_dict(
    layout: TokenLayout, frames: Frames | None = None, selection: TokenSelection | None = None
) -> dict[str, object]:
    """The layout as plain values: totals, and one entry per block in token order.

    Args:
        layout: what to describe.
        frames: sampled frames, whose times are given.
        selection: of a video; its blocks say how many of their tokens are kept.
    """
    representation = layout.representation
    blocks = []
    for block in layout.blocks():
        grid = layout.grid(block.slow)
        entry: dict[str, object] = {
            "frame": block.frame,
            "kind": "slow" if block.slow else "fast",
            "rows": grid.rows,
            "columns": grid.columns,
            "first_token": block.first_token,
            "num_tokens": block.num_tokens,
        }
        if frames is not None:
            entry["timestamp_seconds"] = round(float(frames.timestamps_seconds[block.frame]), 4)
        if selection is not None:
            entry["num_kept"] = int(selection.is_kept(block).sum())
        blocks.append(entry)
    return {
        "representation": {
            **representation.to_dict(),
            "tokens_per_frame": representation.tokens_per_frame,
        },
        "num_frames": layout.num_frames,
        "num_slow": layout.num_slow,
        "num_fast": layout.num_fast,
        "num_tokens": layout.num_tokens,
        "num_packed_tokens": layout.num_packed_tokens,
        "paper_formula": paper_token_count(
            layout.num_frames,
            representation.tokens_per_frame,
            representation.slow_stride,
            representation.pool_stride,
        ),
        "blocks": blocks,
    }


def to_text(layout: TokenLayout, width: int = 80, selection: TokenSelection | None = None) -> str:
    """The tape for a terminal: a line of ``width`` characters, shared by tokens.

    Slow frames are drawn as ``█``, fast ones as ``▒``, alternating shades where frames of a kind
    meet. With the selection of a video a line above it says which share of each frame is kept.
    """
    owners = [""] * width
    for index, block in enumerate(layout.blocks()):
        columns = _columns_of(layout, block, width)
        shades = ("█", "▓") if block.slow else ("▒", "░")
        owners[columns] = [shades[index % 2]] * len(owners[columns])
    tape = "".join(character or " " for character in owners)
    names = max(len(name) for name, _ in summary(layout))
    lines = [f"{name:<{names}}  {value}" for name, value in summary(layout)]
    legend = "█▓ slow  ▒░ fast"
    if selection is not None:
        tape = f"{_shares_to_text(layout, selection, width)}\n{tape}"
        legend += "  ▁█ share kept"
    return "\n".join([tape, legend, "", *lines])


def _columns_of(layout: TokenLayout, block: Block, width: int) -> slice:
    """The characters of a line that show a frame; at least one."""
    start = block.first_token * width // layout.num_packed_tokens
    stop = (block.first_token + block.num_tokens) * width // layout.num_packed_tokens
    return slice(start, max(stop, start + 1))


def _shares_to_text(layout: TokenLayout, selection: TokenSelection, width: int) -> str:
    """A line with the share of each frame's tokens that is kept; of one shown twice, the larger."""
    shares = [0.0] * layout.num_frames
    for block in layout.blocks():
        shares[block.frame] = max(shares[block.frame], float(selection.is_kept(block).mean()))
    return values_to_text(layout, shares, width)


def values_to_text(layout: TokenLayout, values: Sequence[float], width: int = 80) -> str:
    """A value of each frame above the tape of `to_text`: from a space to ``█``, the largest.

    Args:
        layout: of the tape.
        values: of the T frames; negative ones are shown as 0.
        width: of the tape, in characters.
    """
    largest = max(*values, 0.0) or 1.0
    levels = " ▁▂▃▄▅▆▇█"
    line = [" "] * width
    for block in layout.blocks():
        columns = _columns_of(layout, block, width)
        share = max(values[block.frame], 0.0) / largest
        level = levels[math.ceil(share * (len(levels) - 1))]
        line[columns] = [level] * len(line[columns])
    return "".join(line)


def to_svg(
    layout: TokenLayout,
    frames: Frames | None = None,
    values: Sequence[float] | None = None,
    selection: TokenSelection | None = None,
) -> str:
    """The tape as one SVG picture without outside assets.

    Args:
        layout: what to draw.
        frames: sampled frames, shown as thumbnails with their times.
        values: of the T frames, drawn as bars below them; negative ones are shown as 0.
        selection: of the video; tokens that are not kept are drawn pale.
    """
    lines = split_lines(layout)
    scale = _TAPE_WIDTH / max(line.num_tokens for line in lines)
    texts = summary(layout)
    head = _MARGIN + 20.0 * (len(texts) + 1) + 26.0
    line_height = _BLOCK_HEIGHT + _LINE_GAP + (0 if frames is None else _THUMBNAIL_HEIGHT)
    line_height += 0 if values is None else _VALUE_HEIGHT
    height = head + line_height * len(lines) + _MARGIN
    width = _TAPE_WIDTH + 2 * _MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" font-family="sans-serif" font-size="13">',
        f'<rect width="100%" height="100%" fill="{_PAPER}"/>',
    ]
    for index, (name, value) in enumerate(texts):
        y = _MARGIN + 20.0 * index + 12
        parts.append(f'<text x="{_MARGIN}" y="{y}" fill="#666666">{html.escape(name)}</text>')
        parts.append(f'<text x="{_MARGIN + 130}" y="{y}" fill="{_INK}">{html.escape(value)}</text>')
    parts.append(_legend(layout, _MARGIN + 20.0 * len(texts) + 8, selection))
    for number, line in enumerate(lines):
        top = head + line_height * number
        parts += _svg_line(layout, line, top, scale, frames)
        if selection is not None:
            parts += _svg_dropped(selection, line, _blocks_y(top, frames), scale)
        if values is not None:
            parts += _svg_values(line, values, top + line_height, scale)
    return "\n".join([*parts, "</svg>"])


def to_html(
    layout: TokenLayout, frames: Frames | None = None, selection: TokenSelection | None = None
) -> str:
    """The tape as one HTML page without outside assets."""
    title = html.escape(f"Token tape: V = {layout.representation}")
    return (
        "<!doctype html>\n"
        f'<html lang="en"><head><meta charset="utf-8"><title>{title}</title>\n'
        "<style>body{margin:0;background:#fff}svg{max-width:100%;height:auto}</style></head>\n"
        f"<body>\n{to_svg(layout, frames, selection=selection)}\n</body></html>\n"
    )


def split_lines(layout: TokenLayout) -> list[TapeLine]:
    """Break a long tape into lines at frame borders."""
    lines: list[TapeLine] = []
    current: list[Block] = []
    count = 0
    for block in layout.blocks():
        if current and count + block.num_tokens > _TOKENS_PER_LINE:
            lines.append(TapeLine(tuple(current), count))
            current, count = [], 0
        current.append(block)
        count += block.num_tokens
    ending = int(layout.representation.newline == "end")
    lines.append(TapeLine(tuple(current), count + ending))
    return lines


def _block_text(layout: TokenLayout, slow: bool) -> str:
    """For example ``(13 x 13 + 13 newlines + 1 separator = 183)``."""
    grid = layout.grid(slow)
    words = [f"{grid.rows} x {grid.columns}"]
    newlines = {"grid": grid.rows, "frame": 1}.get(layout.representation.newline, 0)
    if newlines:
        words.append(f"{newlines} newline{'s' if newlines > 1 else ''}")
    if layout.representation.separator:
        words.append("1 separator")
    return f"({' + '.join(words)} = {layout.tokens_per_block(slow)})"


def _legend(layout: TokenLayout, y: float, selection: TokenSelection | None) -> str:
    entries = [(SLOW_COLOUR, "slow frame"), (FAST_COLOUR, "fast frame")]
    if layout.representation.newline != "none":
        entries.append((NEWLINE_COLOUR, "newline"))
    if layout.representation.separator:
        entries.append((SEPARATOR_COLOUR, "separator"))
    if selection is not None:
        is_merged = layout.representation.selection == "tstm"
        entries.append((DROPPED_COLOUR, "merged" if is_merged else "dropped"))
    parts = []
    for index, (colour, name) in enumerate(entries):
        x = _MARGIN + 120 * index
        parts.append(f'<rect x="{x}" y="{y}" width="12" height="12" fill="{colour}"/>')
        parts.append(f'<text x="{x + 18}" y="{y + 11}" fill="{_INK}">{name}</text>')
    return "\n".join(parts)


def _svg_line(
    layout: TokenLayout, line: TapeLine, top: float, scale: float, frames: Frames | None
) -> list[str]:
    """One line of the tape: blocks at token scale, special tokens over them, thumbnails, labels."""
    blocks_y = _blocks_y(top, frames)
    first = line.blocks[0].first_token
    blocks, specials, labels = [], [], []
    next_label = -1.0
    for block in line.blocks:
        x = _MARGIN + (block.first_token - first) * scale
        width = block.num_tokens * scale
        blocks.append(_svg_block(block, x, blocks_y, width))
        specials += _svg_specials(layout, block, x, blocks_y, scale)
        label = f"{block.frame}"
        room = 7.0 * len(label)
        if frames is not None:
            label = f"{frames.timestamps_seconds[block.frame]:.1f}s"
            room = max(7.0 * len(label), _THUMBNAIL_HEIGHT * 1.4)
        if x < next_label:
            continue
        if frames is not None:
            picture = frames.pixels[block.frame]
            labels.append(_thumbnail(picture, x, top, max(width, room) - 3))
        y = blocks_y + _BLOCK_HEIGHT + 13
        labels.append(f'<text x="{x:.1f}" y="{y}" font-size="10" fill="#555555">{label}</text>')
        next_label = x + room
    if line.num_tokens > sum(block.num_tokens for block in line.blocks):
        x = _MARGIN + (line.num_tokens - 1) * scale
        specials.append(_rect(x, blocks_y, max(scale, 1.5), NEWLINE_COLOUR))
    return [*blocks, *specials, *labels]


def _blocks_y(top: float, frames: Frames | None) -> float:
    """Where the blocks of a line begin: below its thumbnails."""
    return top + (2 if frames is None else _THUMBNAIL_HEIGHT + 2)


def _svg_dropped(selection: TokenSelection, line: TapeLine, y: float, scale: float) -> list[str]:
    """Pale rectangles over runs of tokens that are not kept."""
    first = line.blocks[0].first_token
    parts = []
    for block in line.blocks:
        is_dropped = np.concatenate([[False], ~selection.is_kept(block), [False]])
        edges = np.flatnonzero(is_dropped[1:] != is_dropped[:-1]).tolist()
        for start, stop in zip(edges[::2], edges[1::2], strict=True):
            x = _MARGIN + (block.first_token - first + start) * scale
            parts.append(_rect(x, y, (stop - start) * scale, DROPPED_COLOUR))
    return parts


def _svg_values(line: TapeLine, values: Sequence[float], bottom: float, scale: float) -> list[str]:
    """Bars that stand on ``bottom``, each as wide as its block, the largest at full height."""
    largest = max(*values, 0.0) or 1.0
    first = line.blocks[0].first_token
    parts = []
    for block in line.blocks:
        height = round(_VALUE_HEIGHT * max(values[block.frame], 0.0) / largest, 1)
        x, width = _MARGIN + (block.first_token - first) * scale, block.num_tokens * scale
        bar = _rect(x, bottom - height, width, VALUE_COLOUR, height=height, border=True)
        title = f"frame {block.frame}: {values[block.frame]:.2f}"
        parts.append(f"<g><title>{title}</title>{bar}</g>")
    return parts


def _svg_block(block: Block, x: float, y: float, width: float) -> str:
    """A frame's rectangle; with a tooltip."""
    kind = "slow" if block.slow else "fast"
    colour = SLOW_COLOUR if block.slow else FAST_COLOUR
    title = f"<title>frame {block.frame}, {kind}, {block.num_tokens} tokens</title>"
    return f"<g>{title}{_rect(x, y, width, colour, border=True)}</g>"


def _svg_specials(layout: TokenLayout, block: Block, x: float, y: float, scale: float) -> list[str]:
    """The newlines and the separator of a block at their positions."""
    grid = layout.grid(block.slow)
    places: Sequence[int] = ()
    if layout.representation.newline == "grid":
        places = [(row + 1) * (grid.columns + 1) - 1 for row in range(grid.rows)]
    elif layout.representation.newline == "frame":
        places = [grid.num_tokens]
    parts = [_rect(x + place * scale, y, max(scale, 0.6), NEWLINE_COLOUR) for place in places]
    if layout.representation.separator:
        last = x + (block.num_tokens - 1) * scale
        parts.append(
            _rect(last, y - 2, max(scale, 1.6), SEPARATOR_COLOUR, height=_BLOCK_HEIGHT + 4)
        )
    return parts


def _rect(
    x: float,
    y: float,
    width: float,
    colour: str,
    *,
    height: float = _BLOCK_HEIGHT,
    border: bool = False,
) -> str:
    stroke = f' stroke="{_PAPER}" stroke-width="0.6"' if border else ""
    return (
        f'<rect x="{x:.2f}" y="{y:.1f}" width="{width:.2f}" height="{height}" '
        f'fill="{colour}"{stroke}/>'
    )


def _thumbnail(pixels: NDArray[np.uint8], x: float, y: float, most_width: float) -> str:
    """A thumbnail as a data URL, at most as wide as its block."""
    own_height, own_width, _ = pixels.shape
    width = max(1, min(round(own_width * _THUMBNAIL_HEIGHT / own_height), int(most_width)))
    picture = jpeg(pixels, most=(2 * width, 2 * _THUMBNAIL_HEIGHT), quality=80)
    return (
        f'<image x="{x:.1f}" y="{y:.1f}" width="{width}" height="{_THUMBNAIL_HEIGHT}" '
        f'preserveAspectRatio="xMinYMax slice" href="{jpeg_url(picture)}"/>'
    )
