"""Samples in the LLaVA format, see `llava_format`, and mixtures of files that hold them.

A mixture is the official ``exp.yaml``: ``datasets: [{json_path, sampling_strategy}]`` (train.py).
"""

from __future__ import annotations

import json
import math
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from llava_video.errors import InputError
from llava_video.processing.media import Medium, media_of
from llava_video.processing.prompt import Message
from llava_video.records.llava_format import Shown, Turn, parse_record, read_turns
from llava_video.train.data.webdataset import is_there, read_shard

_SUFFIXES = (".json", ".jsonl", ".parquet", ".tar")
_STRATEGY = re.compile(r"(first|end|random):(\d+)(%?)")


@dataclass(frozen=True, slots=True)
class Sample:
    """One training conversation.

    Attributes:
        name: its id and where it was read, for messages.
        messages: the conversation, with ``{"type": "video" or "image", "path": ...}`` parts.
    """

    name: str
    messages: tuple[Message, ...]

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
            yield from read_shard(path, parse_record)
        elif path.suffix == ".jsonl":
            yield from (parse_record(line) for line in _read_text(path).split("\n") if line.strip())
        else:
            records = parse_record(_read_text(path))
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
    messages = [
        {"role": turn.role, "content": _content(turn, folders)} for turn in read_turns(record)
    ]
    return Sample(name, tuple(messages))


def _content(turn: Turn, folders: Folders) -> str | list[dict[str, Any]]:
    if turn.parts and all(isinstance(part, str) for part in turn.parts):
        return "".join(part for part in turn.parts if isinstance(part, str))
    return [
        {"type": part.kind, "path": str(_file(part, folders))}
        if isinstance(part, Shown)
        else {"type": "text", "text": part}
        for part in turn.parts
    ]


def _file(shown: Shown, folders: Folders) -> Path:
    path = (folders.video if shown.kind == "video" else folders.image) / shown.name
    if not is_there(path):
        raise InputError(f"its {shown.kind} {path} does not exist; check {shown.kind}_folder")
    return path
