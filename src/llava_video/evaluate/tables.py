"""Tables 4 and 5 of the paper on any checkpoint and task: a grid, its runs, and what it shows.

Every row is evaluated on the same questions, so that differences to the first row are paired. With
several seeds per row the interval of a difference is that over seeds, else that over videos.
"""

from __future__ import annotations

import csv
import io
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llava_video.evaluate.curve_plot import plot_curves
from llava_video.evaluate.interval_plot import plot_intervals
from llava_video.evaluate.run import Settings, evaluate
from llava_video.evaluate.scoring.outcomes import Outcome, read_outcomes
from llava_video.evaluate.scoring.power import (
    num_questions_needed,
    num_seeds_needed,
)
from llava_video.evaluate.scoring.scores import Mean, compare_paired, mean_of, score
from llava_video.evaluate.source import load_questions
from llava_video.evaluate.table_recipe import TableRecipe, TableRow, representation_text
from llava_video.evaluate.tasks import find_benchmark
from llava_video.pages.blocks import Bar, Bars, Page, Section, Table, Text
from llava_video.pages.html import to_html
from llava_video.pages.markdown import to_markdown
from llava_video.records.files import write_whole

_POINT = 0.01


@dataclass(frozen=True, slots=True)
class Line:
    """A row of a table, evaluated.

    Attributes:
        name: what is compared.
        representations: as the models saw videos.
        num_frames: most that were seen.
        num_video_tokens: most of a video.
        overall: accuracy.
        more: difference to the first row; None for the first.
        by_type: accuracy per type of question.
        seconds: of all its runs, the first time.
        outcomes: of each seed.
    """

    name: str
    representations: tuple[str, ...]
    num_frames: int
    num_video_tokens: int
    overall: Mean
    more: Mean | None
    by_type: dict[str, float]
    seconds: float
    outcomes: tuple[Sequence[Outcome], ...]


def make_tables(
    recipe: TableRecipe,
    *,
    open_model: Callable[[str, str | None], Any] = lambda model, representation: None,
    notice: Callable[[str], None] = lambda text: None,
) -> list[Line]:
    """Evaluate every row, and write ``table.md``, ``.csv``, ``.svg`` and ``.html``.

    Where rows belong to curves, ``curves.svg`` shows accuracy against video tokens.

    Args:
        recipe: what to compare; its folder may hold a part of the runs already.
        open_model: gives the model of inspect_ai for a name and a representation, in place of the
            named one.
        notice: called with a line about each evaluated row.

    Raises:
        LlavaVideoError: a row cannot be evaluated.
    """
    recipe.keep_in(recipe.out)
    benchmark = find_benchmark(recipe.task)
    source = load_questions(
        benchmark,
        annotations=recipe.annotations,
        videos=recipe.videos,
        made_in=recipe.out / f"{recipe.task}-made",
        num_videos=recipe.num_videos,
        level=recipe.level,
    )
    lines: list[Line] = []
    for number, row in enumerate(recipe.rows):
        lines.append(
            _evaluate(
                recipe, number, row, source.annotations, lines[0] if lines else None, open_model
            )
        )
        notice(f"{row.name}: {lines[-1].overall.text}")
    _write(recipe, lines)
    return lines


def _evaluate(
    recipe: TableRecipe,
    number: int,
    row: TableRow,
    annotations: Path,
    first: Line | None,
    open_model: Callable[[str, str | None], Any],
) -> Line:
    representation = representation_text(row)
    outcomes: list[Sequence[Outcome]] = []
    seconds = 0.0
    for place, model in enumerate(recipe.models_of(row)):
        settings = Settings(
            model=model,
            device=recipe.device,
            representation=representation,
            prompts=recipe.prompts,
            limit=recipe.limit,
            num_videos=recipe.num_videos,
            level=recipe.level,
        )
        out = recipe.out / f"row{number}" / f"{place}"
        results = evaluate(
            [recipe.task],
            out,
            settings,
            annotations=annotations,
            videos=recipe.videos,
            model=open_model(model, representation),
        )
        seconds += results[recipe.task]["seconds_of_last_run"]
        outcomes.append(read_outcomes(out / recipe.task))
    every = [outcome for seed in outcomes for outcome in seed]
    scores = score(every, largest=find_benchmark(recipe.task).largest_value)
    assert scores.overall is not None, "a run without any score raises before"
    return Line(
        name=row.name,
        representations=tuple(sorted({o.representation for o in every if o.representation})),
        num_frames=max(len(outcome.seen_seconds) for outcome in every),
        num_video_tokens=max(outcome.num_video_tokens for outcome in every),
        overall=_over_seeds([_accuracy(seed) for seed in outcomes], scores.overall),
        more=None if first is None else difference(first.outcomes, outcomes),
        by_type={name: mean.mean for name, mean in scores.by_type.items()},
        seconds=seconds,
        outcomes=tuple(outcomes),
    )


def _accuracy(outcomes: Sequence[Outcome]) -> float:
    overall = score(outcomes).overall
    return overall.mean if overall is not None else 0.0


def _over_seeds(accuracies: Sequence[float], alone: Mean) -> Mean:
    """The mean with the interval over seeds where there are several, else over videos."""
    if len(accuracies) == 1:
        return alone
    return mean_of(accuracies, range(len(accuracies)), min_clusters=2)


def difference(first: Sequence[Sequence[Outcome]], second: Sequence[Sequence[Outcome]]) -> Mean:
    """The paired difference of two rows: over seeds if both have several, else over videos."""
    pairs = list(zip(first, second, strict=False)) if len(first) == len(second) else [
        (first[0], each) for each in second
    ]  # fmt: skip
    found = [paired for a, b in pairs if (paired := compare_paired(a, b)) is not None]
    return _over_seeds([each.difference.mean for each in found], found[0].difference)


def power_in_words(lines: Sequence[Line]) -> list[str]:
    """What it would take to show a difference of one point to the first row, for each other row."""
    [first, *others] = lines
    said = []
    for line in others:
        share = statistics.mean(
            paired.differing_share
            for a, b in zip(first.outcomes, line.outcomes, strict=False)
            if (paired := compare_paired(a, b)) is not None
        )
        if share <= _POINT:
            said.append(f"{line.name}: differs on {share:.1%} of the questions only.")
            continue
        text = (
            f"{line.name}: differs on {share:.1%} of the questions; "
            f"{num_questions_needed(_POINT, share):,} independent ones show one point between two "
            "fixed models"
        )
        if line.more is not None and line.more.num_clusters > 1 and len(line.outcomes) > 1:
            deviation = line.more.stderr * line.more.num_clusters**0.5
            text += (
                f", and {num_seeds_needed(_POINT, deviation)} seeds between two recipes (the "
                f"difference varies by {deviation:.3f} from seed to seed)"
            )
        said.append(f"{text}.")
    return said


def as_table(recipe: TableRecipe, lines: Sequence[Line]) -> Table:
    """The table, as it is printed and written.

    Beside the mean over questions, which has an interval, stands the mean over types where the
    benchmark is known by that.
    """
    over_types = find_benchmark(recipe.task).mean_over_types
    types = ("over types",) if over_types else ()
    head = ("", "V", "frames", "video tokens", "accuracy", *types, "more", "seconds")
    rows: list[list[str | int]] = [
        [
            line.name,
            "; ".join(line.representations) or "own",
            line.num_frames,
            line.num_video_tokens,
            line.overall.text,
            *([_mean_over_types(line)] if over_types else []),
            "" if line.more is None else _signed(line.more),
            f"{line.seconds:.0f}",
        ]
        for line in lines
    ]
    return Table(head, rows, "ll" + "r" * (len(head) - 2), title=recipe.title)


def _mean_over_types(line: Line) -> str:
    means = line.by_type.values()
    return f"{statistics.mean(means):.3f}" if means else ""  # rows need not have types


def by_type(lines: Sequence[Line]) -> Table:
    """Accuracy of each row per type of question."""
    types = sorted({name for line in lines for name in line.by_type})
    rows = [
        [name, *(f"{line.by_type[name]:.3f}" if name in line.by_type else "" for line in lines)]
        for name in types
    ]
    return Table(("type", *(line.name for line in lines)), rows, "l" + "r" * len(lines))


def _signed(mean: Mean) -> str:
    return mean.text if mean.mean < 0 else f"+{mean.text}"


def _write(recipe: TableRecipe, lines: Sequence[Line]) -> None:
    table = as_table(recipe, lines)
    types = by_type(lines)
    write_whole(recipe.out / "table.md", f"{to_markdown(table)}\n\n{to_markdown(types)}\n")
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(table.head)
    writer.writerows(table.rows)
    writer.writerows([[], types.head, *types.rows])
    write_whole(recipe.out / "table.csv", buffer.getvalue())
    plot = plot_intervals(recipe.title, [(line.name, line.overall) for line in lines])
    write_whole(recipe.out / "table.svg", plot)
    curves: dict[str, list[tuple[int, Mean]]] = {}
    for row, line in zip(recipe.rows, lines, strict=True):
        if row.curve is not None:
            curves.setdefault(row.curve, []).append((line.num_video_tokens, line.overall))
    if curves:
        reference = (lines[0].num_video_tokens, lines[0].overall)
        write_whole(recipe.out / "curves.svg", plot_curves(recipe.title, curves, reference))
    bars = [Bar(line.name, line.overall.mean, line.overall.text) for line in lines]
    tokens = [Bar(line.name, line.num_video_tokens, f"{line.num_video_tokens:,}") for line in lines]
    sections = [
        Section("Accuracy", [Bars(bars)]),
        Section("Video tokens", [Bars(tokens)]),
        Section("By type of question", [types]),
        Section("Power", [Text(text) for text in power_in_words(lines)] or [Text("One row.")]),
    ]
    write_whole(recipe.out / "table.html", to_html(Page(recipe.title, [table], sections)))
