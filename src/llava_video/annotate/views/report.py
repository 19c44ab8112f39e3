"""One offline HTML page about a run: what came out, what was left out, what it cost."""

from __future__ import annotations

from dataclasses import asdict
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
from llava_video.annotate.forecast.calibration import calibrate_tokens, forecast_against_actual
from llava_video.annotate.recipe import Recipe
from llava_video.annotate.records import VideoRecord
from llava_video.annotate.run_folder import load_run
from llava_video.annotate.steps.prompts import titles
from llava_video.annotate.views.console import cost_table, notes_on
from llava_video.calls.ledger import Ledger, open_ledger
from llava_video.calls.messages import Picture
from llava_video.calls.pricing import load_prices
from llava_video.calls.token_count import find_tokenizer
from llava_video.pages.blocks import (
    Bar,
    Bars,
    Block,
    Code,
    Figure,
    Figures,
    Histogram,
    Page,
    Quote,
    Section,
    Table,
    Text,
    Tiles,
)
from llava_video.pages.html import to_html
from llava_video.records.files import write_whole
from llava_video.records.question_types import QUESTION_TYPES


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
        Section("Question types", [_types(found, run.recipe.prompts)]),
        Section("Lengths", _lengths(found)),
        Section("What was left out", [_waterfall(found)]),
        Section("Multiple choice", [_choices(found)]),
        Section("Cost: forecast and actual", _cost(ledger, run.recipe)),
        Section("Review", _review(folder)),
        Section("Videos that failed, were left out or are damaged", _problems(records)),
        Section("Example", _example(records, run.recipe)),
        Section("Beside other datasets (the paper's Table 3)", [_table3(found, run.recipe)]),
    ]
    write_whole(path, to_html(Page("Dataset report", [_tiles(found, ledger)], sections)))
    return path


def _tiles(found: Statistics, ledger: Ledger) -> Tiles:
    totals = ledger.totals()
    return Tiles(
        [
            (f"{found.num_kept} of {found.num_videos}", "videos annotated"),
            (f"{found.total_seconds / 60:.1f} min", "of video"),
            (str(found.num_captions), "descriptions"),
            (str(found.num_open_ended), "open-ended questions"),
            (str(found.num_multi_choice), "multiple-choice questions"),
            (str(found.num_without_questions), "videos without any question"),
            (f"{found.average_fps:.2f}", "frames sent per second"),
            (f"{totals.num_calls:,}", "calls"),
            (f"${totals.usd:.4f}", "dollars"),
        ]
    )


def _types(found: Statistics, folder: str | None) -> Bars:
    total = sum(found.types.values()) or 1
    bars = []
    for own in QUESTION_TYPES:
        here = 100 * found.types.get(own.slug, 0) / total
        text = f"{here:.1f} % ({own.paper_percent} %)"
        bars.append(Bar(own.title, here, text, own.paper_percent))
    names = titles(folder)
    for slug in sorted(found.types.keys() - {own.slug for own in QUESTION_TYPES}):
        here = 100 * found.types[slug] / total
        bars.append(Bar(names.get(slug, slug), here, f"{here:.1f} %"))
    return Bars(bars, ("here", "LLaVA-Video-178K (Table 1)"))


def _lengths(found: Statistics) -> list[Block]:
    return [
        Histogram.of("seconds of video", found.durations),
        Histogram.of("words of description", found.caption_words),
        Histogram.of("words of open-ended answer", found.answer_words),
    ]


def _waterfall(found: Statistics) -> Block:
    if not found.waterfall:
        return Text("Nothing.")
    rows = found.waterfall.items()
    return Bars([Bar(f"{stage}: {reason}", n, f"{n}") for (stage, reason), n in rows])


def _choices(found: Statistics) -> Text:
    if not found.letters:
        return Text("No multiple-choice questions.")
    letters = ", ".join(f"{letter}: {n}" for letter, n in found.letters.items())
    return Text(
        f"Right letters: {letters}. The right choice is the single longest in "
        f"{100 * found.longest_right_share:.1f} % of questions (25 % is chance with four)."
    )


def _cost(ledger: Ledger, recipe: Recipe) -> list[Block]:
    totals = ledger.totals()
    note = f"{totals.num_attempts} attempts, {totals.num_failed_attempts} of them failed."
    if totals.num_unknown:
        note += (
            f" {totals.num_unknown} calls were in flight when a run broke off and may have been "
            f"billed, ${totals.unknown_usd:.4f} at most."
        )
    note += "".join(f" {text[0].upper()}{text[1:]}." for text in notes_on(asdict(totals)))
    return [cost_table(forecast_against_actual(ledger)), Text(note), Text(_basis(ledger, recipe))]


def _basis(ledger: Ledger, recipe: Recipe) -> str:
    model = recipe.endpoint.model
    price = load_prices(recipe.endpoint.prices_file).of(model)
    is_counted = find_tokenizer(price.tokenizer_name) is not None
    how = "counted with its tokenizer" if is_counted else "estimated from their length"
    found = calibrate_tokens(ledger, model)
    text = f"Forecast for {model}: tokens of texts {how}, of pictures by its rule."
    if found.num_calls:
        text += (
            f" By what the server counted in {found.num_calls} calls, texts take "
            f"{found.text:.2f} times that and pictures {found.image:.2f} times; "
            "`plan --out` with this run's folder calibrates by it."
        )
    return text


def _review(folder: Path) -> list[Block]:
    decisions = read_decisions(folder)
    if not decisions:
        return [Text("This run has not been reviewed.")]
    counts = [(name, len(own)) for name, own in decisions.items()]
    pairs = [
        (
            " and ".join(found.reviewers),
            f"{found.num_agreed} of {found.num_both}",
            "-" if found.kappa is None else f"{found.kappa:.2f}",
        )
        for found in agreements(decisions)
    ]
    tables = [Table(("reviewer", "decisions"), counts, "lr")]
    if pairs:
        tables.append(Table(("reviewers", "alike", "kappa"), pairs, "lrr"))
    return [*tables]


def _problems(records: list[VideoRecord], most: int = 200) -> list[Block]:
    rows = [
        (r.video_id, x.stage, x.reason, x.detail)
        for r in records
        for x in r.rejections
        if x.subject_id == r.video_id
    ]
    rows += [(r.video_id, "read", "warning", text) for r in records for text in r.warnings]
    if not rows:
        return [Text("None.")]
    more = [Text(f"and {len(rows) - most} more")] if len(rows) > most else []
    return [Table(("video", "step", "reason", "detail"), rows[:most]), *more]


def frames_shown(pictures: list[Picture]) -> Figures:
    """Frames with their times."""
    return Figures([Figure(p.data_url(), f"{p.seconds:.1f} s") for p in pictures])


def _example(records: list[VideoRecord], recipe: Recipe) -> list[Block]:
    record = find_example(records)
    if record is None or record.facts is None or record.description is None:
        return [Text("No video was kept.")]
    pictures, why_not = example_pictures(record, recipe)
    blocks: list[Block] = [Text(why_not) if why_not else frames_shown(pictures)]
    blocks += [Text(record.video_id), Quote(record.description.text)]
    for kind in ("open_ended", "multi_choice"):
        qa = next((qa for qa in record.qas if qa.kind == kind), None)
        if qa is not None:
            question, answer = question_text(qa, recipe.seed), answer_text(qa, recipe.seed)
            blocks.append(Code(question, ending=answer))
    return blocks


def _table3(found: Statistics, recipe: Recipe) -> Table:
    row = table3_row("this dataset", recipe.endpoint.model, found)
    return Table(TABLE3_HEAD, [row, *reversed(TABLE3)], "llrrrrrr", marked=0)
