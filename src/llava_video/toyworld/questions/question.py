"""Questions about a script: the value type, and how a drafted question becomes a fair one."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from llava_video.errors import InputError
from llava_video.records.options import LETTER_ENDING, ask_with_options, letter_of
from llava_video.records.options import LETTERS as OPTION_LETTERS

LETTERS = OPTION_LETTERS[:4]
"""Of the options of toyworld's questions, of which there are four at most."""
WORD_ENDING = "Answer in one word."


@dataclass(frozen=True, slots=True)
class Question:
    """One question and its true answer; with options, the answer is one of them.

    Attributes:
        type: question type, one of `QUESTION_TYPES` (Table 1 of the paper).
        kind: what exactly is asked, in one word; several kinds make up a type.
        question: the question itself.
        answer: the open-ended answer; also the text of the right option.
        options: four (yes or no: two) options; empty for an open-ended question.
        needs: what it takes to see the answer: "many_frames" (something short or fast),
            "fine_detail" (something small) or "any".
        about: what the question is about, in closed form, for the checker.

    Raises:
        InputError: the answer is not among the options, or an option is there twice.
    """

    type: str
    kind: str
    question: str
    answer: str
    options: tuple[str, ...] = ()
    needs: str = "any"
    about: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(set(self.options)) != len(self.options):
            raise InputError(f"{self.question!r} has the same option twice: {self.options}")
        if self.options and self.answer not in self.options:
            raise InputError(f"{self.answer!r} is not among the options {self.options}")

    @property
    def answer_letter(self) -> str:
        """Letter of the right option; "" for an open-ended question."""
        return letter_of(self.answer, self.options)

    def to_dict(self) -> dict[str, Any]:
        """Plain values under the names of the attributes."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        order = ("type", "kind", "question", "answer", "options", "answer_letter")
        return {name: getattr(self, name) for name in order} | values

    def prompt_open_ended(self, *, one_word: bool = False) -> str:
        """The question as it is put to a model without options."""
        return f"{self.question}\n{WORD_ENDING}" if one_word else self.question

    def prompt_multiple_choice(self, *, ending: str = LETTER_ENDING) -> str:
        """The question with its options, one a line, as LLaVA-Video-178K writes them."""
        return ask_with_options(self.question, self.options, ending)


@dataclass(frozen=True, slots=True)
class Draft:
    """A question before it is decided whether it has options.

    Attributes:
        likely: wrong answers that occur in the video, most wanted as options.
        others: more wrong answers.
        question_open: how it is asked without options, if that takes other words.
        open_ended: whether it can be asked without options.

    The other attributes are those of `Question`.
    """

    type: str
    kind: str
    question: str
    answer: str
    likely: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    needs: str = "any"
    about: tuple[str, ...] = ()
    question_open: str = ""
    open_ended: bool = True


def finish(drafts: list[Draft], rng: random.Random) -> list[Question]:
    """Make open-ended or multiple-choice questions of drafts, half and half, letters balanced."""
    letters: list[str] = []
    questions = []
    for draft in drafts:
        options: tuple[str, ...] = ()
        question = draft.question_open or draft.question
        if rng.random() < 0.5 or not draft.open_ended:
            question = draft.question
            letters = letters or rng.sample(LETTERS, 4)
            wrong = _distractors(draft, rng)
            place = LETTERS.index(letters.pop()) % (len(wrong) + 1)
            options = (*wrong[:place], draft.answer, *wrong[place:])
        questions.append(
            Question(
                type=draft.type,
                kind=draft.kind,
                question=question,
                answer=draft.answer,
                options=options,
                needs=draft.needs,
                about=draft.about,
            )
        )
    return questions


def _distractors(draft: Draft, rng: random.Random) -> list[str]:
    """Up to three wrong options, first from the video, in random order."""
    likely = [text for text in dict.fromkeys(draft.likely) if text != draft.answer]
    others = [t for t in dict.fromkeys(draft.others) if t not in (*likely, draft.answer)]
    rng.shuffle(likely)
    rng.shuffle(others)
    wrong = [*likely, *others][:3]
    rng.shuffle(wrong)
    return wrong
