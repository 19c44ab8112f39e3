"""A benchmark's questions as a task of inspect_ai."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from inspect_ai import Task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import ChatMessageUser, Content, ContentText, ContentVideo, GenerateConfig
from inspect_ai.solver import Solver

from llava_video.evaluate.asked import Asked
from llava_video.evaluate.extraction import OWN
from llava_video.evaluate.harness.scorer import answer_scorer
from llava_video.evaluate.harness.solvers import always, answer_once, frames_as_pictures
from llava_video.evaluate.question import Question
from llava_video.evaluate.tasks.benchmark import Benchmark

_FORMATS: dict[str, Literal["mp4", "mpeg", "mov"]] = {
    ".mpg": "mpeg",
    ".mpeg": "mpeg",
    ".mov": "mov",
}
"""inspect_ai knows three formats only; whoever decodes looks at the file."""


def build_task(
    benchmark: Benchmark,
    asked: Sequence[Asked],
    *,
    extraction: str = OWN,
    answers_file: Path | None = None,
    always_answer: str | None = None,
    num_pictures: int | None = None,
    settings: str = "",
) -> Task:
    """A task of inspect_ai.

    Args:
        benchmark: whose questions they are.
        asked: the questions as they are put.
        extraction: name of an extractor.
        answers_file: where answers are kept.
        always_answer: the answer to every question, instead of a model's.
        num_pictures: send so many frames as pictures, to models that take no video.
        settings: what else answers depend on.
    """
    solvers: list[Solver] = []
    if always_answer is not None:
        solvers.append(always(always_answer))
    else:
        if num_pictures is not None:
            solvers.append(frames_as_pictures(num_pictures))
        solvers.append(answer_once(str(answers_file) if answers_file else None, settings))
    return Task(
        name=benchmark.name,
        dataset=MemoryDataset([_sample(each) for each in asked], name=benchmark.name),
        solver=solvers,
        scorer=answer_scorer(benchmark.name, extraction),
        config=GenerateConfig(temperature=0.0, max_tokens=benchmark.max_new_tokens),
        metadata={"title": benchmark.title},
    )


def _sample(asked: Asked) -> Sample:
    content: list[Content] = []
    if asked.video is not None:
        kind = _FORMATS.get(asked.video.suffix.lower(), "mp4")
        content.append(ContentVideo(video=str(asked.video), format=kind))
    content.append(ContentText(text=asked.prompt))
    return Sample(
        id=asked.question.id,
        input=[ChatMessageUser(content=content)],
        target=asked.question.answer,
        metadata={
            "video": asked.question.video,
            "question": _plain(asked.question),
            "video_digest": asked.video_digest,
            "missing": asked.missing,
            "batch": asked.batch,
            "batch_size": asked.batch_size,
        },
    )


def _plain(question: Question) -> dict[str, Any]:
    """A question as values, without what is empty."""
    values = asdict(question)
    return {
        name: value for name, value in values.items() if value or name in ("id", "video", "text")
    }
