r"""Samples in the LLaVA format, and mixtures of files that hold them.

A sample is ``{"id", "video" or "image": file or files, "conversations": [{"from": "human",
"value": "<image>\nWhat?"}, {"from": "gpt", "value": "A cat."}]}``; each ``<image>`` stands for one
of the files, in order. A mixture is the official ``exp.yaml``: ``datasets: [{json_path,
sampling_strategy}]`` (train.py).
"""

from __future__ import annotations

import json
import math
import random
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from llava_video.errors import InputError
from llava_video.processing.media import Medium, media_of
from llava_video.processing.prompt import Message
from llava_video.train.data.webdataset import is_there, read_shard

MARKER = "<image>"
"""Where an image, or a video, stands in the text of a human turn."""

VIDEO_MARKER = "<video>"
"""Where a video stands in a sample that shows images, too."""

_ROLES = {"human": "user", "gpt": "assistant"}
_SUFFIXES = (".json", ".jsonl", ".parquet", ".tar")
_STRATEGY = re.compile(r"(first|end|random):(\d+)(%?)")


@dataclass(frozen=True, slots=True)
class Sample:
    """One conversation to learn.

    Attributes:
        name: its id and where it was read, for messages.
        messages: the conversation, with ``{"type": "video" or "image", "path": ...}`` parts.
    """

    name: str
    messages: tuple[Message, ...]

    @property
    def media(self) -> list[Medium]:
        """What it shows, in order."""
        return media_of(self.messages)


@dataclass(frozen=True, slots=True)
class Folders:
    """Where the files are that samples name.

    Attributes:
        video: folder of the videos.
        image: folder of the images.
    """

    video: Path
    image: Path


Parse = Callable[[Any, str, Folders], Sample]
"""Makes a sample of a record, its name and the folders; see `as_sample`."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A record that cannot be used, and why."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Part:
    """One file of a mixture.

    Attributes:
        path: JSON, JSON lines, Parquet or a WebDataset shard (tar).
        strategy: ``all``, ``first:N``, ``end:N`` or ``random:N``; N a number or a percentage.
        num_records: records in the file.
        samples: those that were chosen and can be used.
        problems: those that were chosen and cannot.
    """

    path: Path
    strategy: str
    num_records: int
    samples: tuple[Sample, ...]
    problems: tuple[Problem, ...]


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


def _read_entries(path: Path) -> list[tuple[Path, str]]:
    try:
        listed = yaml.safe_load(_read_text(path))["datasets"]
        return [(path.parent / e["json_path"], e.get("sampling_strategy", "all")) for e in listed]
    except (yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} is not a mixture; write 'datasets:' and under it '- json_path: FILE' entries, "
            "each with an optional 'sampling_strategy: all'"
        ) from error


def _expand(path: Path) -> list[Path]:
    if "*" not in path.name:
        return [path]
    found = sorted(path.parent.glob(path.name))
    if not found:
        raise InputError(f"no file is called {path}; check the path in the mixture")
    return found


def _read_part(path: Path, strategy: str, folders: Folders, seed: str, parse: Parse) -> Part:
    records = list(_read_records(path))
    samples: list[Sample] = []
    problems: list[Problem] = []
    for number, record in _choose(records, strategy, path, seed):
        name = f"{path.name}[{number}]"
        if isinstance(record, dict) and record.get("id") is not None:
            name = f"{record['id']} ({name})"
        try:
            samples.append(parse(record, name, folders))
        except InputError as error:
            problems.append(Problem(name, str(error)))
    return Part(path, strategy, len(records), tuple(samples), tuple(problems))


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist; check the path in the mixture") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read ({error}); give a text file") from error


def _read_records(path: Path) -> Iterator[Any]:
    if path.suffix not in _SUFFIXES:
        raise InputError(f"{path} holds no samples; give a file that ends in {_SUFFIXES}")
    if not path.is_file():
        raise InputError(f"{path} does not exist; check the path in the mixture")
    try:
        if path.suffix == ".parquet":
            yield from _read_parquet(path)
        elif path.suffix == ".tar":
            yield from read_shard(path, _parse)
        elif path.suffix == ".jsonl":
            yield from (_parse(line) for line in _read_text(path).split("\n") if line.strip())
        else:
            records = _parse(_read_text(path))
            if not isinstance(records, list):
                raise InputError(f"{path} holds no list of samples; put them into one JSON list")
            yield from records
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not valid JSON ({error}); write it again") from error


def _read_parquet(path: Path) -> Iterator[Any]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise InputError(f"{path} needs pyarrow; pip install pyarrow") from error
    try:
        yield from parquet.read_table(path).to_pylist()
    except pyarrow.ArrowException as error:
        raise InputError(f"{path} is not valid Parquet ({error}); write it again") from error


@dataclass(frozen=True, slots=True)
class _Repeated:
    """In place of a JSON object that has one key twice, of which Python would keep the last."""

    key: str


def _parse(text: str | bytes) -> Any:
    def build(pairs: list[tuple[str, Any]]) -> Any:
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                return _Repeated(key)
            seen.add(key)
        return dict(pairs)

    return json.loads(text, object_pairs_hook=build)


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
    """One record of the LLaVA format as a sample.

    Raises:
        InputError: it cannot be used; the message says why.
    """
    _refuse_repeated(record)
    if not isinstance(record, dict) or not isinstance(record.get("conversations"), list):
        raise InputError("it has no list of 'conversations'")
    media = {
        "image": _files(record, "image", folders.image),
        "video": _files(record, "video", folders.video),
    }
    turns = [_as_turn(turn) for turn in record["conversations"]]
    expected = ["user", "assistant"] * (len(turns) // 2)
    if not turns or [role for role, _ in turns] != expected:
        raise InputError("its turns do not alternate between 'human' and 'gpt', human first")
    markers = _markers(media)
    asked = "".join(text for role, text in turns if role == "user")
    if len(media["image"]) + len(media["video"]) == 1 and MARKER not in asked:
        turns[0] = ("user", f"{MARKER}\n{turns[0][1]}")
        asked += MARKER
    for marker, kind in markers.items():
        if asked.count(marker) != len(media[kind]):
            raise InputError(
                f"it has {asked.count(marker)} {marker} markers for {len(media[kind])} {kind}s; "
                "write one for each"
            )
    remaining = {kind: iter(files) for kind, files in media.items()}

    def show(marker: str) -> dict[str, Any]:
        kind = markers[marker]
        return {"type": kind, "path": str(next(remaining[kind]))}

    messages = [
        {"role": role, "content": _content(text, markers, show) if role == "user" else text}
        for role, text in turns
    ]
    return Sample(name, tuple(messages))


def _refuse_repeated(value: Any) -> None:
    if isinstance(value, _Repeated):
        raise InputError(f"it has the key {value.key!r} twice; which is meant?")


def _files(record: dict[str, Any], kind: str, folder: Path) -> list[Path]:
    """The files that a record names under a key."""
    names = record.get(kind) or []
    names = [names] if isinstance(names, str) else names
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InputError(f"its {kind!r} is neither the name of a file nor a list of names")
    paths = [folder / name for name in names]
    for path in paths:
        if not is_there(path):
            raise InputError(f"its {kind} {path} does not exist; check {kind}_folder")
    return paths


def _markers(media: dict[str, list[Path]]) -> dict[str, str]:
    """What stands in the text for which kind of file."""
    if media["image"] and media["video"]:
        return {MARKER: "image", VIDEO_MARKER: "video"}
    return {MARKER: "video" if media["video"] else "image"}


def _as_turn(turn: Any) -> tuple[str, str]:
    _refuse_repeated(turn)
    if not isinstance(turn, dict) or not isinstance(turn.get("value"), str):
        raise InputError("a turn of it has no 'value' that is text")
    role = _ROLES.get(str(turn.get("from")))
    if role is None:
        raise InputError(f"a turn of it is from {turn.get('from')!r}; use 'human' or 'gpt'")
    if not turn["value"].strip():
        raise InputError("a turn of it is empty")
    return role, turn["value"]


def _content(
    text: str, markers: Collection[str], show: Callable[[str], dict[str, Any]]
) -> str | list[dict[str, Any]]:
    """Text with markers as parts; a lone marker stands in front, wherever it was written."""
    pieces = re.split(f"({'|'.join(markers)})", text)
    if len(pieces) == 1:
        return text
    if len(pieces) == 3:
        pieces = [pieces[1], (pieces[0] + pieces[2]).strip()]
    return [
        show(piece) if piece in markers else {"type": "text", "text": piece.strip("\n")}
        for piece in pieces
        if piece.strip()
    ]
