"""The records of a file, by what it holds rather than by its name."""

from __future__ import annotations

import codecs
import gzip
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from llava_video.errors import InputError
from llava_video.records.llava_format import parse_record, parse_records
from llava_video.records.row_keys import TURN_LISTS
from llava_video.train.data.webdataset import is_there, read_shard

SUFFIXES = (".json", ".jsonl", ".json.gz", ".jsonl.gz", ".parquet", ".tar")
"""Endings of files of records. JSON is a list or one object a line under any of its names."""

_WHAT_IT_IS = {
    b"version https://git-lfs": "is a git-lfs pointer, not the file itself; run git lfs pull",
    b"PAR1": "is Parquet; call it .parquet",
    b"PK\x03\x04": "is a zip archive; unpack it",
    b"\x28\xb5\x2f\xfd": "is compressed with zstd; unpack it",
    b"<": "is HTML or XML, likely the page of an error; download it again",
}
"""What files with the name of JSON are, by how they begin."""


def read_records(path: Path) -> Iterator[Any]:
    """The records of a JSON, JSON lines, Parquet or WebDataset file.

    Raises:
        InputError: the file is missing, or not what it should be.
    """
    if not path.name.endswith(SUFFIXES):
        raise InputError(f"{path} holds no samples; give a file that ends in {', '.join(SUFFIXES)}")
    if not is_there(path):
        if is_there(path, or_folder=True):
            raise InputError(f"{path} is a folder; name a file in it, or several with a *")
        raise InputError(f"{path} does not exist; check the path in the mixture")
    if path.suffix == ".tar":
        try:
            yield from read_shard(path, parse_record)
        except ValueError as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{path} holds a record that is not JSON ({error})") from error
    elif path.suffix == ".parquet":
        yield from _read_parquet(path)
    else:
        yield from _read_json(path)


def read_text(path: Path) -> str:
    """The text of a file: UTF-8, or UTF-16 with its mark; compressed with gzip or not.

    Raises:
        InputError: there is no such file, or it is not text.
    """
    try:
        content = path.read_bytes()
        if content.startswith(b"\x1f\x8b"):
            content = gzip.decompress(content)
        is_utf_16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        return content.decode("utf-16" if is_utf_16 else "utf-8-sig")
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist; check the path in the mixture") from error
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}); give a text file in UTF-8") from error


def _read_json(path: Path) -> list[Any]:
    with path.open("rb") as file:
        start = file.read(32).lstrip()
    for sign, what in _WHAT_IT_IS.items():
        if start.startswith(sign):
            raise InputError(f"{path} {what}")
    try:
        records = parse_records(read_text(path))
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} is not valid JSON ({error}); write it again") from error
    if len(records) == 1 and isinstance(records[0], Mapping):
        _refuse_wrapping(path, records[0])
    return records


def _refuse_wrapping(path: Path, found: Mapping[str, Any]) -> None:
    """A single object is a file of one line; or it holds the list of samples, or none at all."""
    is_sample = any(key in found for key in (*TURN_LISTS, "chosen"))
    lists = [
        key
        for key, value in found.items()
        if isinstance(value, list) and value and all(isinstance(item, Mapping) for item in value)
    ]
    if lists and not is_sample:
        raise InputError(
            f"{path} holds one object with a list under {lists[0]!r}, no list of samples; put that "
            "list alone into the file"
        )
    if all(isinstance(value, Mapping) for value in found.values()):
        raise InputError(
            f"{path} holds no list of samples; put them into one JSON list, or, where it describes "
            "data sets, name their files"
        )


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
