"""A reader that sees questions and options but no video; it shows what their wording gives away."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator

import numpy as np

from llava_video.toyworld import WORD_PATTERN, Question


def _words(text: str) -> set[str]:
    return set(WORD_PATTERN.findall(text.lower()))


class OpenReader:
    """Naive Bayes over the words of a question; knows how common each answer is."""

    def __init__(self, questions: list[Question]) -> None:
        self.answers = Counter(q.answer for q in questions)
        self.words: dict[str, Counter[str]] = defaultdict(Counter)
        for question in questions:
            self.words[question.answer].update(_words(question.question))
        self.vocabulary = {word for counts in self.words.values() for word in counts}

    def answer(self, question: Question) -> str:
        words = _words(question.question) & self.vocabulary

        def score(answer: str) -> float:
            count = self.answers[answer]
            known = self.words[answer]
            return math.log(count) + sum(math.log((known[w] + 0.1) / (count + 0.2)) for w in words)

        return max(self.answers, key=score)


class OptionReader:
    """Naive Bayes over what can be noticed about an option: is it more often right or wrong?"""

    def __init__(self, questions: list[Question]) -> None:
        self.counts = {True: Counter[str](), False: Counter[str]()}
        for question in questions:
            for index, option in enumerate(question.options):
                right = option == question.answer
                self.counts[right].update(set(self._signs(question, index)))

    @staticmethod
    def _signs(question: Question, index: int) -> Iterator[str]:
        option = question.options[index]
        others = [o for i, o in enumerate(question.options) if i != index]
        words = _words(option)
        yield f"letter {index}"
        yield f"is {option}"
        yield f"kind {question.kind} is {option}"
        yield from (f"has {word}" for word in words)
        asked = _words(question.question)
        yield f"shares {len(words & asked)} with the question"
        shared = sum(len(words & _words(other)) for other in others)
        yield f"shares {shared // 2} with other options"
        longer = sum(len(option) > len(other) for other in others)
        yield f"{question.kind}: longer than {longer}"
        for word in asked:
            yield from (f"{word}: {mine}" for mine in words)
            yield f"{word}: {option}"

    def answer(self, question: Question) -> str:
        def score(index: int) -> float:
            return sum(
                math.log((self.counts[True][s] + 1) / (self.counts[False][s] + 3) * 3)
                for s in set(self._signs(question, index))
            )

        return question.options[int(np.argmax([score(i) for i in range(len(question.options))]))]


def blind_accuracy(
    train: list[Question], test: list[Question]
) -> dict[tuple[str, str], tuple[float, int, float]]:
    """By type and "open" or "choice": share answered rightly, number of questions, chance.

    Chance is that of guessing: one over the number of options; for open-ended questions, the share
    of the most frequent answer to questions of the same kind.
    """
    report = {}
    for type_ in sorted({q.type for q in test}):
        for form in ("open", "choice"):
            known = [q for q in train if q.type == type_ and bool(q.options) == (form == "choice")]
            asked = [q for q in test if q.type == type_ and bool(q.options) == (form == "choice")]
            if not known or not asked:
                continue
            reader = OptionReader(known) if form == "choice" else OpenReader(known)
            right = np.mean([reader.answer(q) == q.answer for q in asked])
            if form == "choice":
                chance = float(np.mean([1 / len(q.options) for q in asked]))
            else:
                kinds = {q.kind for q in asked}
                chance = sum(
                    max(Counter(q.answer for q in asked if q.kind == kind).values())
                    for kind in kinds
                ) / len(asked)
            report[type_, form] = (float(right), len(asked), chance)
    return report
