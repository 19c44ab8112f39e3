"""The results of a task: scores, what they depend on, and what others published."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from llava_video.errors import InputError
from llava_video.evaluate.scoring.outcomes import Outcome, read_outcomes
from llava_video.evaluate.scoring.scores import Failures, Scores, score
from llava_video.evaluate.tasks.benchmark import Benchmark
from llava_video.records.files import write_whole
from llava_video.records.json_lines import dump_json

FILE = "results.json"


def write_results(
    folder: Path, benchmark: Benchmark, outcomes: Sequence[Outcome], about: dict[str, Any]
) -> dict[str, Any]:
    """Write and return the results of a task.

    Args:
        folder: of the task.
        benchmark: that was asked.
        outcomes: of its questions.
        about: what they depend on; its ``settings`` say what failures count.

    Raises:
        InputError: they cannot be written.
    """
    failures: Failures = about["settings"]["failures"]
    scores = score(outcomes, failures, largest=benchmark.largest_value)
    seen = sorted({outcome.representation for outcome in outcomes if outcome.representation})
    tokens = sorted({outcome.num_video_tokens for outcome in outcomes if outcome.num_video_tokens})
    results = {
        "task": benchmark.name,
        "title": benchmark.title,
        "headline": headline(benchmark, scores),
        "headline_is": "mean over types" if benchmark.mean_over_types else "mean over questions",
        "scores": scores.to_dict(),
        "representations": seen,
        "video_tokens": [tokens[0], tokens[-1]] if tokens else [],
        "references": [asdict(reference) for reference in benchmark.references],
        **about,
    }
    write_whole(folder / FILE, dump_json(results, indent=2) + "\n")
    return results


def headline(benchmark: Benchmark, scores: Scores) -> float | None:
    """The figure that the benchmark is known by; None where its answers are not public."""
    if benchmark.mean_over_types:
        return scores.mean_over_types
    return scores.overall.mean if scores.overall else None


def read_results(folder: Path) -> dict[str, Any]:
    """The results of a task.

    Raises:
        InputError: there are none.
    """
    path = folder / FILE
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: missing or cut off; run `llava-video eval` again") from error
    if "environments" not in found:
        raise InputError(f"{path}: not written by this version; run `llava-video eval` again")
    return found


def read_task(folder: Path) -> tuple[dict[str, Any], list[Outcome]]:
    """The results and the outcomes of a task.

    Raises:
        InputError: one of them is missing or cut off.
    """
    results, outcomes = read_results(folder), read_outcomes(folder)
    num_questions = results["scores"]["num_questions"]
    if len(outcomes) != num_questions:
        raise InputError(
            f"{folder}: {len(outcomes)} outcomes of {num_questions} questions; run `llava-video "
            "eval` again"
        )
    return results, outcomes
