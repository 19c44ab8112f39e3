"""One offline HTML page about a training run, made of the files in its folder."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llava_video.records.json_lines import read_lines
from llava_video.train.data.encode import SKIPPED_FILE
from llava_video.train.log import LOG_FILE
from llava_video.train.predictions import PREDICTIONS_FILE
from llava_video.train.recipe import RECIPE_FILE

REPORT_FILE = "report.html"
RUN_FILE = "run.json"

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1c2430; max-width: 68rem; margin: 2rem auto;
  padding: 0 1rem }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2.2rem;
  border-bottom: 1px solid #d5d9e0 }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { padding: .2rem .7rem; text-align: left; vertical-align: top;
  border-bottom: 1px solid #e8ebf0 }
.number { text-align: right }
.tiles, .plots, .pictures { display: flex; flex-wrap: wrap; gap: .8rem }
.tiles div { border: 1px solid #d5d9e0; border-radius: 6px; padding: .5rem .9rem }
.tiles b { display: block; font-size: 1.3rem }
.tiles span, figcaption { color: #5b6675; font-size: .85rem } figure { margin: 0 }
.pictures { gap: .3rem } .pictures img { height: 5rem }
pre { background: #f4f6f9; padding: .6rem; overflow-x: auto }
svg text { font: 11px system-ui, sans-serif; fill: #5b6675 }
"""

_CURVES = {
    "loss": "loss",
    "margin": "margin: chosen over rejected",
    "accuracy": "pairs with a margin above zero",
    "learning_rate": "learning rate (of the first part)",
    "grad_norm": "norm of the gradient",
    "tokens_per_second": "tokens per second",
    "data_wait_share": "share of time waiting for data",
}
_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 420, 170, 56, 22


def write_report(folder: Path) -> Path:
    """Write the page about a run; files that a run does not have leave their section out."""
    run = json.loads((folder / RUN_FILE).read_text(encoding="utf-8"))
    log = read_lines(folder / LOG_FILE)
    # A run that was killed and went on has logged some steps twice.
    steps = list({line["step"]: line for line in log if "loss" in line}.values())
    recipe = (folder / RECIPE_FILE).read_text(encoding="utf-8")
    left_out = [*run["left_out"], *_once(read_lines(folder / SKIPPED_FILE))]
    warnings = "".join(f"<p>Warning: {_e(text)}.</p>" for text in run["warnings"])
    sections = [
        f"<h1>Training run {_e(folder.name)}</h1>{_tiles(run, log, steps)}{warnings}",
        f"<h2>Curves</h2>{_curves(steps)}",
        f"<h2>Samples</h2>{_predictions(read_lines(folder / PREDICTIONS_FILE))}",
        f"<h2>Mixture</h2>{_mixture(run['mixture'])}",
        f"<h2>Left out</h2>{_left_out(left_out)}",
        f"<h2>Recipe</h2><pre>{_e(recipe)}</pre>",
        f"<h2>Versions</h2>{_table(('', ''), run['versions'].items())}",
    ]
    page = (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        f"<title>Training run {_e(folder.name)}</title><style>{_STYLE}</style>"
        f"{''.join(sections)}</html>\n"
    )
    path = folder / REPORT_FILE
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_text(page, encoding="utf-8")
    return unfinished.rename(path)


def _once(skipped: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each sample once: one that fails does so in every epoch, and again when a run goes on."""
    return list({line["sample"]: line for line in skipped}.values())


def _tiles(run: dict[str, Any], log: list[dict[str, Any]], steps: list[dict[str, Any]]) -> str:
    seconds = sum(line["train_runtime"] for line in log if "train_runtime" in line)
    tiles = [
        (f"{steps[-1]['step']:,} of {run['num_steps']:,}", "updates of the weights"),
        (f"{steps[0]['loss']:.3f} → {steps[-1]['loss']:.3f}", "loss, first and last logged"),
        (f"{run['num_samples']:,}", "samples"),
        (f"{run['num_tokens']:,}", "tokens in all rows"),
        (f"{run['num_devices']}", "devices"),
        (f"{seconds / 60:,.1f} min", "since it last began"),
    ]
    shown = "".join(
        f"<div><b>{_e(value)}</b><span>{_e(name)}</span></div>" for value, name in tiles
    )
    return f'<div class="tiles">{shown}</div>'


def _curves(steps: list[dict[str, Any]]) -> str:
    figures = [
        f"<figure>{_curve([(line['step'], line[key]) for line in steps if key in line])}"
        f"<figcaption>{_e(name)}</figcaption></figure>"
        for key, name in _CURVES.items()
        if any(key in line for line in steps)
    ]
    return f'<div class="plots">{"".join(figures)}</div>'


def _curve(points: Sequence[tuple[float, float]]) -> str:
    """A line over steps, with the lowest and the highest value at its side."""
    first, last = points[0][0], points[-1][0]
    low, high = min(value for _, value in points), max(value for _, value in points)
    width, height = _WIDTH - _LEFT - 8, _HEIGHT - _BOTTOM - 8

    def place(step: float, value: float) -> str:
        x = _LEFT + width * (step - first) / max(last - first, 1)
        y = 8 + height * (1 - (value - low) / ((high - low) or 1))
        return f"{x:.1f},{y:.1f}"

    line = " ".join(place(step, value) for step, value in points)
    dots = "".join(
        f'<circle cx="{at[0]}" cy="{at[1]}" r="2" fill="#3f6fd1"/>'
        for at in (place(*point).split(",") for point in (points if len(points) < 40 else ()))
    )
    return (
        f'<svg width="{_WIDTH}" height="{_HEIGHT}" role="img">'
        f'<path d="M{_LEFT},4V{_HEIGHT - _BOTTOM}H{_WIDTH}" fill="none" stroke="#b9c0cb"/>'
        f'<polyline points="{line}" fill="none" stroke="#3f6fd1" stroke-width="1.5"/>{dots}'
        f'<text x="{_LEFT - 6}" y="14" text-anchor="end">{high:.3g}</text>'
        f'<text x="{_LEFT - 6}" y="{_HEIGHT - _BOTTOM}" text-anchor="end">{low:.3g}</text>'
        f'<text x="{_LEFT}" y="{_HEIGHT - 6}">{first}</text>'
        f'<text x="{_WIDTH}" y="{_HEIGHT - 6}" text-anchor="end">step {last}</text></svg>'
    )


def _predictions(lines: list[dict[str, Any]]) -> str:
    if not lines:
        return "<p>None were asked for (report_samples).</p>"
    rows = []
    for line in lines:
        pictures = "".join(
            f'<img alt="" src="data:image/jpeg;base64,{picture}">' for picture in line["pictures"]
        )
        rows.append(
            f'<tr><td><div class="pictures">{pictures}</div></td><td>{_e(line["question"])}</td>'
            f"<td>{_e(line['expected'])}</td><td>{_e(line['predicted'])}</td></tr>"
        )
    return (
        "<p>Training samples, asked again at the end. They show what was learnt by heart, not what "
        "is understood.</p><table><tr><th>seen</th><th>question</th><th>expected</th>"
        f"<th>predicted</th></tr>{''.join(rows)}</table>"
    )


def _mixture(parts: list[dict[str, Any]]) -> str:
    keys = ("file", "sampling_strategy", "num_records", "num_samples", "sha256")
    head = ("file", "strategy", "records", "samples", "SHA-256")
    return _table(head, [[part[key] for key in keys] for part in parts])


def _left_out(problems: list[dict[str, Any]]) -> str:
    if not problems:
        return "<p>Nothing.</p>"
    return _table(("sample", "reason"), [(p["sample"], p["reason"]) for p in problems])


def _table(head: Sequence[str], rows: Any) -> str:
    def cell(value: Any) -> str:
        if isinstance(value, int):
            return f'<td class="number">{value:,}</td>'
        return f"<td>{_e(str(value))}</td>"

    titles = "".join(f"<th>{_e(title)}</th>" for title in head)
    body = "".join(f"<tr>{''.join(map(cell, row))}</tr>" for row in rows)
    return f"<table><tr>{titles}</tr>{body}</table>"


def _e(text: str) -> str:
    return html.escape(text)
