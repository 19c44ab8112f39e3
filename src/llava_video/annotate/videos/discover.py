"""Finds videos by files, folders, globs and manifests: one record per video."""

from __future__ import annotations

import csv
import glob
import io
import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from llava_video.annotate.records import VideoRecord
from llava_video.errors import InputError
from llava_video.records.suffixes import VIDEO_SUFFIXES, videos_below

_MANIFEST_SUFFIXES = (".jsonl", ".csv")
_COLUMNS = ("id", "path", "source", "category", "views")


def find_videos(
    names: list[str], known_ids: Mapping[str, str] = MappingProxyType({})
) -> list[VideoRecord]:
    """One record per video, in the order named; folders are searched through, in name order.

    Args:
        names: video files, folders, glob patterns, or manifests (JSONL or CSV with ``path`` and,
            where known, ``id``, ``source``, ``category``, ``views``; paths are relative to the
            manifest). A file that a manifest names and that is missing becomes a rejected record
            later; one that is named directly is an error now.
        known_ids: of videos that a run has, by `os.path.realpath`; they stay.

    Raises:
        InputError: a name matches nothing, or a manifest cannot be read.
    """
    rows = [row for name in names for row in _rows_of(name)]
    unique = {os.path.realpath(row["path"]): row for row in reversed(rows)}
    rows = [row for row in rows if unique.get(os.path.realpath(row["path"])) is row]
    if not rows:
        raise InputError(
            f"{', '.join(names) or 'no names'}: no videos there; name files or folders"
        )
    for row in rows:
        if not _is_text(row["path"]):
            raise InputError(f"{row['path']!a}: its name is not UTF-8; rename the file")
    ids = _ids([row["path"] for row in rows], known_ids)
    records = [
        VideoRecord(
            video_id=row.get("id") or video_id,
            path=row["path"],
            source=row.get("source") or "files",
            category=row.get("category") or "all",
            views=row.get("views") or 0,
        )
        for row, video_id in zip(rows, ids, strict=True)
    ]
    repeated = [name for name, n in Counter(r.video_id for r in records).items() if n > 1]
    if repeated:
        raise InputError(
            f"the id {repeated[0]!r} belongs to two videos; make ids in the manifest unique"
        )
    return records


def _is_text(name: str) -> bool:
    return name == name.encode(errors="replace").decode()


def common_folder(records: list[VideoRecord]) -> Path:
    """The deepest folder that holds all videos: what their paths in a dataset are relative to."""
    return Path(os.path.commonpath([Path(record.path).resolve().parent for record in records]))


def _rows_of(name: str) -> Iterator[dict[str, Any]]:
    path = Path(name)
    if path.suffix.lower() in _MANIFEST_SUFFIXES and path.is_file():
        yield from _manifest_rows(path)
    elif path.is_dir():
        yield from ({"path": str(found)} for found in videos_below(path))
    elif path.is_file():
        yield {"path": name}
    else:
        matches = sorted(glob.glob(name, recursive=True))  # noqa: PTH207  (patterns may be absolute)
        if not matches:
            raise InputError(f"{name}: no such file or folder, and no pattern that matches one")
        for match in matches:
            if Path(match).suffix.lower() in VIDEO_SUFFIXES or Path(match).is_dir():
                yield from _rows_of(match)


def _manifest_rows(path: Path) -> Iterator[dict[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as UTF-8 text ({error})") from error
    if path.suffix.lower() == ".csv":
        try:
            rows: list[Any] = list(csv.DictReader(io.StringIO(text, newline="")))
        except csv.Error as error:
            raise InputError(f"{path}: not CSV ({error}); fix the file") from error
    else:
        lines = enumerate(text.split("\n"), 1)
        rows = [_json_row(line, path, number) for number, line in lines if line.strip()]
    for number, row in enumerate(rows, 1):
        where = f"{path}: row {number}"
        if not row.get("path"):
            raise InputError(f"{where} has no path; columns are {', '.join(_COLUMNS)}")
        views = row.get("views")
        try:
            views = int(float(views)) if views not in (None, "") else 0
        except (TypeError, ValueError, OverflowError) as error:
            raise InputError(f"{where}: views {views!r} is not a number") from error
        values = {column: str(row[column]) for column in _COLUMNS[:4] if row.get(column)}
        for column, value in values.items():
            if not _is_text(value) or "\0" in value:
                raise InputError(f"{where}: {column} {value!a} is not text; fix the row")
        if "/" in values.get("source", ""):  # it becomes part of file names
            raise InputError(f"{where}: source {values['source']!r}: leave the / out")
        yield {**values, "path": str(path.parent / values["path"]), "views": views}


def _json_row(line: str, path: Path, number: int) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}:{number}: not JSON ({error}); fix the line") from error
    if not isinstance(row, dict):
        raise InputError(f"{path}:{number}: a row is an object with {', '.join(_COLUMNS)}")
    return row


def _ids(paths: list[str], known_ids: Mapping[str, str]) -> list[str]:
    """Known ids; else paths below the common folder, without suffix unless that is taken."""
    resolved = [Path(path).resolve() for path in paths]
    root = Path(os.path.commonpath([path.parent for path in resolved]))
    relative = [path.relative_to(root) for path in resolved]
    known = [known_ids.get(str(path)) for path in resolved]
    taken = {own for own in known if own}  # a video that is not named again has none
    counts = Counter(path.with_suffix("").as_posix() for path in relative)
    ids = []
    for own, path, below in zip(known, resolved, relative, strict=True):
        name = below.with_suffix("").as_posix()
        names = [name] if counts[name] == 1 else []
        names += [below.as_posix(), path.as_posix()]
        ids.append(own or next(each for each in names if each not in taken))
    return ids
