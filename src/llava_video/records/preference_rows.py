"""Preferences as people have them: a question and two answers out of each known format.

=======================  ==========================================================================
LLaVA-NeXT, LLaVA-Hound  ``prompt``, ``chosen`` and ``rejected``, texts
LLaMA-Factory            ``conversations`` or ``messages`` up to the question (or ``instruction``
                         and ``input``), ``chosen`` and ``rejected``, turns or texts
ms-swift                 ``messages`` with the chosen answer, ``rejected_response``
TRL                      ``prompt``, ``chosen`` and ``rejected``, lists of turns
=======================  ==========================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llava_video.errors import InputError
from llava_video.records.row_keys import TURN_LISTS
from llava_video.records.rows import refuse_repeated

_OWN_KEYS = frozenset(("prompt", "chosen", "rejected", "rejected_response", "answer"))
"""Keys that are read, and ``answer``, which the official code has and does not use."""


def split_preference(record: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """A preference as two rows that `rows` reads: with the chosen answer, and with the other.

    Raises:
        InputError: it is no preference; the message says what it lacks.
    """
    refuse_repeated(record)
    answer_keys = ("chosen", "rejected", "rejected_response")
    if not isinstance(record, Mapping) or not any(key in record for key in answer_keys):
        raise InputError("it has no 'prompt', 'chosen' and 'rejected'")
    turns = _question(record)
    chosen, rejected = record.get("chosen"), record.get("rejected")
    other_key = "rejected"
    if chosen is None and record.get("rejected_response") is not None and len(turns) > 1:
        *turns, chosen = turns
        other_key, rejected = "rejected_response", record["rejected_response"]
    answers = [_text(chosen, "chosen"), _text(rejected, other_key)]
    if answers[0].strip() == answers[1].strip():
        raise InputError("both of its answers are the same")
    own = {*_OWN_KEYS, *TURN_LISTS}
    if not any(record.get(key) for key in ("prompt", *TURN_LISTS)):
        own |= {"instruction", "input"}
    rest = {key: value for key, value in record.items() if key not in own}
    first, second = (
        {**rest, "conversations": [*turns, {"from": "gpt", "value": answer}]} for answer in answers
    )
    return first, second


def _question(record: Mapping[str, Any]) -> list[Any]:
    lists = [key for key in ("prompt", *TURN_LISTS) if record.get(key)]
    if len(lists) > 1:
        raise InputError(f"it has {lists[0]!r} and {lists[1]!r}; which is its question?")
    question = record[lists[0]] if lists else None
    if isinstance(question, list | tuple):
        return list(question)
    if not lists and isinstance(record.get("instruction"), str):
        question = "\n".join(text for text in (record["instruction"], record.get("input")) if text)
    if not isinstance(question, str) or not question.strip():
        raise InputError("it has no 'prompt' that is text")
    return [{"from": "human", "value": question}]


def _text(answer: Any, key: str) -> str:
    """The text of an answer: itself, or that of a turn, or of a list of one turn."""
    if isinstance(answer, list | tuple) and len(answer) == 1:
        answer = answer[0]
    if isinstance(answer, Mapping):
        value = answer.get("value")
        answer = answer.get("content") if value is None else value
    if not isinstance(answer, str) or not answer.strip():
        raise InputError(f"it has no {key!r} that is text")
    return answer
