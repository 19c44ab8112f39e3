"""Files of one JSON object a line; a kill or a full disk may leave half a line."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def append_line(path: Path, record: dict[str, Any]) -> None:
    """Append a record to a file, which other processes may append to at the same time.

    It begins a line of its own, also after one that was cut off.

    Raises:
        OSError: it cannot be written whole.
    """
    try:
        line = f"{dump_json(record)}\n".encode()
    except UnicodeEncodeError:  # the name of a file that is not UTF-8
        line = f"{json.dumps(record)}\n".encode()
    with path.open("ab+", buffering=0) as file:
        if file.seek(0, os.SEEK_END):
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                line = b"\n" + line
        # One write: appends of other processes do not interleave. It may end early on a full disk.
        if file.write(line) != len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The records of a file without those that were cut off; none if there is no file."""
    if not path.is_file():
        return []
    lines = path.read_bytes().split(b"\n")
    return [record for record in map(_parse, lines) if record is not None]


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None


def dump_json(value: Any, *, indent: int | None = None) -> str:
    """JSON as this package writes it: UTF-8 characters unescaped, fixed separators."""
    return json.dumps(value, ensure_ascii=False, indent=indent)


def dump_lines(records: Iterable[dict[str, Any]]) -> str:
    """The text of a file of one JSON object a line."""
    return "".join(f"{dump_json(record)}\n" for record in records)
