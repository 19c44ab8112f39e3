"""A benchmark's questions as a task of inspect_ai."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from inspect_ai import Task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import ChatMessage, ChatMessageAssistant, ChatMessageUser, GenerateConfig

from llava_video.evaluate.annotations.question import Question
from llava_video.evaluate.asked import Asked
from llava_video.evaluate.extraction import OWN
from llava_video.evaluate.harness.kept_answers import KeptAnswers
from llava_video.evaluate.harness.scorer import answer_scorer
from llava_video.evaluate.harness.solvers import always, answer_once
from llava_video.evaluate.tasks.benchmark import Benchmark


def build_task(
    benchmark: Benchmark,
    asked: Sequence[Asked],
    *,
    extraction: str = OWN,
    kept: KeptAnswers | None = None,
    always_answer: str | None = None,
    num_pictures: int | None = None,
    settings: str = "",
    wordnet: str | None = None,
) -> Task:
    """A task of inspect_ai.

    Args:
        benchmark: whose questions they are.
        asked: the questions as they are put.
        extraction: name of an extractor.
        kept: where answers are kept.
        always_answer: the answer to every question, instead of a model's.
        num_pictures: send so many frames as pictures, to models that take no video.
        settings: what else answers depend on.
        wordnet: folder of WordNet's files, for tasks that are scored with it.
    """
    solver = (
        answer_once(kept, settings, num_pictures)
        if always_answer is None
        else always(always_answer)
    )
    return Task(
        name=benchmark.name,
        dataset=MemoryDataset([_sample(each) for each in asked], name=benchmark.name),
        solver=solver,
        scorer=answer_scorer(benchmark.name, extraction, wordnet),
        config=GenerateConfig(temperature=0.0, max_tokens=benchmark.max_new_tokens),
        metadata={"title": benchmark.title},
    )


def _sample(asked: Asked) -> Sample:
    """A sample of text; the video is a path among its metadata.

    inspect_ai reads every file of a sample's input into memory as base64 when the sample starts.
    """
    messages: list[ChatMessage] = [ChatMessageUser(content=asked.prompt)]
    if asked.question.before:
        before, answer = asked.question.before
        messages = [
            ChatMessageUser(content=before),
            ChatMessageAssistant(content=answer),
            *messages,
        ]
    return Sample(
        id=asked.question.id,
        input=messages,
        target=asked.question.answer,
        metadata={
            "video": asked.question.video,
            "question": _plain(asked.question),
            "file": str(asked.video.absolute()) if asked.video is not None else "",
            "video_digest": asked.video_digest,
            "missing": asked.missing,
            "part": list(asked.part),
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
