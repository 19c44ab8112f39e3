"""Which keys of a training row are read, which may be ignored, and which make it unusable.

A key that is not read may be a note (a source, a duration), or it may hold what the row is about: a
file under another name, the span of a clip, an answer that is not wanted. Notes are counted; a row
with anything else cannot be used, because it would be trained on less than it says.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from difflib import get_close_matches
from pathlib import PurePosixPath
from typing import Any

from llava_video.errors import InputError

MEDIA_KEYS = {"video": ("video", "videos"), "image": ("image", "images")}
"""Keys of files, by what they are."""

TURN_LISTS = ("conversations", "messages", "conversation")
"""Keys of lists of turns; one row has one of them."""

SYSTEM_KEYS = ("system", "system_prompt")

QUIET_KEYS = frozenset(("id", "data_source", "__key__", "__url__"))
"""Notes that official releases and WebDataset have, which are not worth a word."""

_NAMES = frozenset((*MEDIA_KEYS["video"], *MEDIA_KEYS["image"], *TURN_LISTS, *SYSTEM_KEYS))

PAIRS = {"query": ("response",), "instruction": ("output", "input")}
"""Keys of a question, with those of its answer and of more to the question, in rows of one turn."""

_TURN = re.compile(r"from|value|role|content|id|human|assistant|loss|weight|train|mask")

_THOUGHTS = ("reasoning_content", "reasoning", "thinking", "thought", "thoughts")

_PREFERENCE_KEYS = ("chosen", "rejected", "rejected_response", "rejected_messages")

_TOOL_KEYS = ("tools", "functions", "tool_calls", "function_call")

_MEDIA_WORD = re.compile(
    r"video|vid|movie|film|clip|footage|frame|image|img|picture|photo|pic|visual|media|audio|sound|"
    r"speech|voice|wav|gif"
)

_FILE_WORD = re.compile(r"file|filename|filepath|path|url|uri|attachment|dir|folder")
"""Words of keys that may name a medium, or only where a row comes from."""

_NOTE_WORD = re.compile(
    r"num|number|count|total|size|width|height|resolution|shape|fps|rate|duration|length|len|"
    r"seconds|sec|type|kind|format|codec|hash|sha|md5|license|title|captions?|description|"
    r"categor(?:y|ies)|labels?|tags?|topic|question|answer|text|metadata|meta|info|source|dataset|"
    r"language|has|is"
)
"""Words that make a key with a word for media a note about it: ``image_size``, ``num_frames``."""

_SPAN = re.compile(r"(^|_)(start|end|begin|stop|segments?|bounds?|span|trim)(_|$)")

_MEDIA_SUFFIX = re.compile(
    r"\.(?:mp4|mkv|webm|avi|mov|m4v|mpe?g|ts|flv|wmv|og[vg]|3gp|gif|jpe?g|png|webp|bmp|tiff?|np[yz]|"
    r"pt|wav|mp3|flac|m4a)$",
    re.IGNORECASE,
)


def refuse_foreign_keys(record: Mapping[str, Any], names: Collection[str]) -> None:
    """Refuse a row with a key that is not read, but says what the row is about.

    Args:
        record: the row.
        names: of the files that are read from it.

    Raises:
        InputError: there is such a key; the message names it and the remedy.
    """
    read = _read_keys(record)
    for key, value in record.items():
        if key not in read:
            _check_key(str(key), value, record, names)


def refuse_foreign_turn_keys(turn: Mapping[str, Any]) -> None:
    """Refuse a turn with a key that is not read, but is more than a note.

    Raises:
        InputError: there is such a key; the message names it.
    """
    for key, value in turn.items():
        if _TURN.fullmatch(key) or _is_empty(value):
            continue
        words = _words(key)
        is_known = key in _THOUGHTS or key in _TOOL_KEYS
        if is_known or _any(_MEDIA_WORD, words) or _any(_FILE_WORD, words):
            raise InputError(f"a turn of it has {key!r}, which is not read; remove the key")


def unread_keys(record: Mapping[str, Any]) -> list[str]:
    """Keys of a usable row and of its turns that are notes, neither read nor of a release."""
    read = _read_keys(record)
    found = [str(k) for k, value in record.items() if k not in read and not _is_empty(value)]
    turns = [turn for key in TURN_LISTS for turn in record.get(key) or () if isinstance(turn, dict)]
    inner = {k for turn in turns for k, value in turn.items() if value and not _TURN.fullmatch(k)}
    return found + [f"{key} (of turns)" for key in sorted(inner)]


def _read_keys(record: Mapping[str, Any]) -> frozenset[str]:
    """The keys that are read from a row, and those that are not worth a word."""
    read = _NAMES | QUIET_KEYS
    if any(record.get(key) for key in TURN_LISTS):
        return read
    question = next((key for key in PAIRS if key in record), None)
    return read if question is None else read | {question, *PAIRS[question], "history"}


def _check_key(key: str, value: Any, record: Mapping[str, Any], names: Collection[str]) -> None:
    words = _words(key)
    names_media = _any(_MEDIA_WORD, words) and not _any(_NOTE_WORD, words)
    if names_media and not names:
        raise InputError(
            f"it has {key!r}, which is not read, and no other file; put files under 'video' or "
            "'image'"
        )
    if _is_empty(value):
        return
    if key in _PREFERENCE_KEYS:
        raise InputError(f"it has {key!r}, so it is a preference; train it with the recipe dpo")
    if key == "kto_tag" or (key == "label" and isinstance(value, bool)):
        raise InputError(
            f"its {key!r} says whether its answer is wanted, which is not read; keep the wanted "
            "ones and remove the key"
        )
    if key in _TOOL_KEYS:
        raise InputError(f"it has {key!r}; tool calls are not read")
    if key == "history":
        raise InputError("it has a 'history' beside its conversation; put its turns in front")
    if names and _SPAN.search(key.lower()) and "id" not in words:
        raise InputError(
            f"its {key!r} may ask for a part of the video, which is not read; cut the video, or "
            "remove the key"
        )
    may_be_path = _any(_MEDIA_WORD, words) or _any(_FILE_WORD, words)
    files = {PurePosixPath(file).name for file in _files(value, may_be_path)}
    known = {word for name in map(PurePosixPath, names) for word in (name.name, name.stem)}
    selects = names_media and not files and isinstance(value, list | tuple | dict)
    if selects or not files <= known:
        raise InputError(
            f"its {key!r} holds files, or what to take of them, which is not read; put files under "
            "'video' or 'image', or remove the key"
        )
    near = get_close_matches(key.lower(), _NAMES - set(record), n=1, cutoff=0.8)
    if near and abs(len(near[0]) - len(key)) <= 1:
        raise InputError(f"it has the unknown key {key!r}; did you mean {near[0]!r}?")


def _words(key: str) -> set[str]:
    """The words of a key, in the singular too: ``videoPaths`` has video and path."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", key)
    words = re.findall(r"[a-z]+", spaced.lower())
    return {*words, *(word.removesuffix("s") for word in words)}


def _any(pattern: re.Pattern[str], words: set[str]) -> bool:
    return any(map(pattern.fullmatch, words))


def _is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, str | bytes | list | tuple | dict) and not value)


def _files(value: Any, may_be_path: bool) -> Iterator[str]:
    """What in a value, however nested, looks like the name of a media file."""
    if isinstance(value, str):
        is_path = may_be_path and "/" in value and "://" not in value
        if _MEDIA_SUFFIX.search(value) or is_path or value.startswith("data:"):
            yield value
    elif isinstance(value, bytes | bytearray):
        yield "bytes"
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _files(inner, may_be_path)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _files(inner, may_be_path)
