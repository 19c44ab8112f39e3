"""Output of the commands: plain values for ``--json``, and tables of them."""

from __future__ import annotations

import dataclasses
import json
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rich.text import Text
from rich.tree import Tree

from llava_video.annotate.export.statistics import count
from llava_video.annotate.forecast.calibration import forecast_against_actual
from llava_video.annotate.forecast.forecast import Forecast
from llava_video.annotate.probe import Probe
from llava_video.annotate.recipe import Recipe
from llava_video.annotate.records import VideoRecord
from llava_video.annotate.run import RunResult
from llava_video.annotate.run_folder import count_states, finished_records
from llava_video.calls.ledger import open_ledger
from llava_video.pages.blocks import Cell, Table
from llava_video.pages.terminal import harmless


def forecast_screen(forecast: Forecast, recipe: Recipe) -> tuple[str, Table, str]:
    """A forecast as text, table and text."""
    head = (
        f"{forecast.num_selected} of {forecast.num_videos} videos, "
        f"{forecast.seconds_of_video / 60:.1f} minutes, "
        f"{forecast.num_clips} clips, {forecast.num_calls} calls to {recipe.endpoint.model}"
    )
    rows: list[tuple[Cell, ...]] = []
    for name, stage in forecast.stages.items():
        usd = ["no price", "", ""] if stage.usd is None else [_dollars(v) for v in stage.usd]
        numbers = (stage.num_calls, stage.num_images)
        tokens = (stage.prompt_tokens[1], stage.completion_tokens[1])
        rows.append((name, *(_short(number) for number in (*numbers, *tokens)), *usd))
    columns = ("stage", "calls", "images", "in", "out", "usd: least", "likely", "most")
    table = Table(columns, rows, "lrrrrrrr")
    lines = []
    if forecast.rejected:
        reasons = ", ".join(f"{reason} {n}" for reason, n in sorted(forecast.rejected.items()))
        lines.append(f"left out: {reasons}")
    if forecast.usd is None:
        lines.append(
            f"dollars unknown: no price of {recipe.endpoint.model} (table of {forecast.price_date})"
        )
    else:
        lines.append(
            f"dollars: {forecast.usd[0]:.2f} to {forecast.usd[2]:.2f}, likely {forecast.usd[1]:.2f}"
        )
        if forecast.usd_batch is not None:
            lines.append(f"through batch files: likely {forecast.usd_batch[1]:.2f}")
        lines.append(
            f"prices of {forecast.price_date}; reasoning tokens come on top where a model has them"
        )
        if recipe.max_usd is not None and forecast.usd[1] > recipe.max_usd:
            lines.append(f"--max-usd {recipe.max_usd:g} will stop this run before it is done")
    lines.append(f"tokens: {_basis(forecast)}")
    run = forecast.simulated
    used = ", ".join(f"{name} {share:.0%}" for name, share in run.busy.items())
    is_known = forecast.measured_rates or recipe.endpoint.model == "toy"
    measured = "" if is_known else ", if an answer takes 5 s (--out RUN measures it)"
    lines.append(f"time: about {_duration(run.seconds)}{measured}")
    lines.append(f"used: {used}")
    return head, table, "\n".join(lines)


def _short(number: int) -> str:
    """A count in seven characters at most, so that a row fits into 80 columns."""
    for size, unit in ((10**9, "G"), (10**6, "M"), (10**3, "K")):
        if number >= max(size, 10**5):
            return f"{number / size:.4g}{unit}"
    return f"{number:,}"


def _dollars(usd: float) -> str:
    """Dollars in seven characters at most."""
    if usd >= 10**5:
        return _short(round(usd))
    return f"{usd:.4f}" if usd < 10 else f"{usd:.2f}"[:7] if usd < 1000 else f"{usd:,.0f}"


def _basis(forecast: Forecast) -> str:
    texts = {
        "calibrated": (
            f"calibrated by what the server counted in {forecast.factors.num_calls} calls "
            f"(texts x {forecast.factors.text:.2f}, pictures x {forecast.factors.image:.2f})"
        ),
        "counted": "texts counted with the model's vocabulary, pictures by its rule",
        "estimated": "texts estimated from their length, pictures by the model's rule",
    }[forecast.text_basis]
    answers = "measured in the earlier run" if forecast.measured_answers else "assumed"
    return f"{texts}; answer lengths are {answers}"


def result_of(result: RunResult, folder: Path) -> dict[str, Any]:
    """A finished run as plain values."""
    ledger = open_ledger(folder)
    found = count(result.records)
    return {
        "videos": found.num_videos,
        "annotated": found.num_kept,
        "open_ended": found.num_open_ended,
        "multi_choice": found.num_multi_choice,
        "without_questions": found.num_without_questions,
        "left_out": {f"{stage}.{reason}": n for (stage, reason), n in found.waterfall.items()},
        "problems": _problems(result.records),
        "warnings": _warnings(result.records),
        "totals": dataclasses.asdict(ledger.totals()),
        "complete": result.stopped_by is None,
        "files": [str(path) for path in result.files],
    }


def result_screen(found: dict[str, Any]) -> str:
    """A finished run as text."""
    lines = [
        f"{found['annotated']} of {found['videos']} videos annotated: {found['open_ended']} "
        f"open-ended and {found['multi_choice']} multiple-choice questions",
    ]
    if found["without_questions"]:
        lines.append(f"without any question: {found['without_questions']} of them")
    if found["left_out"]:
        lines.append("left out: " + ", ".join(f"{k} {n}" for k, n in found["left_out"].items()))
    notes = _notes(found)
    lines += [f"  {note}" for note in notes[:20]]
    if len(notes) > 20:
        lines.append(f"  and {len(notes) - 20} more; `annotate status` shows all")
    lines.append(_totals_line(found["totals"]))
    lines += found["files"]
    return "\n".join(lines)


def status_of(folder: Path) -> dict[str, Any]:
    """The state of a run as plain values, from its ledger alone."""
    ledger = open_ledger(folder)
    records = finished_records(ledger)
    reasons = Counter(f"{x.stage}.{x.reason}" for r in records for x in r.rejections)
    failed = ledger.query(
        "SELECT COALESCE(outcome, 'unknown'), COUNT(*) FROM attempts WHERE outcome IS NOT 'ok'"
        " GROUP BY 1 ORDER BY 2 DESC"
    )
    last = ledger.query("SELECT MAX(finished_at) FROM calls")[0][0]
    return {
        "videos": count_states(ledger),
        "left_out": dict(reasons),
        "problems": _problems(records),
        "warnings": _warnings(records),
        "totals": dataclasses.asdict(ledger.totals()),
        "failed_attempts": {str(outcome): number for outcome, number in failed},
        "stages": forecast_against_actual(ledger),
        "seconds_since_last_call": round(time.time() - last, 1) if last else None,
    }


def status_screen(found: dict[str, Any]) -> tuple[str, Table, str]:
    """The state of a run as text, table and text."""
    states = ", ".join(f"{state} {n}" for state, n in found["videos"].items()) or "none ended yet"
    lines = [_totals_line(found["totals"])]
    if found["failed_attempts"]:
        lines.append(
            "failed attempts: "
            + ", ".join(f"{k}: {v}" for k, v in found["failed_attempts"].items())
        )
    lines += _notes(found)
    return f"videos: {states}", cost_table(found["stages"]), "\n".join(lines)


def cost_table(stages: list[dict[str, Any]]) -> Table:
    """Forecast against actual by stage, as `forecast_against_actual` has them."""
    rows = []
    for row in stages:
        ratio = row["actual_over_forecast"]
        rows.append(
            (
                *(row["stage"], row["calls"], row["forecast_prompt_tokens"], row["prompt_tokens"]),
                *("-" if ratio is None else f"{ratio:.2f}", row["completion_tokens"]),
                *(row["reasoning_tokens"], f"{row['usd']:.4f}"),
            )
        )
    columns = ("stage", "calls", "forecast in", "in", "ratio", "out", "reasoning", "usd")
    return Table(columns, rows, "lrrrrrrr")


def chain_screen(chain: dict[str, Any]) -> Tree:
    """A provenance chain as a tree."""
    tree = Tree(Text(harmless(chain["id"])))
    _grow(tree, chain)
    return tree


def _grow(tree: Tree, node: dict[str, Any]) -> None:
    for key, value in node.items():
        if key in ("id", "parents"):
            continue
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        tree.add(Text(harmless(f"{key}: {text}")))
    for parent in node.get("parents", ()):
        branch = tree.add(Text(harmless(parent["id"])))
        _grow(branch, parent)


def _problems(records: Iterable[VideoRecord]) -> list[dict[str, str]]:
    """Why selected videos were left out."""
    return [
        {"video": r.video_id, "step": x.stage, "reason": x.reason, "detail": x.detail}
        for r in records
        for x in r.rejections
        if x.subject_id == r.video_id and x.stage != "select"
    ]


def _warnings(records: Iterable[VideoRecord]) -> list[dict[str, str]]:
    """Warnings about the files of annotated videos."""
    return [
        {"video": r.video_id, "warning": w}
        for r in records
        if not r.is_rejected
        for w in r.warnings
    ]


def _notes(found: dict[str, Any]) -> list[str]:
    """Problems and warnings, a line each."""
    return [
        *(f"{p['video']}: {p['step']}: {p['reason']}: {p['detail']}" for p in found["problems"]),
        *(f"{w['video']}: warning: {w['warning']}" for w in found["warnings"]),
    ]


def _totals_line(totals: dict[str, Any]) -> str:
    line = (
        f"{totals['num_calls']} calls in {totals['num_attempts']} attempts, "
        f"{totals['prompt_tokens']:,} tokens in, {totals['completion_tokens']:,} out "
        f"({totals['reasoning_tokens']:,} reasoning), ${totals['usd']:.4f}"
    )
    line += "".join(f"; {note}" for note in notes_on(totals))
    if totals["num_unknown"]:
        line += (
            f"; {totals['num_unknown']} more were in flight when a run broke off and may have been "
            f"billed, ${totals['unknown_usd']:.4f} at most"
        )
    return line


def notes_on(totals: dict[str, Any]) -> list[str]:
    """What to know about sums: dollars that are estimated, thoughts that were cut off."""
    notes = []
    if totals["num_estimated"]:
        notes.append(
            f"${totals['estimated_usd']:.4f} of it estimated, as {totals['num_estimated']} answers "
            "came without a valid usage"
        )
    if totals["num_with_thoughts"]:
        notes.append(
            f"thoughts were cut off {totals['num_with_thoughts']} answers; the ledger keeps them"
        )
    return notes


def probe_table(found: list[Probe]) -> Table:
    """Probes, one a row."""
    rows = [
        (
            *(one.kind, one.model, f"{one.seconds:.1f}", one.prompt_tokens, one.completion_tokens),
            one.problem or one.notes or "works",
        )
        for one in found
    ]
    return Table(("call", "model", "seconds", "in", "out", ""), rows, "llrrrl")


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
