"""Means with their intervals as a picture: one SVG without outside assets."""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import escape

from llava_video.evaluate.scoring.scores import Mean

_ROW, _LEFT, _WIDTH, _RIGHT = 26, 230, 360, 160


def plot_intervals(title: str, rows: Sequence[tuple[str, Mean]]) -> str:
    """A dot for each mean, a line for its 95 % interval, below each other on one scale."""
    ends = [(m.low, m.high) if m.has_interval else (m.mean, m.mean) for _, m in rows]
    low, high = min(low for low, _ in ends), max(high for _, high in ends)
    margin = (high - low) * 0.05 or 0.01
    low, high = low - margin, high + margin

    def x(value: float) -> str:
        return f"{_LEFT + _WIDTH * (value - low) / (high - low):.1f}"

    height = _ROW * (len(rows) + 2)
    parts = [_text(8, 18, title, "start", "bold")]
    for number, ((name, mean), (start, end)) in enumerate(zip(rows, ends, strict=True), 1):
        y = _ROW * number + 20
        parts += [
            _text(_LEFT - 10, y + 4, name, "end"),
            f'<line x1="{x(start)}" x2="{x(end)}" y1="{y}" y2="{y}" stroke="#4a78b0" '
            'stroke-width="2"/>',
            f'<circle cx="{x(mean.mean)}" cy="{y}" r="4.5" fill="#1f4e8c"/>',
            _text(_LEFT + _WIDTH + 10, y + 4, mean.text, "start"),
        ]
    size = f'width="{_LEFT + _WIDTH + _RIGHT}" height="{height}"'
    style = 'font-family="sans-serif" font-size="12"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>',
            '<rect width="100%" height="100%" fill="white"/>',
            *parts,
            "</svg>\n",
        ]
    )


def _text(x: float, y: float, text: str, anchor: str, weight: str = "normal") -> str:
    return (
        f'<text x="{x}" y="{y}" text-anchor="{anchor}" font-weight="{weight}" fill="#222">'
        f"{escape(text)}</text>"
    )
