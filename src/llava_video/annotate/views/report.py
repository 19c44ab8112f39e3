"""One offline HTML page about a run: what came out, what was left out, what it cost."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path

from llava_video.annotate.decisions import agreements, read_decisions
from llava_video.annotate.export.card import example_pictures, find_example
from llava_video.annotate.export.conversations import answer_text, question_text
from llava_video.annotate.export.statistics import (
    TABLE3,
    TABLE3_HEAD,
    Statistics,
    count,
    table3_row,
)
from llava_video.annotate.forecast.calibration import forecast_against_actual, measured_factors
from llava_video.annotate.recipe import Recipe
from llava_video.annotate.records import VideoRecord
from llava_video.annotate.run_folder import load_run
from llava_video.annotate.views.console import ratio_text
from llava_video.calls.ledger import Ledger, open_ledger
from llava_video.calls.pricing import load_prices
from llava_video.calls.token_count import find_vocabulary
from llava_video.records.files import write_whole
from llava_video.records.question_types import QUESTION_TYPES

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1c2430; max-width: 68rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2.2rem; border-bottom: 1px solid #d5d9e0 }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { padding: .2rem .7rem; text-align: left; vertical-align: top; border-bottom: 1px solid #e8ebf0 }
.number { text-align: right } tr.this td { font-weight: 600; background: #e3ebfb }
.tiles { display: flex; flex-wrap: wrap; gap: .8rem } .tiles div { border: 1px solid #d5d9e0; border-radius: 6px; padding: .5rem .9rem }
.tiles b { display: block; font-size: 1.3rem } .tiles span { color: #5b6675; font-size: .85rem }
.frames { display: flex; gap: .4rem; flex-wrap: wrap } .frames figure { margin: 0 } .frames img { height: 9rem; display: block }
figcaption { color: #5b6675; font-size: .8rem } blockquote { border-left: 3px solid #d5d9e0; margin: .8rem 0; padding: .2rem .9rem }
pre { white-space: pre-wrap; background: #f4f6f9; padding: .6rem; margin: .4rem 0 } .plots { display: flex; flex-wrap: wrap; gap: 1.5rem }
svg text { font: 11px system-ui, sans-serif; fill: #1c2430 }
"""  # noqa: E501
_BLUE, _GREY, _RED = "#3f6fd1", "#b9c0cb", "#c1272d"


def write_report(folder: Path, path: Path) -> Path:
    """Write the page about a run, reviewers' decisions applied.

    Args:
        folder: the run.
        path: the HTML file.
    """
    run = load_run(folder)
    ledger = open_ledger(folder)
    records = run.reviewed()
    found = count(records)
    sections = [
        f"<h1>Dataset report</h1>{_tiles(found, ledger)}",
        f"<h2>Question types</h2>{_types(found)}",
        f"<h2>Lengths</h2>{_lengths(found)}",
        f"<h2>What was left out</h2>{_waterfall(found)}",
        f"<h2>Multiple choice</h2>{_choices(found)}",
        f"<h2>Cost: forecast and actual</h2>{_cost(ledger, run.recipe)}",
        f"<h2>Review</h2>{_review(folder)}",
        f"<h2>Videos that failed, were left out or are damaged</h2>{_problems(records)}",
        f"<h2>Example</h2>{_example(records, run.recipe)}",
        f"<h2>Beside other datasets (the paper's Table 3)</h2>{_table3(found, run.recipe)}",
    ]
    page = (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Dataset report</title>'
        f"<style>{_STYLE}</style>{''.join(sections)}</html>\n"
    )
    write_whole(path, page)
    return path


def _tiles(found: Statistics, ledger: Ledger) -> str:
    totals = ledger.totals()
    tiles = [
        (f"{found.num_kept} of {found.num_videos}", "videos annotated"),
        (f"{found.total_seconds / 60:.1f} min", "of video"),
        (str(found.num_captions), "descriptions"),
        (str(found.num_open_ended), "open-ended questions"),
        (str(found.num_multi_choice), "multiple-choice questions"),
        (f"{found.average_fps:.2f}", "frames seen per second"),
        (f"{totals.num_calls:,}", "calls"),
        (f"${totals.usd:.4f}", "dollars"),
    ]
    inner = "".join(
        f"<div><b>{_e(value)}</b><span>{_e(name)}</span></div>" for value, name in tiles
    )
    return f'<div class="tiles">{inner}</div>'


def _types(found: Statistics) -> str:
    total = sum(found.types.values()) or 1
    shares = [
        (t.title, 100 * found.types.get(t.slug, 0) / total, t.paper_percent) for t in QUESTION_TYPES
    ]
    most = max(max(here, paper) for _, here, paper in shares) or 1
    rows = []
    for number, (title, here, paper) in enumerate(shares):
        y = 24 + number * 30
        rows.append(
            f'<text x="310" y="{y + 15}" text-anchor="end">{_e(title)}</text>'
            f'<rect x="320" y="{y}" width="{420 * here / most:.1f}" height="11" fill="{_BLUE}"/>'
            f'<rect x="320" y="{y + 12}" width="{420 * paper / most:.1f}" height="7" '
            f'fill="{_GREY}"/>'
            f'<text x="{326 + 420 * max(here, paper) / most:.1f}" y="{y + 14}">'
            f"{here:.1f} % ({paper} %)</text>"
        )
    height = 34 + len(shares) * 30
    legend = (
        f'<rect x="320" y="4" width="12" height="10" fill="{_BLUE}"/>'
        '<text x="336" y="13">here</text>'
        f'<rect x="380" y="4" width="12" height="10" fill="{_GREY}"/>'
        '<text x="396" y="13">LLaVA-Video-178K (Table 1)</text>'
    )
    return f'<svg width="880" height="{height}" role="img">{legend}{"".join(rows)}</svg>'


def _lengths(found: Statistics) -> str:
    plots = [
        ("seconds of video", found.durations),
        ("words of description", found.caption_words),
        ("words of open-ended answer", found.answer_words),
    ]
    return '<div class="plots">' + "".join(_histogram(n, v) for n, v in plots) + "</div>"


def _histogram(name: str, values: Sequence[float], num_bins: int = 12) -> str:
    if not values:
        return f"<p>{_e(name)}: none</p>"
    low, high = min(values), max(values)
    width = (high - low) / num_bins or 1.0
    bins = [0] * num_bins
    for value in values:
        bins[min(num_bins - 1, int((value - low) / width))] += 1
    bars = "".join(
        f'<rect x="{10 + i * 24}" y="{120 - 100 * n / max(bins):.1f}" width="22" '
        f'height="{100 * n / max(bins):.1f}" fill="{_BLUE}"><title>{n}</title></rect>'
        for i, n in enumerate(bins)
    )
    return (
        f'<figure style="margin:0"><svg width="310" height="140" role="img">{bars}'
        f'<text x="10" y="135">{low:.0f}</text><text x="298" y="135" text-anchor="end">{high:.0f}'
        f"</text></svg><figcaption>{_e(name)} (n = {len(values)}, most frequent bin {max(bins)})"
        "</figcaption></figure>"
    )


def _waterfall(found: Statistics) -> str:
    if not found.waterfall:
        return "<p>Nothing.</p>"
    most = max(found.waterfall.values())
    rows = []
    for number, ((stage, reason), n) in enumerate(found.waterfall.items()):
        y = 4 + number * 22
        rows.append(
            f'<text x="290" y="{y + 12}" text-anchor="end">{_e(stage)}: {_e(reason)}</text>'
            f'<rect x="300" y="{y}" width="{460 * n / most:.1f}" height="15" fill="{_RED}"/>'
            f'<text x="{306 + 460 * n / most:.1f}" y="{y + 12}">{n}</text>'
        )
    return f'<svg width="880" height="{10 + 22 * len(rows)}" role="img">{"".join(rows)}</svg>'


def _choices(found: Statistics) -> str:
    if not found.letters:
        return "<p>No multiple-choice questions.</p>"
    letters = ", ".join(f"{letter}: {n}" for letter, n in found.letters.items())
    return (
        f"<p>Right letters: {_e(letters)}. The right choice is the single longest in "
        f"{100 * found.longest_right_share:.1f} % of questions (25 % is chance with four).</p>"
    )


def _cost(ledger: Ledger, recipe: Recipe) -> str:
    head = (
        "stage",
        "calls",
        "prompt tokens forecast",
        "actual",
        "ratio",
        "completion",
        "reasoning",
        "$",
    )
    rows = [
        (
            *(str(row["stage"]), f"{row['calls']}", f"{row['forecast_prompt_tokens']:,}"),
            *(f"{row['prompt_tokens']:,}", ratio_text(row["actual_over_forecast"])),
            *(f"{row['completion_tokens']:,}", f"{row['reasoning_tokens']:,}", f"{row['usd']:.4f}"),
        )
        for row in forecast_against_actual(ledger)
    ]
    totals = ledger.totals()
    note = f"<p>{totals.num_attempts} attempts, {totals.num_failed_attempts} of them failed."
    if totals.num_unknown:
        note += (
            f" {totals.num_unknown} calls were in flight when a run broke off and may have been "
            f"billed, ${totals.unknown_usd:.4f} at most."
        )
    return f"{_table(head, rows)}{note}</p><p>{_e(_basis(ledger, recipe))}</p>"


def _basis(ledger: Ledger, recipe: Recipe) -> str:
    model = recipe.endpoint.model
    price = load_prices(recipe.endpoint.prices_file).of(model)
    is_counted = find_vocabulary(price.vocabulary) is not None
    how = "counted with its vocabulary" if is_counted else "estimated from their length"
    found = measured_factors(ledger, model)
    text = f"Forecast for {model}: tokens of texts {how}, of pictures by its rule."
    if found.num_calls:
        text += (
            f" By what the server counted in {found.num_calls} calls, texts take "
            f"{found.text:.2f} times that and pictures {found.image:.2f} times; "
            "`plan --out` with this run's folder calibrates by it."
        )
    return text


def _review(folder: Path) -> str:
    decisions = read_decisions(folder)
    if not decisions:
        return "<p>Nobody has reviewed this run yet.</p>"
    counts = "".join(
        f"<li>{_e(name)}: {len(own)} decisions</li>" for name, own in decisions.items()
    )
    pairs = "".join(
        f"<li>{_e(' and '.join(a.reviewers))}: {a.num_agreed} of {a.num_both} alike"
        + (f", kappa {a.kappa:.2f}" if a.kappa is not None else "")
        + "</li>"
        for a in agreements(decisions)
    )
    return f"<ul>{counts}{pairs}</ul>"


def _problems(records: list[VideoRecord], most: int = 200) -> str:
    rows = [
        (r.video_id, x.stage, x.reason, x.detail)
        for r in records
        for x in r.rejections
        if x.subject_id == r.video_id
    ]
    rows += [(r.video_id, "read", "warning", text) for r in records for text in r.warnings]
    if not rows:
        return "<p>None.</p>"
    more = f"<p>and {len(rows) - most} more</p>" if len(rows) > most else ""
    return _table(("video", "step", "reason", "detail"), rows[:most]) + more


def _example(records: list[VideoRecord], recipe: Recipe) -> str:
    record = find_example(records)
    if record is None or record.facts is None or record.description is None:
        return "<p>No video was kept.</p>"
    pictures, why_not = example_pictures(record, recipe)
    figures = "".join(
        f'<figure><img alt="frame at {p.seconds:.1f} s" src="{p.data_url()}">'
        f"<figcaption>{p.seconds:.1f} s</figcaption></figure>"
        for p in pictures
    )
    parts = [f'<div class="frames">{figures}{_e(why_not)}</div>']
    parts.append(f"<p><b>{_e(record.video_id)}</b></p>")
    parts.append(f"<blockquote>{_e(record.description.text)}</blockquote>")
    for kind in ("open_ended", "multi_choice"):
        qa = next((qa for qa in record.qas if qa.kind == kind), None)
        if qa is not None:
            question, answer = question_text(qa, recipe.seed), answer_text(qa, recipe.seed)
            parts.append(f"<pre>{_e(question)}\n\n<b>{_e(answer)}</b></pre>")
    return "".join(parts)


def _table3(found: Statistics, recipe: Recipe) -> str:
    row = table3_row("this dataset", recipe.endpoint.model, found)
    rows = [row, *reversed(TABLE3)]
    return _table(TABLE3_HEAD, rows).replace("<tr><td>this", '<tr class="this"><td>this')


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; columns whose cells are numbers, units aside, stand to the right."""
    numbers = [all(row[i][:1] in "-$0123456789" for row in rows) for i in range(len(head))]
    sides = [' class="number"' if is_number else "" for is_number in numbers]

    def line(cells: Sequence[str], tag: str) -> str:
        shown = zip(cells, sides, strict=True)
        return "".join(f"<{tag}{side}>{_e(cell)}</{tag}>" for cell, side in shown)

    rest = "".join(f"<tr>{line(row, 'td')}</tr>" for row in rows)
    return f"<table><tr>{line(head, 'th')}</tr>{rest}</table>"


def _e(text: str) -> str:
    return html.escape(str(text))
