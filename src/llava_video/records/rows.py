"""Training rows as people have them: turns, files and a system prompt out of each known format.

==================  ================================================================================
LLaVA, LLaVA-Video  ``conversations`` of ``from`` and ``value``; ``video``, ``image``
Video-LLaVA         the same, with ``<video>`` markers
LLaMA-Factory       sharegpt (``conversations`` or ``messages``, either kind of tags) and alpaca
                    (``instruction``, ``input``, ``output``, ``history``); ``videos``, ``images``
ms-swift            ``messages``, ``conversation`` of ``human`` and ``assistant``, ``query`` and
                    ``response`` with ``history``; ``videos``, ``images``
transformers        ``messages`` whose content is a list of parts
==================  ================================================================================

Formats are told apart by their keys, not by a setting.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from llava_video.errors import InputError
from llava_video.records.row_keys import (
    MEDIA_KEYS,
    PAIRS,
    SYSTEM_KEYS,
    TURN_LISTS,
    refuse_foreign_keys,
    refuse_foreign_turn_keys,
)

MARKER = "<image>"
"""Placeholder of an image, or of a video, in the text of a human turn."""

VIDEO_MARKER = "<video>"
"""Placeholder of a video."""

Role = Literal["system", "user", "assistant"]
Kind = Literal["image", "video"]

_ROLES: dict[str, Role] = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "system": "system",
}

_TOOL_ROLE = re.compile(
    r"(?:tool|function)(?:_(?:calls?|response))?|observation|ipython", re.IGNORECASE
)

_FLAGS = ("loss", "weight", "train", "mask")
"""Keys with which others say that a turn is not trained on."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row of any known format.

    Attributes:
        system: the system prompt; empty for the default one.
        turns: roles and texts, in order, user first; files are markers in the text.
        names: files by what they are.
    """

    system: str
    turns: tuple[tuple[Role, str], ...]
    names: Mapping[Kind, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Repeated:
    """Replaces a JSON object with a key twice, of which Python would keep the last."""

    key: str


def refuse_repeated(value: Any) -> None:
    """Refuse an object that had a key twice.

    Raises:
        InputError: it had; the message names the key.
    """
    if isinstance(value, Repeated):
        raise InputError(f"it has the key {value.key!r} twice; which is meant?")


def read_row(record: Any) -> Row:
    """The turns, files and system prompt of a row.

    Raises:
        InputError: it is of no known format, or holds something that is not read; the message says
            what.
    """
    refuse_repeated(record)
    if not isinstance(record, dict):
        raise InputError("it is no JSON object with a list of 'conversations'")
    names: dict[Kind, list[str]] = {"image": [], "video": []}
    turns = [_read_turn(turn, names) for turn in _list_turns(record)]
    system = _text_of_system(record)
    if turns and turns[0][0] == "system":
        if system and system != turns[0][1]:
            raise InputError("it has two system prompts that differ; keep one")
        system = turns.pop(0)[1]
    if not turns or [role for role, _ in turns] != ["user", "assistant"] * (len(turns) // 2):
        raise InputError(
            "its turns do not alternate between 'human' and 'gpt' (or 'user' and 'assistant'), "
            "human first"
        )
    if not all(text.strip() for _, text in turns):
        raise InputError("a turn of it is empty")
    known: dict[Kind, tuple[str, ...]] = {}
    for kind, in_turns in names.items():
        beside = _names(record, kind)
        if in_turns and beside and in_turns != beside:
            raise InputError(f"it names other {kind}s in its turns than beside them; keep one")
        known[kind] = tuple(in_turns or beside)
    _refuse_empty(record, known)
    refuse_foreign_keys(record, [*known["image"], *known["video"]])
    return Row(system, tuple(turns), known)


def _list_turns(record: Mapping[str, Any]) -> list[Any]:
    lists = [key for key in TURN_LISTS if record.get(key)]
    pairs = [
        key
        for key, (answer, *_) in PAIRS.items()
        if record.get(key) is not None and record.get(answer) is not None
    ]
    found = [*lists, *pairs]
    if len(found) > 1:
        raise InputError(f"it has {found[0]!r} and {found[1]!r}; which is its conversation?")
    if lists:
        turns = record[lists[0]]
        if not isinstance(turns, list | tuple):
            raise InputError(f"its {lists[0]!r} is no list of turns")
        return [half for turn in turns for half in _halves(turn)]
    if not pairs:
        raise InputError(
            "it has no list of 'conversations' (nor 'messages', nor 'query' and 'response', nor "
            "'instruction' and 'output')"
        )
    answer_key, *more_keys = PAIRS[pairs[0]]
    question, answer = record[pairs[0]], record[answer_key]
    for key in more_keys:
        if record.get(key):
            question = f"{question}\n{record[key]}"
    history = record.get("history") or []
    if not isinstance(history, list | tuple) or not all(_is_pair(pair) for pair in history):
        raise InputError("its 'history' is no list of questions with their answers")
    turns = []
    for asked, said in [*history, (question, answer)]:
        turns += [{"role": "user", "content": asked}, {"role": "assistant", "content": said}]
    return turns


def _is_pair(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) == 2


def _halves(turn: Any) -> list[Any]:
    """A turn; or both turns of one that holds a question and its answer (ms-swift's sharegpt)."""
    if isinstance(turn, dict) and set(turn) == {"human", "assistant"}:
        return [{"role": role, "content": turn[role]} for role in ("human", "assistant")]
    return [turn]


def _read_turn(turn: Any, names: dict[Kind, list[str]]) -> tuple[Role, str]:
    """Role and text of a turn; files of its parts are appended to ``names``."""
    refuse_repeated(turn)
    if not isinstance(turn, dict):
        raise InputError("a turn of it has no 'value' that is text")
    said = _one_of(turn, "from", "role")
    role = _ROLES.get(str(said).lower())
    if _TOOL_ROLE.fullmatch(str(said)):
        raise InputError(f"a turn of it is from {said!r}; tool calls are not read")
    if role is None:
        raise InputError(f"a turn of it is from {said!r}; use 'human' or 'gpt'")
    refuse_foreign_turn_keys(turn)
    for key, value in turn.items():
        if key in _FLAGS and value is not None and value not in (True, 1):
            raise InputError(f"a turn of it has {key!r}; all answers of a sample are trained on")
    content = _one_of(turn, "value", "content")
    if isinstance(content, list | tuple):
        content = "".join(_text_of_part(part, role, names) for part in content)
    if not isinstance(content, str):
        raise InputError("a turn of it has no 'value' (or 'content') that is text")
    return role, content


def _one_of(turn: Mapping[str, Any], first: str, second: str) -> Any:
    if turn.get(first) is not None and turn.get(second) is not None:
        raise InputError(f"a turn of it has {first!r} and {second!r}; which is meant?")
    return turn.get(second) if turn.get(first) is None else turn[first]


def _text_of_part(part: Any, role: Role, names: dict[Kind, list[str]]) -> str:
    """A part of a turn as text, where a marker stands for a file."""
    refuse_repeated(part)
    kind = part.get("type") if isinstance(part, dict) else None
    if kind == "text" and isinstance(part.get("text"), str):
        return str(part["text"])
    if kind not in ("image", "video", "image_url", "video_url"):
        raise InputError(f"a part of a turn has type {kind!r}; use 'text', 'image' or 'video'")
    if role != "user":
        raise InputError("a turn that is not the user's shows a file")
    what: Kind = "image" if kind.startswith("image") else "video"
    values = [part[key] for key in (what, kind, "path", "url") if part.get(key) is not None]
    if values:
        value = values[0].get("url") if isinstance(values[0], dict) else values[0]
        if not isinstance(value, str):
            raise InputError(f"a part of a turn has a {what} that is no name of a file")
        names[what].append(value)
    return MARKER if what == "image" else VIDEO_MARKER


def _text_of_system(record: Mapping[str, Any]) -> str:
    values = [record[key] for key in SYSTEM_KEYS if record.get(key)]
    if not all(isinstance(value, str) for value in values) or len(set(values)) > 1:
        raise InputError("its 'system' is no text, or there are two that differ")
    return str(values[0]) if values else ""


def _names(record: Mapping[str, Any], kind: Kind) -> list[str]:
    lists = [
        [_name(value, key) for value in _as_list(record[key], key)]
        for key in MEDIA_KEYS[kind]
        if record.get(key)
    ]
    if len(lists) == 2 and lists[0] != lists[1]:
        one, other = MEDIA_KEYS[kind]
        raise InputError(f"its {one!r} and {other!r} differ; keep one")
    return lists[0] if lists else []


def _as_list(value: Any, key: str) -> Sequence[Any]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, list | tuple):
        return value
    if isinstance(value, dict) and "bytes" in value:
        return [value]
    raise InputError(f"its {key!r} is neither the name of a file nor a list of names")


def _name(value: Any, key: str) -> str:
    if isinstance(value, dict) and "bytes" in value:  # as the library datasets has files
        if value.get("bytes") is not None:
            raise InputError(f"its {key!r} holds the file itself; write it to disk and name it")
        value = value.get("path")
    if isinstance(value, list | tuple):
        raise InputError(
            f"its {key!r} holds a list in a list; put the frames of a video into a folder of its "
            "own, and name that"
        )
    if not isinstance(value, str):
        raise InputError(f"its {key!r} is neither the name of a file nor a list of names")
    if not value.strip():
        raise InputError(f"its {key!r} holds an empty name; remove the row, or name its file")
    return value


def _refuse_empty(record: Mapping[str, Any], names: Mapping[Kind, tuple[str, ...]]) -> None:
    """A row that has a key for files and no file has lost it, or is text only: nobody can know."""
    if any(names.values()):
        return
    for kind in MEDIA_KEYS:
        for key in MEDIA_KEYS[kind]:
            if key in record:
                raise InputError(
                    f"its {key!r} is empty; name the file, or remove the key where a row is text "
                    "only (in Parquet: put such rows into a file without the column)"
                )
