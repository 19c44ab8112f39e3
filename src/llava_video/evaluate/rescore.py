"""Other verdicts on the answers of a run, without the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from llava_video.evaluate.extraction import find_extractor
from llava_video.evaluate.scoring.outcomes import (
    Outcome,
    task_folders,
    write_outcomes,
)
from llava_video.evaluate.scoring.results import read_task, write_results
from llava_video.evaluate.scoring.scores import Failures
from llava_video.evaluate.scoring.submission import known_ids, write_submission
from llava_video.evaluate.scoring.verdicts import judge_choice
from llava_video.evaluate.tasks import find_benchmark


def rescore(
    run: Path, *, extraction: str | None = None, failures: Failures | None = None
) -> dict[str, dict[str, Any]]:
    """Score the answers of a run again, and write results and outcomes anew.

    Args:
        run: its folder.
        extraction: another extractor, for questions with options.
        failures: what failed questions count now.

    Returns:
        The results of each task.

    Raises:
        InputError: there is no run, or no such extractor for a task.
    """
    found: dict[str, dict[str, Any]] = {}
    for folder in task_folders(run):
        results, outcomes = read_task(folder)
        benchmark = find_benchmark(results["task"])
        settings = results["settings"]
        settings["extraction"] = extraction or settings["extraction"]
        settings["failures"] = failures or settings["failures"]
        outcomes = extract_again(outcomes, benchmark.name, settings["extraction"])
        write_outcomes(folder, outcomes)
        kept = ("settings", "prompts", "judge", "annotations", "videos", "seeds")
        more = ("environments", "seconds_of_last_run")
        about = {name: results[name] for name in (*kept, *more)}
        found[benchmark.name] = write_results(folder, benchmark, outcomes, about)
        if not benchmark.is_answer_public and settings["limit"] is None:
            write_submission(folder, outcomes, known_ids(Path(results["annotations"])))
    return found


def extract_again(outcomes: Sequence[Outcome], task: str, extraction: str) -> list[Outcome]:
    """The outcomes with the letters that another extractor finds."""
    extract = find_extractor(extraction, dict(find_benchmark(task).compatible), task)
    again = []
    for outcome in outcomes:
        if outcome.options and not outcome.failure:
            verdict = judge_choice(outcome.text, outcome.as_question(), extract)
            outcome = replace(outcome, said=verdict.said, value=verdict.value)  # noqa: PLW2901
        again.append(outcome)
    return again
