"""From an answer to its value: deterministic, and with a reason where there is none."""

from __future__ import annotations

from dataclasses import dataclass

from llava_video.evaluate.annotations.question import Question
from llava_video.evaluate.extraction import Extractor


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an answer is worth.

    Attributes:
        value: 0 to 1 (a judge's score: 0 to 5); None where it cannot be scored.
        said: the letter or the words that were extracted; None where the answer chooses nothing.
        failure: why there is no value.
    """

    value: float | None
    said: str | None = None
    failure: str = ""


def judge_choice(text: str, question: Question, extract: Extractor) -> Verdict:
    """Whether an answer chooses the right option; one that chooses none is wrong."""
    said = extract(text, question)
    value = float(said == question.answer) if question.answer else None
    return Verdict(value, said)


def judge_words(text: str, question: Question) -> Verdict:
    """Whether an answer is the reference answer, apart from case and a full stop."""
    said = normal_words(text)
    return Verdict(float(said == normal_words(question.answer)), said or None)


def normal_words(text: str) -> str:
    """A short answer without what does not matter."""
    return " ".join(text.strip().rstrip(".").casefold().split())
