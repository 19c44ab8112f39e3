"""What a benchmark is: where its rows are from, how it asks, how it scores."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from llava_video.errors import InputError
from llava_video.evaluate.annotations.question import Question
from llava_video.evaluate.annotations.rows import Annotations, Form, Row, parse_rows, read_rows
from llava_video.evaluate.extraction import Extractor
from llava_video.records.options import LETTERS

LETTER = "Answer with the option's letter from the given choices directly."
"""How lmms-eval ends most multiple-choice prompts."""

Prompt = Callable[[Question], str]
"""The text of a question, beside its video."""

OpenMetric = Literal["match", "wups", "yes_no_judge", "score_judge", "caption_judge"]
"""How answers without options are scored: the same words; similar words; a judge's yes or no; a
judge's score, 0 to 5; a judge who answers a question from a caption."""

JUDGED = ("yes_no_judge", "score_judge", "caption_judge")
"""Metrics that need a judge."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A published score.

    Attributes:
        model: whose.
        score: in the unit in which the benchmark is reported.
        source: who published it, and with which harness as far as it is known.
    """

    model: str
    score: float
    source: str


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A benchmark.

    Attributes:
        name: on the command line.
        title: in reports.
        forms: of its rows; each row is read by the first that fits.
        prompts: by preset; the first is the default.
        max_new_tokens: of an answer, as lmms-eval has it.
        compatible: extractors of other harnesses, by name.
        read: from a file or folder to rows, where that is more than `read_rows`.
        open_metric: for questions without options.
        mean_over_types: whether its headline is the mean over its types, not over its questions.
        is_answer_public: whether rows without an answer are an error.
        num_questions: of the whole set; None where there are several sets.
        references: published scores.
        make: from a folder, a number of videos and a level to its questions, which are made there;
            None for a benchmark that comes as files.
    """

    name: str
    title: str
    forms: Sequence[Form]
    prompts: Mapping[str, Prompt]
    max_new_tokens: int = 16
    compatible: Mapping[str, Extractor] = field(default_factory=dict)
    read: Callable[[Path], Iterable[Row]] = read_rows
    open_metric: OpenMetric = "match"
    mean_over_types: bool = False
    is_answer_public: bool = True
    num_questions: int | None = None
    references: Sequence[Reference] = ()
    make: Callable[[Path, int, str], Path] | None = None

    @property
    def largest_value(self) -> float:
        """What the best answer counts."""
        return 5.0 if self.open_metric == "score_judge" else 1.0

    def load(self, path: Path) -> Annotations:
        """The questions of an annotation file, or of a folder of them.

        Raises:
            InputError: it holds no rows of this benchmark.
        """
        found = parse_rows(self.read(path), self.forms, self.title)
        if not self.is_answer_public:
            return found
        unanswered = [question for question in found.questions if not question.answer]
        problems = [f"{path}: question {q.id} has no answer" for q in unanswered]
        answered = tuple(question for question in found.questions if question.answer)
        return Annotations(answered, (*found.problems, *problems))

    def prompt(self, preset: str | None) -> tuple[str, Prompt]:
        """A preset by name, or the default one.

        Raises:
            InputError: the benchmark has none of this name.
        """
        name = preset or next(iter(self.prompts))
        if name not in self.prompts:
            raise InputError(
                f"{self.name} has no prompts {name!r}; it has {', '.join(self.prompts)}"
            )
        return name, self.prompts[name]


def dotted(ending: str) -> Prompt:
    """Question, ``A. option`` lines, and an ending on a line of its own, or none."""
    return lambda question: question.with_options(ending)


_MARK = re.compile(r"^\s*\(?([A-Z])[.):]\)?\s*(.*)$")


def without_letter(option: str) -> str:
    """An option without the letter before it: ``cat`` for ``A. cat`` and ``(A) cat``."""
    match = _MARK.match(option)
    return match[2].strip() if match else option.strip()


def split_options(text: str) -> tuple[str, tuple[str, ...]]:
    """A question and its options, which are the last lines and begin with A, B, C ... in order."""
    lines = text.split("\n")
    for start in range(len(lines)):
        marks = [_MARK.match(line) for line in lines[start:] if line.strip()]
        letters = [match[1] if match else "" for match in marks]
        if len(letters) > 1 and letters == list(LETTERS[: len(letters)]):
            options = tuple(match[2].strip() for match in marks if match)
            return "\n".join(lines[:start]).strip(), options
    return text.strip(), ()
