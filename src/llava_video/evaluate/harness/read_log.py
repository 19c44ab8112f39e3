"""Outcomes from inspect_ai's samples."""

from __future__ import annotations

import math
from typing import Any

from llava_video.evaluate.asked import Asked
from llava_video.evaluate.harness.scorer import OTHERS
from llava_video.evaluate.harness.solvers import FAILURE, FAILURE_KIND
from llava_video.evaluate.scoring.outcomes import Outcome, shown_of


def read_sample(sample: Any, asked: Asked) -> Outcome:
    """The outcome of a sample; one that ended in an error, or is missing, is a failure."""
    question = asked.question
    said, value, text = None, None, ""
    details: dict[str, Any] = {}
    failure, kind = "", ""
    others: dict[str, float] = {}
    if sample is None:
        failure, kind = "the log has no such sample; run again to resume", "model"
    elif sample.error is not None:
        failure, kind = " ".join(sample.error.message.split()), "model"
        text = sample.output.completion
    else:
        [score] = sample.scores.values()
        text, said = score.explanation or "", score.answer
        more = score.metadata or {}
        failure, kind = more.get(FAILURE, ""), more.get(FAILURE_KIND, "")
        others = more.get(OTHERS) or {}
        details = sample.output.metadata or {}
        is_number = isinstance(score.value, int | float) and not math.isnan(score.value)
        value = float(score.value) if is_number else None
    return Outcome(
        id=question.id,
        video=question.video,
        type=question.type,
        duration=question.duration,
        question=question.text,
        options=question.options,
        target=question.answer,
        prompt=asked.prompt,
        file=str(asked.video.absolute()) if asked.video is not None else "",
        text=text,
        said=said,
        value=value,
        failure=failure,
        failure_kind=kind,
        others=others,
        **shown_of(details),
    )
