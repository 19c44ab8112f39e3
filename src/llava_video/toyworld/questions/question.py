"""Questions about a script: the value type, and how a drafted question becomes a fair one."""

from __future__ import annotations

import random
from dataclasses import dataclass

LETTERS = "ABCD"
LETTER_ENDING = "Please respond with only the letter of the correct answer."
OPTION_ENDING = "Please provide your answer by stating the letter followed by the full option."
WORD_ENDING = "Answer in one word."


@dataclass(frozen=True, slots=True)
class Question:
    """One question and its true answer.

    Attributes:
        type: question type, one of `QUESTION_TYPES` (Table 1 of the paper).
        kind: what exactly is asked, in one word; several kinds make up a type.
        question: the question itself.
        answer: the open-ended answer; also the text of the right option.
        options: four (yes or no: two) options; empty for an open-ended question.
        answer_letter: letter of the right option; "" for an open-ended question.
        needs: what it takes to see the answer: "many_frames" (something short or fast),
            "fine_detail" (something small) or "any".
        about: what the question is about, in closed form, for the checker.
    """

    type: str
    kind: str
    question: str
    answer: str
    options: tuple[str, ...] = ()
    answer_letter: str = ""
    needs: str = "any"
    about: tuple[str, ...] = ()

    def prompt_open_ended(self, *, one_word: bool = False) -> str:
        """The question as it is put to a model without options."""
        return f"{self.question}\n{WORD_ENDING}" if one_word else self.question

    def prompt_multiple_choice(self, *, ending: str = LETTER_ENDING) -> str:
        """The question with its options, one a line, as LLaVA-Video-178K writes them."""
        options = zip(LETTERS, self.options, strict=False)
        lines = [self.question, *(f"{letter}. {option}" for letter, option in options), ending]
        return "\n".join(lines)


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
        letter = ""
        question = draft.question_open or draft.question
        if rng.random() < 0.5 or not draft.open_ended:
            question = draft.question
            letters = letters or rng.sample(LETTERS, 4)
            wrong = _distractors(draft, rng)
            place = LETTERS.index(letters.pop()) % (len(wrong) + 1)
            options = (*wrong[:place], draft.answer, *wrong[place:])
            letter = LETTERS[place]
        questions.append(
            Question(
                type=draft.type,
                kind=draft.kind,
                question=question,
                answer=draft.answer,
                options=options,
                answer_letter=letter,
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
