"""The report of a training run: an offline HTML page made from the files of its folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from llava_video.pages.blocks import (
    Block,
    Code,
    Figure,
    Figures,
    Line,
    Lines,
    Page,
    Section,
    Table,
    Text,
    Tiles,
)
from llava_video.pages.html import to_html
from llava_video.recipes import RECIPE_FILE
from llava_video.records.files import write_whole
from llava_video.records.json_lines import read_lines
from llava_video.train.data.encode import SKIPPED_FILE
from llava_video.train.log import LOG_FILE
from llava_video.train.predictions import PREDICTIONS_FILE

REPORT_FILE = "report.html"
RUN_FILE = "run.json"

_CURVES = {
    "loss": "loss",
    "margin": "margin: chosen over rejected",
    "accuracy": "pairs with a margin above zero",
    "learning_rate": "learning rate (of the first part)",
    "grad_norm": "norm of the gradient",
    "tokens_per_second": "tokens per second",
    "data_wait_share": "share of time waiting for data",
}


def write_report(folder: Path) -> Path:
    """Write the report of a run, without the sections of files that the run lacks."""
    run = json.loads((folder / RUN_FILE).read_text(encoding="utf-8"))
    log = read_lines(folder / LOG_FILE)
    # A run that was killed and resumed has logged some steps twice.
    steps = list({line["step"]: line for line in log if "loss" in line}.values())
    recipe = (folder / RECIPE_FILE).read_text(encoding="utf-8")
    left_out = [*run["left_out"], *_once(read_lines(folder / SKIPPED_FILE))]
    page = Page(
        f"Training run {folder.name}",
        [_tiles(run, log, steps), *(Text(f"Warning: {text}.") for text in run["warnings"])],
        [
            Section("Curves", [_curves(steps)]),
            Section("Samples", _predictions(read_lines(folder / PREDICTIONS_FILE))),
            Section("Mixture", [_mixture(run["mixture"])]),
            Section("Left out", [_left_out(left_out)]),
            Section("Recipe", [Code(recipe)]),
            Section("Versions", [Table(("package", "version"), [*run["versions"].items()])]),
        ],
    )
    path = folder / REPORT_FILE
    write_whole(path, to_html(page))
    return path


def _once(skipped: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each sample once: one that fails does so in every epoch, and again when a run resumes."""
    return list({line["sample"]: line for line in skipped}.values())


def _tiles(run: dict[str, Any], log: list[dict[str, Any]], steps: list[dict[str, Any]]) -> Tiles:
    seconds = sum(line["train_runtime"] for line in log if "train_runtime" in line)
    return Tiles(
        [
            (f"{steps[-1]['step']:,} of {run['num_steps']:,}", "updates of the weights"),
            (f"{steps[0]['loss']:.3f} → {steps[-1]['loss']:.3f}", "loss, first and last logged"),
            (f"{run['num_samples']:,}", "samples"),
            (f"{run['num_tokens']:,}", "tokens in all rows"),
            (f"{run['num_devices']}", "devices"),
            (f"{seconds / 60:,.1f} min", "since it last began"),
        ]
    )


def _curves(steps: list[dict[str, Any]]) -> Lines:
    return Lines(
        [
            Line(name, [(line["step"], line[key]) for line in steps if key in line])
            for key, name in _CURVES.items()
            if any(key in line for line in steps)
        ]
    )


def _predictions(lines: list[dict[str, Any]]) -> list[Block]:
    if not lines:
        return [Text("None were asked for (report_samples).")]
    rows = [
        (_pictures(line["pictures"]), line["question"], line["expected"], line["predicted"])
        for line in lines
    ]
    return [
        Text(
            "Predictions on training samples after the run. They show memorisation, not "
            "generalisation."
        ),
        Table(("seen", "question", "expected", "predicted"), rows),
    ]


def _pictures(jpegs: list[str]) -> Figures:
    figures = [Figure(f"data:image/jpeg;base64,{jpeg}") for jpeg in jpegs]
    return Figures(figures, are_small=True)


def _mixture(parts: list[dict[str, Any]]) -> Table:
    keys = ("file", "sampling_strategy", "num_records", "num_samples", "sha256")
    head = ("file", "strategy", "records", "samples", "SHA-256")
    return Table(head, [[part[key] for key in keys] for part in parts], "llrrl")


def _left_out(problems: list[dict[str, Any]]) -> Block:
    if not problems:
        return Text("Nothing.")
    return Table(("sample", "reason"), [(p["sample"], p["reason"]) for p in problems])
