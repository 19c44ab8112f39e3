"""A whole run: find, select, annotate, finish, export. What the command line calls."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.console import Console

from llava_video.annotate.card import write_card
from llava_video.annotate.dataset import Sample, samples
from llava_video.annotate.exports import writer_of
from llava_video.annotate.filters import check_filters
from llava_video.annotate.inputs import common_folder, find_videos
from llava_video.annotate.ledger import Ledger, open_ledger
from llava_video.annotate.money import load_prices
from llava_video.annotate.pipeline import (
    Measure,
    Outcome,
    check_endpoint,
    measure_here,
    run_local,
    select_videos,
)
from llava_video.annotate.plan import make_plan
from llava_video.annotate.progress import Progress
from llava_video.annotate.recipe import Recipe
from llava_video.annotate.records import VideoRecord, from_json
from llava_video.annotate.runs import Run, finish_records, load_run, save_records, start_run
from llava_video.errors import InputError, LlavaVideoError

EngineName = Literal["local", "ray"]


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a run ended.

    Attributes:
        records: the final records, in input order.
        files: what was exported.
        stopped_by: why it stopped early, or None.
    """

    records: list[VideoRecord]
    files: list[Path]
    stopped_by: LlavaVideoError | None


def run(
    names: list[str],
    recipe: Recipe,
    folder: Path,
    *,
    engine: EngineName = "local",
    console: Console | None = None,
) -> RunResult:
    """Annotate videos into a run folder; the same call again goes on where it stopped.

    Args:
        names: files, folders, globs, manifests.
        recipe: all choices, the budget among them.
        folder: the run's folder.
        engine: ``local`` (this process) or ``ray``.
        console: where progress is shown.

    Raises:
        InputError: nothing to annotate, or what was given does not fit.
    """
    console = console or Console(stderr=True)
    check_budget(recipe)
    check_filters(recipe.filters)
    records = find_videos(names)
    check_endpoint(recipe.endpoint)
    measure_all: Measure = measure_here
    if engine == "ray":
        from llava_video.annotate.ray_engine import measure_with_ray

        measure_all = measure_with_ray
    ledger = start_run(folder, recipe, common_folder(records))
    try:
        selected = select_videos(
            records, recipe, ledger, measure_all=measure_all, notice=_notice(console)
        )
        check_any_selected(selected)
        outcome = asyncio.run(_annotate(selected, recipe, ledger, engine, console))
    finally:
        ledger.close()
    final = finish_records(outcome.records, recipe)
    save_records(final, folder)
    ledger = open_ledger(folder)
    files = export_run(load_run(folder), "llava", None, ledger)
    return RunResult(final, files, outcome.stopped_by)


async def _annotate(
    selected: list[VideoRecord],
    recipe: Recipe,
    ledger: Ledger,
    engine: EngineName,
    console: Console,
) -> Outcome:
    forecast = make_plan(selected, recipe, load_prices(recipe.endpoint.prices_file)).num_calls

    def make_progress() -> Progress:
        return Progress(console, ledger.totals, forecast)

    try:
        if engine == "ray":
            from llava_video.annotate.ray_engine import run_ray

            return await run_ray(selected, recipe, ledger)
        return await run_local(selected, recipe, ledger, make_progress)
    finally:
        await ledger.aclose()


def export_run(
    run_read: Run, format_name: str, folder: Path | None, ledger: Ledger, root: Path | None = None
) -> list[Path]:
    """Write a run's dataset, reviewers' decisions applied, with its card.

    Args:
        run_read: the run.
        format_name: one of `exports.FORMATS`.
        folder: where to; by default the run's own folder for the format, from which files of
            earlier exports go.
        ledger: for the card's cost.
        root: what ``video`` paths are relative to; the videos' common folder by default.
    """
    writer = writer_of(format_name)
    records = run_read.reviewed()
    found: list[Sample] = list(samples(records, run_read.recipe, root or run_read.root))
    target = folder or run_read.folder / own_folder_name(format_name)
    card, *pictures = write_card(records, run_read.recipe, ledger, target)
    written = list(dict.fromkeys([*writer(found, run_read.recipe, target), card]))
    if folder is None:
        for old in set(target.rglob("*")) - {*written, *pictures}:
            if old.is_file():
                old.unlink()
    return written


def own_folder_name(format_name: str) -> str:
    """Where a run keeps its dataset in a format."""
    return "dataset" if format_name == "llava" else f"dataset-{format_name}"


def finished_records(ledger: Ledger) -> list[VideoRecord]:
    """Every video's record as the ledger keeps it, also of a run that has not ended."""
    return [from_json(text) for _, _, _, text in ledger.saved_videos()]


def check_budget(recipe: Recipe) -> None:
    """A limit in dollars needs prices to be kept.

    Raises:
        InputError: there is a limit, and a model without a price.
    """
    prices = load_prices(recipe.endpoint.prices_file)
    models = [recipe.endpoint.model]
    models += [c.model for c in (recipe.faithfulness, recipe.blind) if c.enabled and c.model]
    for model in models:
        if recipe.max_usd is not None and not prices.of(model).is_known:
            raise InputError(
                f"--max-usd needs a price of {model}; the table of {prices.date} has none; give "
                "endpoint.prices_file (see docs/data-engine.md) or leave --max-usd out"
            )


def check_any_selected(records: list[VideoRecord]) -> None:
    """Refuse a run that selection leaves empty.

    Raises:
        InputError: every video was rejected; the reasons are counted.
    """
    if any(not record.is_rejected for record in records):
        return
    reasons: dict[str, int] = {}
    for record in records:
        reason = record.rejections[-1].reason
        reasons[reason] = reasons.get(reason, 0) + 1
    counted = ", ".join(f"{reason} {number}" for reason, number in sorted(reasons.items()))
    only = next(iter(records)).rejections[-1].detail if len(records) == 1 else ""
    raise InputError(
        f"none of {len(records)} videos was selected ({counted}{': ' + only if only else ''}); "
        "--recipe open takes every readable video, or change the limits in a recipe of your own"
    )


def count_states(ledger: Ledger) -> dict[str, int]:
    """Videos by how they ended."""
    states: dict[str, int] = {}
    for _, stage, _, _ in ledger.saved_videos():
        states[stage] = states.get(stage, 0) + 1
    return states


def _notice(console: Console) -> Callable[[int, int], None]:
    def notice(done: int, of: int) -> None:
        if done == of or done % 100 == 0:
            console.print(f"measured {done} of {of} videos", highlight=False)

    return notice
