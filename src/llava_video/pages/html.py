"""Pages in HTML, by Jinja2: one file without outside assets, with every text escaped."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from llava_video.pages.blocks import Line, Page
from llava_video.pages.terminal import cell_text

_TEMPLATES = Path(__file__).parent / "templates"
COLOURS = _TEMPLATES / "colours.css"
"""The colours of all pages, light and dark."""

_CHART = {"width": 340, "height": 150, "left": 56, "bottom": 22, "top": 8}
_MOST_DOTS = 40


def to_html(page: Page) -> str:
    """A page as one file."""
    return _environment().get_template("page.html").render(page=page)


@lru_cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"chart": _CHART, "places": _places}
    environment.filters["cell"] = cell_text
    return environment


def _places(line: Line) -> dict[str, Any]:
    """Coordinates of the points of a line chart; dots only where there are few."""
    steps = [step for step, _ in line.points]
    values = [value for _, value in line.points]
    low, high = min(values), max(values)
    width = _CHART["width"] - _CHART["left"] - 8
    height = _CHART["height"] - _CHART["bottom"] - _CHART["top"]
    places = [
        (
            f"{_CHART['left'] + width * (step - steps[0]) / max(steps[-1] - steps[0], 1):.1f}",
            f"{_CHART['top'] + height * (1 - (value - low) / ((high - low) or 1)):.1f}",
        )
        for step, value in line.points
    ]
    return {
        "points": " ".join(f"{x},{y}" for x, y in places),
        "dots": places if len(places) < _MOST_DOTS else [],
        "low": _short(low),
        "high": _short(high),
        "first": steps[0],
        "last": steps[-1],
    }


def _short(value: float) -> str:
    return f"{value:,.0f}" if 1000 <= abs(value) < 10**7 else f"{value:.3g}"
