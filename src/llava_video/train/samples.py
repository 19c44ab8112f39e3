r"""Samples in the LLaVA format, and mixtures of files that hold them.

A sample is ``{"id", "video": file or files, "conversations": [{"from": "human", "value":
"<image>\nWhat?"}, {"from": "gpt", "value": "A cat."}]}``; each ``<image>`` stands for one video. A
mixture is the official ``exp.yaml``: ``datasets: [{json_path, sampling_strategy}]`` (train.py).
"""

from __future__ import annotations

import json
import math
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from llava_video.errors import InputError
from llava_video.model.prompt import Message

MARKER = "<image>"
"""Where a video stands in the text of a human turn, videos included."""

_ROLES = {"human": "user", "gpt": "assistant"}
_STRATEGY = re.compile(r"(first|end|random):(\d+)(%?)")


@dataclass(frozen=True, slots=True)
class Sample:
    """One conversation to learn.

    Attributes:
        name: its id and where it was read, for messages.
        messages: the conversation, with ``{"type": "video", "path": ...}`` parts.
        videos: the files of these parts, in order.
    """

    name: str
    messages: tuple[Message, ...]
    videos: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Problem:
    """A record that cannot be used, and why."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Part:
    """One file of a mixture.

    Attributes:
        path: JSON, JSON lines or Parquet.
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


def read_mixture(path: Path, video_folder: Path, seed: int = 0) -> list[Part]:
    """Read a mixture (``.yaml``), or a single file of samples as a mixture of one.

    Args:
        path: the file; paths inside a mixture are relative to it.
        video_folder: where the videos of samples are.
        seed: for ``random:N``.

    Raises:
        InputError: a file is missing or not what it should be.
    """
    if path.suffix not in (".yaml", ".yml"):
        return [_read_part(path, "all", video_folder, seed)]
    try:
        listed = yaml.safe_load(_read_text(path))["datasets"]
        entries = [
            (path.parent / e["json_path"], e.get("sampling_strategy", "all")) for e in listed
        ]
    except (yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} is not a mixture; write 'datasets:' and under it '- json_path: FILE' entries, "
            "each with an optional 'sampling_strategy: all'"
        ) from error
    return [_read_part(file, strategy, video_folder, seed) for file, strategy in entries]


def _read_part(path: Path, strategy: str, video_folder: Path, seed: int) -> Part:
    records = list(_read_records(path))
    samples: list[Sample] = []
    problems: list[Problem] = []
    for number, record in _choose(records, strategy, path, seed):
        name = f"{path.name}[{number}]"
        if isinstance(record, dict) and record.get("id") is not None:
            name = f"{record['id']} ({name})"
        try:
            samples.append(as_sample(record, name, video_folder))
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
    if path.suffix == ".parquet":
        if not path.is_file():
            raise InputError(f"{path} does not exist; check the path in the mixture")
        from pyarrow import parquet

        yield from parquet.read_table(path).to_pylist()
        return
    text = _read_text(path)
    try:
        if path.suffix == ".jsonl":
            yield from (json.loads(line) for line in text.splitlines() if line.strip())
            return
        records = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"{path} is not valid JSON ({error}); write it again") from error
    if not isinstance(records, list):
        raise InputError(f"{path} holds no list of samples; put them into one JSON list")
    yield from records


def _choose(records: list[Any], strategy: str, path: Path, seed: int) -> list[tuple[int, Any]]:
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


def as_sample(record: Any, name: str, video_folder: Path) -> Sample:
    """One record of the LLaVA format as a sample.

    Raises:
        InputError: it cannot be used; the message says why.
    """
    if not isinstance(record, dict) or not isinstance(record.get("conversations"), list):
        raise InputError("it has no list of 'conversations'")
    if record.get("image"):
        raise InputError("it shows images; only samples with videos or text can be trained on")
    files = record.get("video") or []
    videos = tuple(video_folder / file for file in ([files] if isinstance(files, str) else files))
    for video in videos:
        if not video.is_file():
            raise InputError(f"its video {video} does not exist; check video_folder")
    turns = [_as_turn(turn) for turn in record["conversations"]]
    num_markers = sum(text.count(MARKER) for role, text in turns if role == "user")
    if num_markers == 0 and len(videos) == 1:
        role, text = turns[0]
        turns[0] = (role, f"{MARKER}\n{text}")
    elif num_markers != len(videos):
        raise InputError(
            f"it has {num_markers} {MARKER} markers for {len(videos)} videos; write one for each"
        )
    expected = ["user", "assistant"] * (len(turns) // 2)
    if not turns or [role for role, _ in turns] != expected:
        raise InputError("its turns do not alternate between 'human' and 'gpt', human first")
    remaining = iter(videos)
    messages = [_as_message(role, text, remaining) for role, text in turns]
    return Sample(name, tuple(messages), videos)


def _as_turn(turn: Any) -> tuple[str, str]:
    if not isinstance(turn, dict) or not isinstance(turn.get("value"), str):
        raise InputError("a turn of it has no 'value' that is text")
    role = _ROLES.get(turn.get("from", ""))
    if role is None:
        raise InputError(f"a turn of it is from {turn.get('from')!r}; use 'human' or 'gpt'")
    if not turn["value"].strip():
        raise InputError("a turn of it is empty")
    return role, turn["value"]


def _as_message(role: str, text: str, videos: Iterator[Path]) -> Message:
    if role == "assistant" or MARKER not in text:
        return {"role": role, "content": text}
    if text.count(MARKER) == 1:  # a lone marker stands in front, wherever it was written
        text = MARKER + text.replace(MARKER, "").strip()
    parts: list[dict[str, Any]] = []
    for number, piece in enumerate(text.split(MARKER)):
        if number:
            parts.append({"type": "video", "path": str(next(videos))})
        if piece.strip():
            parts.append({"type": "text", "text": piece.strip("\n")})
    return {"role": role, "content": parts}
