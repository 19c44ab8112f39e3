"""A whole run: find, select, annotate, finish, export. Called by the command line."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.console import Console

from llava_video.annotate.engines.local import Outcome, run_local
from llava_video.annotate.engines.progress import Progress
from llava_video.annotate.export.card import write_card
from llava_video.annotate.export.conversations import Sample, samples
from llava_video.annotate.export.formats import writer_of
from llava_video.annotate.forecast.forecast import count_calls
from llava_video.annotate.preflight import check_any_selected, check_run
from llava_video.annotate.recipe import Recipe
from llava_video.annotate.records import VideoRecord
from llava_video.annotate.run_folder import Run, finish_records, load_run, save_records, start_run
from llava_video.annotate.videos.discover import common_folder
from llava_video.annotate.videos.select import Measure, measure_here, select_videos
from llava_video.calls.ledger import Ledger, open_ledger
from llava_video.calls.totals import Totals
from llava_video.errors import LlavaVideoError

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
    """Annotate videos into a run folder; the same call again resumes where it stopped.

    Args:
        names: files, folders, globs, manifests.
        recipe: all choices, the budget among them.
        folder: the run's folder.
        engine: ``local`` (this process) or ``ray``.
        console: where progress is shown.

    Raises:
        InputError: there is no video to annotate, or the arguments contradict each other.
    """
    console = console or Console(stderr=True)
    records = check_run(names, recipe, folder)
    measure_all: Measure = measure_here
    if engine == "ray":
        from llava_video.annotate.engines.ray import measure_with_ray

        measure_all = measure_with_ray
    ledger = start_run(folder, recipe, common_folder(records))
    try:
        selected = select_videos(
            records,
            recipe,
            ledger,
            measure_all=measure_all,
            notice=_notice(console, "measured"),
            notice_compared=_notice(console, "compared", every=10_000),
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
    def make_progress(totals: Callable[[], Totals] = ledger.totals) -> Progress:
        return Progress(console, totals, count_calls(selected, recipe))

    try:
        if engine == "ray":
            from llava_video.annotate.engines.ray import run_ray

            return await run_ray(selected, recipe, ledger, make_progress)
        return await run_local(selected, recipe, ledger, make_progress)
    finally:
        await ledger.aclose()


def export_run(
    run_read: Run, format_name: str, folder: Path | None, ledger: Ledger, root: Path | None = None
) -> list[Path]:
    """Write a run's dataset, reviewers' decisions applied, with its card.

    Args:
        run_read: the run.
        format_name: one of `formats.FORMATS`.
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


def _notice(console: Console, verb: str, every: int = 100) -> Callable[[int, int], None]:
    def notice(done: int, of: int) -> None:
        if (done == of and (of > every or verb == "measured")) or done % every == 0:
            console.print(f"{verb} {done} of {of} videos", highlight=False)

    return notice
