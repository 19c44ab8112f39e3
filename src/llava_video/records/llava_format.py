r"""The LLaVA format: one record per video or image with a conversation about it.

``{"id", "video" or "image": name or names, "conversations": [{"from": "human", "value":
"<image>\nWhat?"}, {"from": "gpt", "value": "A cat."}], "data_source"}``. Each ``<image>`` in a
human turn stands for one of the files, in order; with images beside videos, ``<video>`` stands for
a video.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from llava_video.errors import InputError

MARKER = "<image>"
"""Placeholder of an image, or of a video, in the text of a human turn."""

VIDEO_MARKER = "<video>"
"""Placeholder of a video in a record that has images, too."""

SPLITS = ("caption", "open_ended", "multi_choice")
"""Kinds of conversations in LLaVA-Video-178K, each in files of its own."""

Role = Literal["user", "assistant"]
Kind = Literal["image", "video"]

_ROLES: dict[str, Role] = {"human": "user", "gpt": "assistant"}


@dataclass(frozen=True, slots=True)
class Shown:
    """An image or a video in a turn.

    Attributes:
        kind: image or video.
        name: its file as the record names it.
    """

    kind: Kind
    name: str


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of a conversation.

    Attributes:
        role: user or assistant.
        parts: texts and media, in order; of an assistant one text.
    """

    role: Role
    parts: tuple[str | Shown, ...]


def make_conversation(pairs: Iterable[tuple[str, str]]) -> list[dict[str, str]]:
    """The ``conversations`` of a record: questions and answers; the first turn shows the video."""
    turns = []
    for number, (question, answer) in enumerate(pairs):
        start = "" if number else f"{MARKER}\n"
        # A literal <image> in the text would be taken for a second video by every LLaVA trainer.
        turns.append({"from": "human", "value": start + question.replace(MARKER, "image")})
        turns.append({"from": "gpt", "value": answer.replace(MARKER, "image")})
    return turns


def make_record(
    name: str, pairs: Iterable[tuple[str, str]], *, data_source: str, video: str
) -> dict[str, Any]:
    """The record of one video.

    Args:
        name: its id.
        pairs: questions with their answers, in order.
        data_source: the folder of the release, such as ``0_30_s_academic_v0_1``.
        video: its path below the folder of all videos.
    """
    return {
        "id": name,
        "conversations": make_conversation(pairs),
        "data_source": data_source,
        "video": video,
    }


@dataclass(frozen=True, slots=True)
class _Repeated:
    """Replaces a JSON object with a key twice, of which Python would keep the last."""

    key: str


def parse_record(text: str | bytes) -> Any:
    """A value from JSON; objects with a key twice are refused by `read_turns`.

    Raises:
        ValueError: it is not JSON.
    """

    def build(pairs: list[tuple[str, Any]]) -> Any:
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                return _Repeated(key)
            seen.add(key)
        return dict(pairs)

    return json.loads(text, object_pairs_hook=build)


def read_turns(record: Any) -> tuple[Turn, ...]:
    """The conversation of a record, as the official code reads it, but without silent losses.

    A single file needs no marker; it is then shown first. In a turn with one file, the file goes
    before the text, wherever its marker is.

    Raises:
        InputError: it cannot be used; the message says why.
    """
    _refuse_repeated(record)
    if not isinstance(record, dict) or not isinstance(record.get("conversations"), list):
        raise InputError("it has no list of 'conversations'")
    names = {kind: _names(record, kind) for kind in ("image", "video")}
    turns = [_read_turn(turn) for turn in record["conversations"]]
    expected = ["user", "assistant"] * (len(turns) // 2)
    if not turns or [role for role, _ in turns] != expected:
        raise InputError("its turns do not alternate between 'human' and 'gpt', human first")
    asked = "".join(text for role, text in turns if role == "user")
    if len(names["image"]) + len(names["video"]) == 1 and MARKER not in asked:
        turns[0] = ("user", f"{MARKER}\n{turns[0][1]}")
        asked += MARKER
    markers = _markers(names)
    for marker, kind in markers.items():
        if asked.count(marker) != len(names[kind]):
            raise InputError(
                f"it has {asked.count(marker)} {marker} markers for {len(names[kind])} {kind}s; "
                "write one for each"
            )
    shown = {
        marker: iter([Shown(kind, name) for name in names[kind]])
        for marker, kind in markers.items()
    }
    return tuple(
        Turn(role, _parts(text, shown) if role == "user" else (text,)) for role, text in turns
    )


def _refuse_repeated(value: Any) -> None:
    if isinstance(value, _Repeated):
        raise InputError(f"it has the key {value.key!r} twice; which is meant?")


def _names(record: dict[str, Any], kind: str) -> list[str]:
    names = record.get(kind) or []
    names = [names] if isinstance(names, str) else names
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InputError(f"its {kind!r} is neither the name of a file nor a list of names")
    return names


def _markers(names: dict[str, list[str]]) -> dict[str, Kind]:
    """The placeholder of each kind of file in the text."""
    if names["image"] and names["video"]:
        return {MARKER: "image", VIDEO_MARKER: "video"}
    return {MARKER: "video" if names["video"] else "image"}


def _read_turn(turn: Any) -> tuple[Role, str]:
    _refuse_repeated(turn)
    if not isinstance(turn, dict) or not isinstance(turn.get("value"), str):
        raise InputError("a turn of it has no 'value' that is text")
    role = _ROLES.get(str(turn.get("from")))
    if role is None:
        raise InputError(f"a turn of it is from {turn.get('from')!r}; use 'human' or 'gpt'")
    if not turn["value"].strip():
        raise InputError("a turn of it is empty")
    return role, turn["value"]


def _parts(text: str, shown: dict[str, Iterator[Shown]]) -> tuple[str | Shown, ...]:
    pieces = re.split(f"({'|'.join(shown)})", text)
    if len(pieces) == 1:
        return (text,)
    if len(pieces) == 3:
        pieces = [pieces[1], (pieces[0] + pieces[2]).strip()]
    return tuple(
        next(shown[piece]) if piece in shown else piece.strip("\n")
        for piece in pieces
        if piece.strip()
    )
