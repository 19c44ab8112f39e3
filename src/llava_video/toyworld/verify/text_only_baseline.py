"""A reader that sees questions and options but no video; it shows what their wording gives away.

Good questions keep it near chance. It is a naive Bayes reader in two forms: for open-ended
questions it learns which words go with which answer, for multiple choice what right options are
like.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from llava_video.toyworld.questions.question import Question
from llava_video.toyworld.words import WORD_PATTERN


@dataclass(frozen=True, slots=True)
class BlindResult:
    """How a blind reader did on the questions of one type.

    Attributes:
        accuracy: share it answered rightly.
        num_questions: how many it was asked.
        chance: share that guessing gets: one over the number of options; for open-ended questions,
            the share of the most frequent answer to questions of the same kind.
    """

    accuracy: float
    num_questions: int
    chance: float


class OpenReader:
    """Knows how common each answer is, and which words of a question go with it."""

    def __init__(self, questions: Sequence[Question]) -> None:
        self._answers = Counter(question.answer for question in questions)
        self._words: dict[str, Counter[str]] = defaultdict(Counter)
        for question in questions:
            self._words[question.answer].update(_words(question.question))
        self._known = {word for counts in self._words.values() for word in counts}

    def answer(self, question: Question) -> str:
        """The most probable answer by the words of the question."""
        words = _words(question.question) & self._known

        def score(answer: str) -> float:
            count, seen = self._answers[answer], self._words[answer]
            return math.log(count) + sum(
                math.log((seen[word] + 0.1) / (count + 0.2)) for word in words
            )

        return max(self._answers, key=score)


class OptionReader:
    """Knows what can be noticed about right and about wrong options."""

    def __init__(self, questions: Sequence[Question]) -> None:
        self._right, self._wrong = Counter[str](), Counter[str]()
        for question in questions:
            for index, option in enumerate(question.options):
                signs = self._right if option == question.answer else self._wrong
                signs.update(set(_signs(question, index)))

    def answer(self, question: Question) -> str:
        """The option that looks most like a right one."""

        def score(option: str) -> float:
            return sum(
                math.log((self._right[sign] + 1) / (self._wrong[sign] / 3 + 1))
                for sign in set(_signs(question, question.options.index(option)))
            )

        return max(question.options, key=score)


def blind_accuracy(
    train: Sequence[Question], test: Sequence[Question]
) -> dict[tuple[str, str], BlindResult]:
    """What reading alone achieves, by question type and form, "open" or "choice".

    Args:
        train: questions to learn from.
        test: questions to answer, about other videos.
    """
    results = {}
    for type_ in sorted({question.type for question in test}):
        for form in ("open", "choice"):
            known = [q for q in train if q.type == type_ and _form(q) == form]
            asked = [q for q in test if q.type == type_ and _form(q) == form]
            if known and asked:
                reader = OptionReader(known) if form == "choice" else OpenReader(known)
                num_right = sum(reader.answer(question) == question.answer for question in asked)
                results[type_, form] = BlindResult(
                    num_right / len(asked), len(asked), _chance(asked, form)
                )
    return results


def _chance(questions: Sequence[Question], form: str) -> float:
    if form == "choice":
        return sum(1 / len(question.options) for question in questions) / len(questions)
    answers: dict[str, Counter[str]] = defaultdict(Counter)
    for question in questions:
        answers[question.kind][question.answer] += 1
    return sum(max(counts.values()) for counts in answers.values()) / len(questions)


def _form(question: Question) -> str:
    return "choice" if question.options else "open"


def _words(text: str) -> set[str]:
    return set(WORD_PATTERN.findall(text.lower()))


def _signs(question: Question, index: int) -> Iterator[str]:
    """All that can be noticed about an option, as words."""
    option = question.options[index]
    others = [other for place, other in enumerate(question.options) if place != index]
    words, asked = _words(option), _words(question.question)
    yield f"letter {index}"
    yield f"is {option}"
    yield f"{question.kind} is {option}"
    yield from (f"has {word}" for word in words)
    yield f"shares {len(words & asked)} with the question"
    yield f"shares {sum(len(words & _words(other)) for other in others) // 2} with other options"
    yield f"{question.kind} longer than {sum(len(option) > len(other) for other in others)}"
    for word in asked:
        yield f"after {word} is {option}"
        yield from (f"after {word} has {mine}" for mine in words)
