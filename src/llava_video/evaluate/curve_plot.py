"""Accuracy against video tokens: curves as one SVG without outside assets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from xml.sax.saxutils import escape

from llava_video.evaluate.scoring.scores import Mean

_LEFT, _TOP, _WIDTH, _HEIGHT, _RIGHT, _BOTTOM = 60, 40, 460, 300, 170, 50
_COLOURS = ("#1f4e8c", "#c1571b", "#3b8f5a", "#8a4fa3", "#7a7a7a", "#b3373d")
_NUM_TICKS = 5

Points = Sequence[tuple[int, Mean]]
"""Video tokens and accuracy."""

Scale = Callable[[float], float]
"""From a value to a place in the picture."""


def plot_curves(title: str, curves: Mapping[str, Points], reference: tuple[int, Mean]) -> str:
    """A line for each curve, 1.96 standard errors at each point, and a dashed line to compare with.

    Args:
        title: above it.
        curves: by name, in the order of the legend.
        reference: what all curves are compared with; they are drawn up to it.
    """
    points = [point for curve in curves.values() for point in curve] + [reference]
    most = max(1, *(num_tokens for num_tokens, _ in points))
    low = min(mean.mean - _half(mean) for _, mean in points)
    high = max(mean.mean + _half(mean) for _, mean in points)
    margin = (high - low) * 0.05 or 0.01
    low, high = low - margin, high + margin

    def x(num_tokens: float) -> float:
        return _LEFT + _WIDTH * num_tokens / (most * 1.05)

    def y(value: float) -> float:
        return _TOP + _HEIGHT * (high - value) / (high - low)

    parts = [_text(_LEFT, 20, title, "start", "bold"), *_axes(low, high, x, y, points)]
    level = y(reference[1].mean)
    parts.append(_line(_LEFT, level, _LEFT + _WIDTH, level, "#555", 'stroke-dasharray="4 4"'))
    for number, (name, curve) in enumerate(curves.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        shift = 3 * (number - (len(curves) - 1) / 2)  # intervals of one count stand side by side
        ordered = sorted([*curve, reference], key=lambda point: point[0])
        path = " ".join(f"{x(count) + shift:.1f},{y(mean.mean):.1f}" for count, mean in ordered)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for count, mean in curve:
            at = x(count) + shift
            ends = y(mean.mean - _half(mean)), y(mean.mean + _half(mean))
            parts.append(_line(at, ends[0], at, ends[1], colour, 'stroke-width="1.5"'))
            parts.append(f'<circle cx="{at:.1f}" cy="{y(mean.mean):.1f}" r="3.5" fill="{colour}"/>')
        place = _TOP + 10 + 22 * number
        parts.append(_line(_LEFT + _WIDTH + 20, place, _LEFT + _WIDTH + 44, place, colour))
        parts.append(_text(_LEFT + _WIDTH + 50, place + 4, name, "start"))
    size = f'width="{_LEFT + _WIDTH + _RIGHT}" height="{_TOP + _HEIGHT + _BOTTOM}"'
    style = 'font-family="sans-serif" font-size="12"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>'
    paper = '<rect width="100%" height="100%" fill="white"/>'
    return "\n".join([head, paper, *parts, "</svg>\n"])


def _axes(low: float, high: float, x: Scale, y: Scale, points: Points) -> list[str]:
    """Two lines with their values: accuracy at equal steps, tokens where there are points."""
    bottom = _TOP + _HEIGHT
    parts = [
        _line(_LEFT, bottom, _LEFT + _WIDTH, bottom, "#222"),
        _line(_LEFT, _TOP, _LEFT, bottom, "#222"),
        _text(_LEFT + _WIDTH / 2, bottom + 38, "video tokens", "middle"),
    ]
    for count in sorted({num_tokens for num_tokens, _ in points}):
        parts.append(_text(x(count), bottom + 18, f"{count:,}", "middle"))
    for tick in range(_NUM_TICKS + 1):
        value = low + (high - low) * tick / _NUM_TICKS
        parts.append(_text(_LEFT - 8, y(value) + 4, f"{value:.2f}", "end"))
        parts.append(_line(_LEFT, y(value), _LEFT + _WIDTH, y(value), "#eee"))
    return parts


def _half(mean: Mean) -> float:
    return 1.96 * mean.stderr


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, more: str = "") -> str:
    ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {ends} stroke="{colour}" {more}/>'


def _text(x: float, y: float, text: str, anchor: str, weight: str = "normal") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}" fill="#222">'
        f"{escape(text)}</text>"
    )
