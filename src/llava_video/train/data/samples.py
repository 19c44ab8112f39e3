"""Samples in the formats that `records.rows` knows, and mixtures of files that hold them.

A mixture is the official ``exp.yaml``: ``datasets: [{json_path, sampling_strategy}]`` (train.py).
"""

from __future__ import annotations

import hashlib
import json
import math
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from llava_video.errors import InputError
from llava_video.processing.media import DATA, Medium, media_of, name_of
from llava_video.processing.prompt import Message
from llava_video.recipes import nearest
from llava_video.records.llava_format import Shown, Turn, read_turns
from llava_video.records.row_keys import unread_keys
from llava_video.train.data.record_files import read_records, read_text
from llava_video.train.data.webdataset import is_there

_ENTRY_KEYS = ("json_path", "sampling_strategy")
_LONGEST_NAME = 255
"""Bytes of the name of a file that file systems take."""

_STRATEGY = re.compile(r"(first|end|random):(\d+)(%?)")


@dataclass(frozen=True, slots=True)
class Sample:
    """One training conversation.

    Attributes:
        name: its id and where it was read, for messages.
        messages: the conversation, with ``{"type": "video" or "image", "path": ...}`` parts.
        unread: keys of its record that are notes and are not read.
    """

    name: str
    messages: tuple[Message, ...]
    unread: tuple[str, ...] = ()

    @property
    def media(self) -> list[Medium]:
        """Its videos and images, in order."""
        return media_of(self.messages)


@dataclass(frozen=True, slots=True)
class Folders:
    """Folders of the files that samples name.

    Attributes:
        video: folder of the videos.
        image: folder of the images.
    """

    video: Path
    image: Path


Parse = Callable[[Any, str, Folders], Sample]
"""Parses a record, given its name and the folders; see `as_sample`."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A record that cannot be used, and why.

    Attributes:
        name: its id and where it was read.
        reason: why.
        media: files that the reason may name, by which records with one reason differ.
    """

    name: str
    reason: str
    media: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """The reason without the names of files and without numbers."""
        kind = self.reason
        for name in sorted(self.media, key=len, reverse=True):
            kind = kind.replace(name, "...").replace(name_of(name), "...")
        return re.sub(r"\d+", "N", kind)


@dataclass(frozen=True, slots=True)
class Part:
    """One file of a mixture.

    Attributes:
        path: JSON, JSON lines, Parquet or a WebDataset shard (tar).
        strategy: ``all``, ``first:N``, ``end:N`` or ``random:N``; N a number or a percentage.
        num_records: records in the file.
        samples: those that were chosen and can be used.
        problems: those that were chosen and cannot.
        notes: what else is worth a word: keys that are not read, repeated samples, no samples.
    """

    path: Path
    strategy: str
    num_records: int
    samples: tuple[Sample, ...]
    problems: tuple[Problem, ...]
    notes: tuple[str, ...] = field(default=())


def read_mixture(
    path: Path, folders: Folders, seed: int = 0, parse: Parse | None = None
) -> list[Part]:
    """Read a mixture (``.yaml``), or a single file of samples as a mixture of one.

    Args:
        path: the file; paths inside a mixture are relative to it. A ``*`` in the name of a file
            stands for all files of such names, each a part of its own.
        folders: where the videos and images of samples are.
        seed: for ``random:N``.
        parse: makes a sample of a record; default: `as_sample`.

    Raises:
        InputError: a file is missing or not what it should be.
    """
    entries = [(path, "all")]
    if path.suffix in (".yaml", ".yml"):
        entries = _read_entries(path)
    files = [(file, strategy) for entry, strategy in entries for file in _expand(entry)]
    return [
        _read_part(file, strategy, folders, f"{seed} {number}", parse or as_sample)
        for number, (file, strategy) in enumerate(files)
    ]


class _MixtureLoader(yaml.SafeLoader):
    """Reads plain values; a key twice is an error, where YAML would keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        if len(set(map(str, keys))) < len(keys):
            raise yaml.constructor.ConstructorError(
                None, None, "a key is there twice", node.start_mark
            )
        return super().construct_mapping(node, deep)


def _read_entries(path: Path) -> list[tuple[Path, str]]:
    try:
        mixture = yaml.load(read_text(path), _MixtureLoader)
    except yaml.YAMLError as error:
        raise InputError(f"{path} is not valid YAML ({error})".replace("\n", " ")) from error
    listed = mixture.get("datasets") if isinstance(mixture, dict) else None
    if not isinstance(listed, list) or not listed:
        raise InputError(
            f"{path} is not a mixture; write 'datasets:' and under it '- json_path: FILE' entries, "
            "each with an optional 'sampling_strategy: all'"
        )
    _refuse_unknown(mixture, ("datasets",), f"{path}")
    entries = []
    for number, entry in enumerate(listed, 1):
        place = f"{path}, entry {number}"
        file = entry.get("json_path") if isinstance(entry, dict) else None
        if not isinstance(file, str) or not file:
            raise InputError(
                f"{path} is not a mixture: entry {number} has no 'json_path' that is the name of a "
                "file"
            )
        _refuse_unknown(entry, _ENTRY_KEYS, place)
        strategy = entry.get("sampling_strategy", "all")
        if not isinstance(strategy, str):
            raise InputError(f"{place}: sampling_strategy is no text; write all, or first:10%")
        entries.append((path.parent / file, strategy))
    return entries


def _refuse_unknown(values: Mapping[Any, Any], known: Sequence[str], place: str) -> None:
    for key in values:
        if key not in known:
            raise InputError(f"{place}: the key {key!r} is unknown{nearest(str(key), known)}")


def _expand(path: Path) -> list[Path]:
    if "*" not in path.name:
        return [path]
    found = sorted(path.parent.glob(path.name))
    if not found:
        raise InputError(f"no file is called {path}; check the path in the mixture")
    return found


def _read_part(path: Path, strategy: str, folders: Folders, seed: str, parse: Parse) -> Part:
    records = list(read_records(path))
    samples: list[Sample] = []
    problems: list[Problem] = []
    for number, record in _choose(records, strategy, path, seed):
        name = f"{path.name}[{number}]"
        if isinstance(record, dict) and record.get("id") is not None:
            name = f"{record['id']} ({name})"
        try:
            samples.append(parse(record, name, folders))
        except InputError as error:
            problems.append(Problem(name, str(error), tuple(_names_in(record))))
    unread = Counter(key for sample in samples for key in sample.unread)
    notes = list(_notes(path, len(records), samples, unread))
    return Part(path, strategy, len(records), tuple(samples), tuple(problems), tuple(notes))


def _notes(
    path: Path, num_records: int, samples: Sequence[Sample], unread: Mapping[str, int]
) -> Iterator[str]:
    if not num_records:
        yield f"{path.name} holds no samples"
    for key, num in sorted(unread.items()):
        yield f"{path.name}: the key {key!r} of {num} samples is not read"
    seen = {hashlib.sha256(json.dumps(s.messages).encode()).digest() for s in samples}
    if len(seen) < len(samples):
        yield f"{path.name}: {len(samples) - len(seen)} samples repeat earlier ones word for word"


def _names_in(value: Any) -> Iterator[str]:
    """All texts of a record that may be names of files."""
    if isinstance(value, str):
        if value and "\n" not in value:
            yield value
    elif isinstance(value, Mapping):
        for key in ("video", "videos", "image", "images"):
            yield from _names_in(value.get(key))
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _names_in(inner)


def _choose(records: list[Any], strategy: str, path: Path, seed: str) -> list[tuple[int, Any]]:
    """The records that a strategy takes, numbered as in the file."""
    numbered = list(enumerate(records))
    if strategy == "all":
        return numbered
    match = _STRATEGY.fullmatch(strategy)
    if match is None:
        raise InputError(
            f"{path}: sampling_strategy {strategy!r} is unknown; use all, first:N, end:N or "
            "random:N, with N a number or a percentage"
        )
    kind, number, percent = match.groups()
    wanted = math.ceil(len(records) * int(number) / 100) if percent else int(number)
    if kind == "first":
        return numbered[:wanted]
    if kind == "end":
        return numbered[max(0, len(records) - wanted) :]
    return sorted(random.Random(seed).sample(numbered, min(wanted, len(records))))


def as_sample(record: Any, name: str, folders: Folders) -> Sample:
    """One record of a known format as a sample.

    Raises:
        InputError: it cannot be used; the message says why.
    """
    turns = read_turns(record)
    for part in (part for turn in turns for part in turn.parts):
        try:
            (part.name if isinstance(part, Shown) else part).encode()
        except UnicodeEncodeError as error:
            raise InputError("half a character (a lone surrogate) stands in its text") from error
    messages = [{"role": turn.role, "content": _content(turn, folders)} for turn in turns]
    return Sample(name, tuple(messages), tuple(unread_keys(record)))


def _content(turn: Turn, folders: Folders) -> str | list[dict[str, Any]]:
    if turn.parts and all(isinstance(part, str) for part in turn.parts):
        return "".join(part for part in turn.parts if isinstance(part, str))
    return [
        {"type": part.kind, "path": _file(part, folders)}
        if isinstance(part, Shown)
        else {"type": "text", "text": part}
        for part in turn.parts
    ]


def _file(shown: Shown, folders: Folders) -> str:
    """The path of a file; what a ``data:`` address holds stays in it."""
    if shown.name.startswith(DATA):
        return shown.name
    if "://" in shown.name:
        raise InputError(
            f"its {shown.kind} {name_of(shown.name)} is an address; download it and name the file"
        )
    longest = max(len(part.encode()) for part in shown.name.split("/"))
    if longest > _LONGEST_NAME or "\0" in shown.name or Path(shown.name).name in ("", ".."):
        raise InputError(
            f"its {shown.kind} {name_of(shown.name)!r} is no name of a file (base64 begins with "
            f"'data:{shown.kind}/...;base64,')"
        )
    path = (folders.video if shown.kind == "video" else folders.image) / shown.name
    if not is_there(path, or_folder=shown.kind == "video"):
        raise InputError(
            f"its {shown.kind} {name_of(path)} does not exist; check {shown.kind}_folder"
        )
    return str(path)
