"""The rules of VLMEvalKit (August 2026) without a judge, which it asks where they fail."""

from __future__ import annotations

import re

from llava_video.evaluate.annotations.question import Question

_PREFIXES = (
    "The best answer is",
    "The correct answer is",
    "The answer is",
    "The answer",
    "The best option isThe correct option is",  # a comma is missing there
    "Best answer:Best option:",  # and there
    "Answer:",
    "Option:",
)
_VERBOSE = re.compile(r"(?i)(?:correct\s+)?answer\s+is\s+\**([ABCD])\**")
_REFUSALS = (
    "Sorry, I can't help with images of people yet.",
    "I can't process this file.",
    "I'm sorry, but without the image provided",
    "Cannot determine the answer",
)


def first_of_four(text: str, question: Question) -> str | None:
    """Video-MME: the first A to D anywhere, after some phrases are cut out."""
    return _first(text, "[ABCD]")


def first_of_five(text: str, question: Question) -> str | None:
    """LongVideoBench: the first A to E anywhere, after some phrases are cut out."""
    return _first(text, "[ABCDE]")


def first_word(text: str, question: Question) -> str | None:
    """MVBench: the first word, if it is part of ``(a)`` of the right option; else `infer`.

    An empty answer is part of any option, and so is right there; it is here.
    """
    word = text.lower().strip().split(" ")[0]
    right = f"({question.answer.lower()})"
    if word.replace(".", "") in right or right in word:
        return question.answer
    return infer(text, question)


def before_bracket(text: str, question: Question) -> str | None:
    """MLVU: the character before the first ``)`` or the whole answer, or what `infer` finds."""
    place = text.find(")")
    said = text[place - 1 : place] if place >= 0 else text
    if said == question.answer:
        return said
    return infer(text, question) or (said if said and said in list(question.letters) else None)


def infer(text: str, question: Question) -> str | None:
    """The only option letter among the words, near the end, else the only option text."""
    if any(refusal in text for refusal in _REFUSALS):
        return None
    words = re.sub(r"[.()\[\],:;!*#{}]", " ", text).split()
    letters = [letter for letter in question.letters if letter in words]
    if len(letters) == 1 and words.index(letters[0]) > len(words) - 5:
        return letters[0]
    if (match := _VERBOSE.search(text)) and match[1].upper() in question.letters:
        return match[1].upper()
    text = text.lower()
    if len(text) > 2 * sum(map(len, question.options)):
        return None
    named = [
        letter
        for letter, option in zip(question.letters, question.options, strict=True)
        if option.lower() in text
    ]
    return named[0] if len(named) == 1 else None


def _first(text: str, letters: str) -> str | None:
    text = text.strip()
    for prefix in _PREFIXES:
        text = text.replace(prefix, "")
    match = re.search(letters, text)
    return match[0] if match else None
