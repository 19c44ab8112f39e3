"""The extractors by name."""

from __future__ import annotations

from collections.abc import Callable

from llava_video.errors import InputError
from llava_video.evaluate.annotations.question import Question
from llava_video.recipes import nearest
from llava_video.records.options import chosen_letter

Extractor = Callable[[str, Question], str | None]
"""The letter that a text chooses among a question's options, or None."""

OWN = "llava-video"
EXTRACTORS = (OWN, "lmms-eval", "vlmevalkit")


def extract_own(text: str, question: Question) -> str | None:
    """This project's extractor."""
    return chosen_letter(text, question.options)


def find_extractor(name: str, compatible: dict[str, Extractor], task: str) -> Extractor:
    """An extractor by name.

    Args:
        name: one of `EXTRACTORS`.
        compatible: the rules that other harnesses have for this task, and this project's own
            where the task has some.
        task: for messages.

    Raises:
        InputError: there is none of this name for the task.
    """
    if name == OWN:
        return compatible.get(OWN, extract_own)
    if name not in EXTRACTORS:
        raise InputError(f"there is no extractor {name!r}{nearest(name, EXTRACTORS)}")
    if name not in compatible:
        raise InputError(f"{name} has no {task}; use --extraction {OWN}")
    return compatible[name]
