"""WebDataset shards: tar files where members of one name and several endings are one sample.

Videos and images stay in the tar. Their path is that of the tar with the member's name behind it,
and `on_disk` copies one to a temporary file for as long as it is read.
"""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path, PurePosixPath
from tempfile import NamedTemporaryFile
from typing import Any

from llava_video.errors import InputError, VideoError
from llava_video.processing.media import DATA, local_file, name_of
from llava_video.records.llava_format import SPLITS
from llava_video.records.row_keys import MEDIA_KEYS

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif")
"""Endings of members that are images; what is neither this nor JSON is a video."""


@cache  # of all shards: reading is shuffled, and samples themselves take more memory
def _members(shard: Path) -> dict[str, tuple[int, int]]:
    """First byte and number of bytes of each member."""
    try:
        with tarfile.open(shard, "r:") as tar:
            return {m.name: (m.offset_data, m.size) for m in tar if m.isfile()}
    except (OSError, tarfile.TarError) as error:
        raise InputError(f"{shard} cannot be read as a tar file ({error}); fetch it again") from (
            error
        )


def read_shard(shard: Path, parse: Callable[[bytes], Any]) -> Iterator[Any]:
    """The records of a shard, with ``video`` or ``image`` set to what lies beside them.

    Args:
        shard: an uncompressed tar file.
        parse: makes a record of JSON text.

    Raises:
        InputError: the file is not a tar.
    """
    others: dict[str, list[str]] = {}
    for name in _members(shard):
        others.setdefault(_key(name), []).append(name)
    for name in _members(shard):
        if PurePosixPath(name).suffix == ".json":
            media = [str(shard / other) for other in others[_key(name)] if other != name]
            yield from _records(parse(_read(shard, name)), media)


def _key(name: str) -> str:
    """What members of one sample share: the name up to the first dot of its last part."""
    path = PurePosixPath(name)
    return str(path.with_name(path.name.split(".", 1)[0]))


def _read(shard: Path, name: str) -> bytes:
    start, num_bytes = _members(shard)[name]
    with shard.open("rb") as file:
        file.seek(start)
        return file.read(num_bytes)


def _records(record: Any, media: list[str]) -> Iterator[Any]:
    if not isinstance(record, dict):
        yield record
        return
    images = [path for path in media if Path(path).suffix.lower() in IMAGE_SUFFIXES]
    videos = [path for path in media if path not in images]
    shown = {name: files for name, files in (("video", videos), ("image", images)) if files}
    splits = [split for split in SPLITS if split in record]
    if "conversations" in record or not splits:
        replaced = {key for kind in shown for key in MEDIA_KEYS[kind]}
        yield {**{k: v for k, v in record.items() if k not in replaced}, **shown}
    for split in splits:  # as ``llava-video annotate export`` writes shards
        yield {"id": record.get("id"), "conversations": record[split], **shown}


def _shard_of(path: Path) -> Path | None:
    return next((p for p in path.parents if p.suffix == ".tar" and p.is_file()), None)


def file_of(path: Path) -> Path:
    """The file on disk that holds what ``path`` names: itself, or a shard."""
    return _shard_of(path) or path


def is_file(source: str) -> bool:
    """Whether ``source`` names a file or a member of a shard, not a folder or base64."""
    return not source.startswith(DATA) and is_there(Path(source))


def is_there(path: Path, *, or_folder: bool = False) -> bool:
    """Whether there is such a file, or such a member of a shard.

    Args:
        path: any path, also one that no file system takes.
        or_folder: whether a folder will do: a video as pictures.
    """
    try:
        shard = _shard_of(path)
        if shard is None:
            return path.is_file() or (or_folder and path.is_dir())
    except OSError:  # a name that is too long, a folder that may not be read
        return False
    return path.relative_to(shard).as_posix() in _members(shard)


@contextmanager
def on_disk(source: str | Path) -> Iterator[Path]:
    """A file that holds what ``source`` names: itself, or a copy of the member of a shard.

    A ``data:`` address is decoded to a file, too.

    Raises:
        InputError: an address holds no file.
    """
    if str(source).startswith(DATA):
        with local_file(source) as copy:
            yield from _renaming(copy, name_of(source))
        return
    path = Path(source)
    shard = _shard_of(path)
    if shard is None:
        yield path
        return
    with NamedTemporaryFile(suffix=path.suffix) as file:
        file.write(_read(shard, path.relative_to(shard).as_posix()))
        file.flush()
        yield from _renaming(Path(file.name), str(path))


def _renaming(copy: Path, name: str) -> Iterator[Path]:
    """Yields a copy; errors name what it is a copy of."""
    try:
        yield copy
    except (VideoError, InputError) as error:
        raise type(error)(str(error).replace(str(copy), name)) from error
