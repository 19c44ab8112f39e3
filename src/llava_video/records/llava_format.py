r"""The LLaVA format: one record per video or image with a conversation about it.

``{"id", "video" or "image": name or names, "conversations": [{"from": "human", "value":
"<image>\nWhat?"}, {"from": "gpt", "value": "A cat."}], "data_source"}``. Each ``<image>`` in a
human turn stands for one of the files, in order; with images beside videos, ``<video>`` stands for
a video. `rows` says which other formats are read as this one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llava_video.errors import InputError
from llava_video.records.rows import MARKER, VIDEO_MARKER, Kind, Repeated, Role, read_row

SPLITS = ("caption", "open_ended", "multi_choice")
"""Kinds of conversations in LLaVA-Video-178K, each in files of its own."""

_FOREIGN_MARKER = re.compile(
    r"<(?!\|im_(?:start|end)\|>)\|?/?\s*(?:start_of_|end_of_)?"
    r"(?:vi(?:sion|sual)?|videos?|vid|images?|imgs?|im|pictures?|frames?|audios?|speech|media)"
    r"(?:[ _-]?(?:pad|here|holder|placeholder|token|soft|start|end|patch|feature|embed|context|"
    r"newline|\d+))*\s*/?\|?>"
    r"|<(?:ref-object|bbox|region)>|\[(?:IMG|IMAGE|VIDEO|AUDIO)[ _]?\d*\]",
    re.IGNORECASE,
)
"""What stands for a file, a sound or a place in a picture in other formats (and in this one)."""


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
        role: system (first, if at all), user or assistant.
        parts: texts and media, in order; of others than users one text.
    """

    role: Role
    parts: tuple[str | Shown, ...]


def make_conversation(pairs: Iterable[tuple[str, str]]) -> list[dict[str, str]]:
    """The ``conversations`` of a record: questions and answers; the first turn shows the video."""
    turns = []
    for number, (question, answer) in enumerate(pairs):
        start = "" if number else f"{MARKER}\n"
        # A marker in the text would be taken for a second video by this reader, or by another.
        plain = _FOREIGN_MARKER.sub(lambda match: match[0].strip("<|/>[] "), question)
        turns.append({"from": "human", "value": start + plain})
        said = answer.replace(MARKER, "image").replace(VIDEO_MARKER, "video")
        turns.append({"from": "gpt", "value": said})
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


def parse_record(text: str | bytes) -> Any:
    """A value from JSON; objects with a key twice are refused by `read_turns`.

    Raises:
        ValueError: it is not JSON.
    """
    return json.loads(text, object_pairs_hook=_build)


def parse_records(text: str) -> list[Any]:
    """The records of a text that holds a JSON list of them, or one after another (JSON lines).

    Raises:
        ValueError: it is not JSON; the error knows the line.
    """
    decoder = json.JSONDecoder(object_pairs_hook=_build)
    values = []
    start = _SPACE.match(text, 0).end()  # type: ignore[union-attr]
    while start < len(text):
        value, end = decoder.raw_decode(text, start)
        values.append(value)
        start = _SPACE.match(text, end).end()  # type: ignore[union-attr]
    return values[0] if len(values) == 1 and isinstance(values[0], list) else values


_SPACE = re.compile(r"\s*")


def _build(pairs: list[tuple[str, Any]]) -> Any:
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            return Repeated(key)
        seen.add(key)
    return dict(pairs)


def read_turns(record: Any) -> tuple[Turn, ...]:
    """The conversation of a row, as the official code reads it, but without silent losses.

    A single file needs no marker; it is then shown first. In a turn with one file, the file goes
    before the text, wherever its marker is.

    Args:
        record: a row of any format that `rows` knows.

    Raises:
        InputError: it cannot be used; the message says why.
    """
    row = read_row(record)
    turns = list(row.turns)
    asked = "".join(text for role, text in turns if role == "user")
    _refuse_foreign_markers(row.system, asked)
    num_files = sum(map(len, row.names.values()))
    markers = _markers(row.names, asked)
    if num_files == 1 and not any(marker in asked for marker in markers):
        marker = next(iter(markers))
        turns[0] = ("user", f"{marker}\n{turns[0][1]}")
        asked += marker
    for marker, kind in markers.items():
        num_markers, num_named = asked.count(marker), len(row.names[kind])
        if num_markers != num_named:
            remedy = "write one for each" if num_named else f"name its files under {kind!r}"
            raise InputError(
                f"it has {num_markers} {marker} markers for {num_named} {kind}s; {remedy}"
            )
    shown = {
        marker: iter([Shown(kind, name) for name in row.names[kind]])
        for marker, kind in markers.items()
    }
    system = (Turn("system", (row.system,)),) if row.system else ()
    return system + tuple(
        Turn(role, _parts(text, shown) if role == "user" else (text,)) for role, text in turns
    )


def _refuse_foreign_markers(system: str, asked: str) -> None:
    for match in _FOREIGN_MARKER.finditer(f"{system}\n{asked}"):
        if match[0] not in (MARKER, VIDEO_MARKER):
            raise InputError(
                f"a turn of it has the marker {match[0]!r}, which is not read; write {MARKER} or "
                f"{VIDEO_MARKER}, one for each file"
            )
    if MARKER in system or VIDEO_MARKER in system:
        raise InputError("its system prompt has a marker of a file; show files in a user's turn")


def _markers(names: Mapping[Kind, Sequence[str]], asked: str) -> dict[str, Kind]:
    """The placeholder of each kind of file in the text, also of kinds that have no file."""
    if names["video"] and not names["image"] and VIDEO_MARKER not in asked:
        return {MARKER: "video"}  # as in every release
    return {MARKER: "image", VIDEO_MARKER: "video"}


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
