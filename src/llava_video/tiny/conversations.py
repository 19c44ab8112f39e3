"""Conversations about toyworld clips, and lists that train the look-up of option letters."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from llava_video.records.options import LETTER_ENDING, answer_by_letter, lettered
from llava_video.tiny.tokenizer import END, START
from llava_video.toyworld import (
    COLOURS,
    DIRECTIONS,
    SHAPES,
    Question,
    Script,
    describe,
    make_questions,
)
from llava_video.toyworld.questions.question import LETTERS
from llava_video.toyworld.words import PERSON, PHRASES

_WORDS = (*COLOURS, *SHAPES, *DIRECTIONS, *"01234", "yes", "no")
_NAMES = tuple(f"the {colour} {shape}" for colour in COLOURS for shape in (*SHAPES, PERSON))
_CLAUSES = tuple(
    f"the {colour} {shape} {one.format(value=way)}"
    for colour in COLOURS
    for shape in SHAPES
    for verb, (one, _) in PHRASES.items()
    if verb not in ("take", "drop", "hit")
    for way in ("left", "up-right")
)
_LISTED = (_WORDS, _NAMES, _CLAUSES)

MOST_CHOICES = 5
MOST_OPEN_ENDED = 4
"""Questions per clip, with options and without."""

WORD_AND_LETTER_ENDING = "Answer in one word, with the letter."
WORD_AND_LETTER_SHARE = 0.4
"""Share of multiple-choice questions whose answer names the option before its letter: they link an
answer that the model can already give to its letter."""

LETTER_ENDINGS = (
    LETTER_ENDING,
    LETTER_ENDING,
    "Answer with the option's letter from the given choices directly.",
    "Answer with the option's letter from the given choices directly.",
    "Answer with the letter.",
    "Please answer with the option letter only.",
    "Respond with only the letter (A, B, C, or D) of the correct option.",
    "Select the best answer. Only give the letter.",
)
"""How benchmarks and people ask for a letter: a model that knows one wording answers the others
with the option. The first two occur more often."""

_QUESTION_ROUNDS = 6
_QUERIES_PER_LIST = 8
_ANSWERS = f"{END}\n{START}assistant\n"

DESCRIBE_PROMPTS = ("Describe the video.", "What happens in the video?")

DESCRIBE_WORDINGS = (
    *DESCRIBE_PROMPTS,
    "Please describe this video.",
    "Describe this video.",
    "Please describe the video in detail.",
    "Describe what you see.",
    "What do you see?",
    "What happens here?",
    "What is going on?",
    "What is happening in the video?",
    "Tell me about the video.",
    "Summarize the video.",
)
"""How people ask for a description; the tokenizer was trained on the first two."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """A question and its target answer."""

    question: str
    answer: str

    @property
    def has_options(self) -> bool:
        """Whether the question is multiple choice."""
        return f"\n{LETTERS[0]}. " in self.question


def exchanges(script: Script, seed: int, most: int) -> list[Exchange]:
    """A description and up to ``most - 1`` questions about a clip, open-ended ones first."""
    rng = random.Random(seed)
    questions = make_questions(script, seed=seed)
    rng.shuffle(questions)
    questions.sort(key=lambda question: bool(question.options))
    found = [as_exchange(question, rng) for question in questions]
    text = describe(script, 0.0, script.duration_seconds, seed=seed)
    return [Exchange(rng.choice(DESCRIBE_PROMPTS), text), *found[: most - 1]]


def description(script: Script, seed: int) -> Exchange:
    """A description, asked for in one of many wordings."""
    answer = exchanges(script, seed, most=1)[0].answer
    return Exchange(random.Random(seed).choice(DESCRIBE_WORDINGS), answer)


def as_exchange(question: Question, rng: random.Random) -> Exchange:
    """A question as a prompt with its target answer."""
    if question.options:
        return Exchange(question.prompt_multiple_choice(), answer_by_letter(question.answer_letter))
    return Exchange(question.prompt_open_ended(one_word=rng.random() < 0.5), question.answer)


def conversations_about(
    script: Script, seed: int, with_options: bool = True
) -> list[list[Exchange]]:
    """Multiple-choice questions, open-ended ones, and a conversation of two turns.

    One question of each kind comes before a second of any, so that rare kinds appear as often as
    the clip allows. Half of the open-ended questions ask for one word. Without options, open-ended
    questions take their place. The two turns may be of either form: a model trained only on
    open-ended follow-ups answers with a letter whenever the previous answer was one.
    """
    rng = random.Random(seed)
    choices: dict[str, Question] = {}
    open_ended: dict[str, Question] = {}
    for number in range(_QUESTION_ROUNDS):
        for question in make_questions(script, seed=_QUESTION_ROUNDS * seed + number):
            (choices if question.options else open_ended).setdefault(question.question, question)
    most_choices = MOST_CHOICES if with_options else 0
    choosing = []
    for question in _alternate_kinds(choices.values(), rng)[:most_choices]:
        asked = question.prompt_multiple_choice(ending=rng.choice(LETTER_ENDINGS))
        choosing.append(Exchange(asked, answer_by_letter(question.answer_letter)))
        if rng.random() < WORD_AND_LETTER_SHARE:
            asked = question.prompt_multiple_choice(ending=WORD_AND_LETTER_ENDING)
            choosing[-1] = Exchange(asked, f"{question.answer} {question.answer_letter}.")
    openly = [as_exchange(question, rng) for question in _alternate_kinds(open_ended.values(), rng)]
    most_open_ended = MOST_CHOICES + MOST_OPEN_ENDED - most_choices
    found = [[one] for one in (*choosing, *openly[:most_open_ended])]
    if len(choosing) + len(openly) > 1:
        found.append(rng.sample([*choosing, *openly], 2))
    return found


def _alternate_kinds(questions: Iterable[Question], rng: random.Random) -> list[Question]:
    """Shuffle questions; the first of each kind comes before the second of any."""
    shuffled = list(questions)
    rng.shuffle(shuffled)
    before: Counter[str] = Counter()
    turns = []
    for question in shuffled:
        turns.append(before[question.kind])
        before[question.kind] += 1
    order = sorted(range(len(shuffled)), key=turns.__getitem__)
    return [shuffled[index] for index in order]


def lettered_lists(rng: random.Random, num_lists: int) -> list[str]:
    """Lists of lettered options, each followed by lines that repeat an option with its letter.

    The letter can only be copied from the list, the skill that multiple choice needs. Every second
    list is easy: single words, repeated as they stand in the list; the skill emerges there first.
    An answer begins without a space and so has other tokens than its option: this mapping has to
    be trained, too.
    """
    texts = []
    for number in range(num_lists):
        is_easy = number % 2 == 0
        options = _WORDS if is_easy else rng.choice(_LISTED)
        lines = list(zip(LETTERS, rng.sample(options, 4), strict=False))
        text = "\n".join(lettered([option for _, option in lines]))
        num_queries = _QUERIES_PER_LIST if options is _WORDS else _QUERIES_PER_LIST // 2
        for letter, option in rng.choices(lines, k=num_queries):
            again, answer = f"\n {option} {letter}", f"{_ANSWERS}{option} {letter}."
            forms = (again,) if is_easy else (again, answer, f"\n{letter}. {option}")
            text += rng.choice(forms)
        texts.append(text)
    return texts
