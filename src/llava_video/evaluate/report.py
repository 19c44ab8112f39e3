"""The report of an evaluation: one HTML page that works offline."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

from llava_video.evaluate.scoring.outcomes import Outcome, task_folders
from llava_video.evaluate.scoring.results import read_task
from llava_video.evaluate.scoring.scores import mean_text
from llava_video.evaluate.thumbnails import thumbnails
from llava_video.pages.blocks import Bar, Bars, Block, Cell, Page, Section, Table, Text, Tiles
from llava_video.pages.html import to_html
from llava_video.records.files import write_whole
from llava_video.records.options import LETTERS

FILE = "report.html"
_MOST_SHOWN = 12


def write_report(run: Path) -> Path:
    """Write the report of a run from the files of its tasks.

    Raises:
        InputError: a task has no results.
    """
    sections: list[Section] = []
    for folder in task_folders(run):
        results, outcomes = read_task(folder)
        sections += _sections(results, outcomes)
    path = run / FILE
    write_whole(path, to_html(Page(f"Evaluation {run.resolve().name}", [], sections)))
    return path


def _about(results: dict[str, Any], outcomes: Sequence[Outcome]) -> Table:
    """What the scores depend on: settings, what was seen, files, versions, machines."""
    judge = results["judge"] or {}
    values: dict[str, Any] = {
        **results["settings"],
        "prompts": results["prompts"],
        "representation": ", ".join(results["representations"]) or "not known here",
        "frames of a video": _frames_in_words(outcomes),
        **{f"judge: {name}": value for name, value in judge.items()},
        **{f"seed: {name}": value for name, value in results["seeds"].items()},
        "annotations": results["annotations"],
        "videos": results["videos"],
    }
    for kind in ("computed", "versions", "hardware"):
        for name in dict.fromkeys(n for each in results["environments"] for n in each[kind]):
            found = dict.fromkeys(each[kind].get(name, "") for each in results["environments"])
            values[name] = ", then ".join(found)
    rows = [(name, str(value)) for name, value in values.items() if value not in (None, False)]
    return Table(("setting", "value"), rows)


def _frames_in_words(outcomes: Sequence[Outcome]) -> str:
    seen = [outcome for outcome in outcomes if outcome.seen_seconds]
    if not seen:
        return "not known here"
    numbers = sorted({len(outcome.seen_seconds) for outcome in seen})
    counted = f"{numbers[0]}" if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"
    [first, *_] = seen
    times = first.seen_seconds
    return (
        f"{counted}; of {first.video} at {', '.join(f'{t:.2f}' for t in times[:3])}"
        f"{' ... ' if len(times) > 4 else ', ' if len(times) > 3 else ''}"
        f"{f'{times[-1]:.2f}' if len(times) > 3 else ''} s (all in outcomes.jsonl)"
    )


def _sections(results: dict[str, Any], outcomes: Sequence[Outcome]) -> Iterator[Section]:
    title, scores = results["title"], results["scores"]
    blocks: list[Block] = [_tiles(results), *_warnings(scores)]
    if results["references"]:
        rows = [(r["model"], f"{r['score']:g}", r["source"]) for r in results["references"]]
        blocks.append(Table(("published for", "score", "source"), rows, "lrl"))
    yield Section(title, blocks)
    groups = [("type of question", "by_type"), ("duration", "by_duration")]
    for name, key in groups:
        if scores[key]:
            yield Section(f"{title}: by {name}", [_bars(scores[key])])
    letters = [outcome for outcome in outcomes if outcome.options and outcome.target]
    if letters:
        yield Section(f"{title}: right and chosen letters", [_confusion(letters)])
    wrong = [outcome for outcome in outcomes if outcome.value == 0 or outcome.failure]
    if wrong:
        shown = _spread(wrong)
        blocks = [Text(f"{len(shown)} of {len(wrong)}, spread over the types."), _wrong(shown)]
        yield Section(f"{title}: answered wrongly", blocks)
    yield Section(f"{title}: what this depends on", [_about(results, outcomes)])


def _tiles(results: dict[str, Any]) -> Tiles:
    scores = results["scores"]
    tokens = results["video_tokens"]
    overall = scores["overall"]
    tiles = []
    if results["headline"] is not None:
        is_mean = results["headline_is"] == "mean over questions"
        text = _mean_text(overall) if is_mean else f"{results['headline']:.3f}"
        tiles.append((text, f"{results['headline_is']}{', 95 %' if is_mean else ''}"))
    tiles += [(_mean_text(mean), name) for name, mean in scores["others"].items()]
    tiles += [
        (f"{scores['num_questions']:,}", "questions"),
        (f"{overall['num_clusters'] if overall else 0:,}", "videos"),
        (f"{scores['unparsed_share']:.1%}", "answers that choose nothing"),
        *_letters(scores),
        (f"{sum(scores['num_failed'].values()):,}", f"failures, {scores['failures']}"),
    ]
    if scores["most_frequent"] is not None:
        tiles.append((f"{scores['most_frequent']:.3f}", "always the most frequent letter"))
    if tokens:
        same = tokens[0] == tokens[1]
        tiles.append(
            (f"{tokens[0]:,}" if same else f"{tokens[0]:,} to {tokens[1]:,}", "video tokens")
        )
    return Tiles(tiles)


def _letters(scores: dict[str, Any]) -> list[tuple[str, str]]:
    number = scores["num_with_options"]
    return (
        [(f"{scores['num_letters'] / number:.1%}", "answers that are a letter")] if number else []
    )


def _warnings(scores: dict[str, Any]) -> list[Block]:
    failed = ", ".join(f"{number} by {kind}" for kind, number in scores["num_failed"].items())
    return [Text(f"Failed questions are {scores['failures']}: {failed}.")] if failed else []


def _bars(means: dict[str, dict[str, Any]]) -> Bars:
    return Bars(
        [
            Bar(
                name,
                mean["mean"],
                f"{_mean_text(mean)}, {mean['num_values']:,} questions",
            )
            for name, mean in means.items()
        ]
    )


def _mean_text(mean: dict[str, Any]) -> str:
    return mean_text(mean["mean"], mean["low"], mean["high"])


def _confusion(outcomes: Sequence[Outcome]) -> Table:
    pairs = Counter((outcome.target, outcome.said or "none") for outcome in outcomes)
    right = sorted({target for target, _ in pairs})
    chosen = sorted({*right, *(said for _, said in pairs if said != "none")})
    columns = [*chosen, "none"]
    rows: list[Sequence[Cell]] = [
        [target, *(pairs[target, said] for said in columns)] for target in right
    ]
    return Table(("right", *columns), rows, "l" + "r" * len(columns))


def _spread(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """A few, one of each type in turn."""
    by_type: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        by_type.setdefault(outcome.type, []).append(outcome)
    turns = [each for turn in zip_longest(*by_type.values()) for each in turn if each is not None]
    return turns[:_MOST_SHOWN]


def _wrong(outcomes: Sequence[Outcome]) -> Table:
    rows = [
        (
            thumbnails(outcome),
            outcome.prompt,
            outcome.failure or outcome.text,
            _named(outcome.said, outcome) if outcome.said else "nothing",
            _named(outcome.target, outcome),
        )
        for outcome in outcomes
    ]
    return Table(("seen", "prompt", "answer", "extracted", "right"), rows)


def _named(letter: str, outcome: Outcome) -> str:
    """A letter with its option: ``B. red``."""
    if not outcome.options or letter not in LETTERS[: len(outcome.options)]:
        return letter
    return f"{letter}. {outcome.options[LETTERS.index(letter)]}"
