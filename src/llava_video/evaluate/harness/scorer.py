"""The scorer: an answer's verdict as a score of inspect_ai."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from inspect_ai.model import ChatMessage, ChatMessageSystem, ChatMessageUser, get_model
from inspect_ai.scorer import Score, Scorer, Target, mean, scorer, stderr
from inspect_ai.solver import TaskState

from llava_video.calls.annotator import AttemptError
from llava_video.evaluate.annotations.question import Question
from llava_video.evaluate.extraction import OWN, find_extractor
from llava_video.evaluate.harness.judge import MAX_NEW_TOKENS, ask_judge
from llava_video.evaluate.harness.judge_provider import ATTEMPT, JudgeAPI
from llava_video.evaluate.harness.solvers import FAILURE, FAILURE_KIND
from llava_video.evaluate.scoring.verdicts import (
    Verdict,
    judge_choice,
    judge_similar_words,
    judge_words,
)
from llava_video.evaluate.scoring.wordnet import WordNet
from llava_video.evaluate.tasks import find_benchmark

OTHERS = "others"
"""Key of a score's metadata: the answer by other metrics."""

CLUSTER = "video"
"""Key of a sample's metadata: questions about one video are not independent."""


@scorer(metrics=[mean(), stderr(cluster=CLUSTER)])
def answer_scorer(task: str, extraction: str = OWN, wordnet: str | None = None) -> Scorer:
    """Score answers as the benchmark does; those without a verdict count as unscored.

    Args:
        task: name of the benchmark.
        extraction: name of an extractor.
        wordnet: folder of WordNet's files, for tasks that are scored with it.
    """
    benchmark = find_benchmark(task)
    extract = find_extractor(extraction, dict(benchmark.compatible), task)
    is_by_words = benchmark.open_metric == "wups"
    words = WordNet(Path(wordnet) if wordnet else None) if is_by_words else None

    async def score(state: TaskState, target: Target) -> Score:
        failure = state.metadata.get(FAILURE, "")
        question = question_of(state.metadata["question"])
        text = state.output.completion
        if failure:
            verdict = Verdict(None, None, failure)
        elif question.options:
            verdict = judge_choice(text, question, extract)
        elif benchmark.open_metric == "match":
            verdict = judge_words(text, question)
        elif words is not None:
            verdict = judge_similar_words(text, question, words)
        else:
            verdict = await _ask_role(benchmark.open_metric, question, text)
        kind = state.metadata.get(FAILURE_KIND, "judge" if verdict.failure else "")
        return Score(
            value=math.nan if verdict.value is None else verdict.value,
            answer=verdict.said,
            explanation=text,
            metadata={FAILURE: verdict.failure, FAILURE_KIND: kind, OTHERS: dict(verdict.others)},
        )

    return score


async def _ask_role(kind: Any, question: Question, text: str) -> Verdict:
    judge = get_model(role="judge", required=True)

    async def ask(system: str, prompt: str, attempt: int) -> str:
        more: dict[str, Any] = (
            {"extra_body": {ATTEMPT: attempt}} if isinstance(judge.api, JudgeAPI) else {}
        )
        messages: list[ChatMessage] = [
            ChatMessageSystem(content=system),
            ChatMessageUser(content=prompt),
        ]
        config = judge.config.model_copy(
            update={"max_tokens": MAX_NEW_TOKENS, "temperature": 0.0, **more}
        )
        return (await judge.generate(messages, config=config)).completion

    try:
        return await ask_judge(kind, question, text, ask)
    except AttemptError as error:
        return Verdict(None, text, str(error))


def question_of(values: dict[str, Any]) -> Question:
    """A question from the metadata of its sample."""
    listed = {name: tuple(values.get(name, ())) for name in ("options", "before", "also")}
    return Question(**{**values, **listed})
