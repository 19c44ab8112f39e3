"""From an answer to its value: deterministic, and with a reason where there is none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from llava_video.evaluate.annotations.question import Question
from llava_video.evaluate.extraction import Extractor
from llava_video.evaluate.scoring.wordnet import WordNet
from llava_video.evaluate.scoring.wups import THRESHOLD, content_words, wups


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an answer is worth.

    Attributes:
        value: 0 to 1 (a judge's score: 0 to 5); None where it cannot be scored.
        said: the letter or the words that were extracted; None where the answer chooses nothing.
        failure: why there is no value.
        others: the answer by other metrics, by name.
    """

    value: float | None
    said: str | None = None
    failure: str = ""
    others: Mapping[str, float] = field(default_factory=dict)


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


COUNTED = ("DC", "DB")
"""NExT-QA's questions for a number, and for yes or no: similar words are wrong there."""


def judge_similar_words(text: str, question: Question, wordnet: WordNet) -> Verdict:
    """WUPS at 0, and beside it at 0.9; the best of several reference answers counts."""
    said = content_words(text, wordnet)
    right = [content_words(answer, wordnet) for answer in (question.answer, *question.also)]
    if question.type in COUNTED:
        value = strict = float(said in right)
    else:
        value = max(wups(said, words, wordnet) for words in right)
        strict = max(wups(said, words, wordnet, THRESHOLD) for words in right)
    return Verdict(value, " ".join(said) or None, others={f"WUPS at {THRESHOLD:g}": strict})
