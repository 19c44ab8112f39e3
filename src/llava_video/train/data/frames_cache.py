"""Decoded frames on disk, so that a video is decoded once for all epochs and runs.

An entry is a file named after everything that its frames depend on: the video's path, size and time
of change, and how it is sampled. It appears by renaming, whole or not at all, however many
processes write it and whenever they are killed. What it holds is checked when it is read; an entry
that was damaged later is decoded and written again.
"""

from __future__ import annotations

import hashlib
import json
import time
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from llava_video.errors import InputError
from llava_video.records.files import writing
from llava_video.train.data.webdataset import file_of
from llava_video.types import Frames

_FORMAT = 1
"""Increment when the frames of the same request change."""

_SHARES = 100
"""A process counts what is there whenever it has written such a share of the limit. Several that
write at once pass the limit by no more than one share each."""


class FramesCache:
    """A folder of decoded frames, for any number of processes.

    Where a limit is reached, entries that were last read before this object was made give way to
    new ones. Those read since do not, and new ones are not kept instead: videos that come again in
    every epoch would push each other out before any is read again.

    Args:
        folder: where entries are; made when the first is written.
        limit_bytes: how much they may take; without it nothing is ever removed.
    """

    def __init__(self, folder: Path, limit_bytes: int | None = None) -> None:
        self._folder = folder
        self._limit_bytes = limit_bytes
        self._since = time.time() - 1  # file systems have a coarse clock
        self._left_bytes = 0
        self._is_full = False

    def get(self, path: Path, request: Any, decode: Callable[[], Frames]) -> Frames:
        """The frames of a video, from the cache or decoded.

        Args:
            path: the video, maybe in a shard.
            request: how it is sampled; plain values.
            decode: reads the frames.

        Raises:
            InputError: an entry cannot be written.
            VideoError: what ``decode`` raises.
        """
        try:
            status = file_of(path).stat()
        except OSError:
            return decode()  # which says what is wrong
        known = [_FORMAT, str(path.absolute()), status.st_size, status.st_mtime_ns, request]
        name = hashlib.sha256(json.dumps(known).encode()).hexdigest()
        entry = self._folder / name[:2] / f"{name}.npz"
        frames = _read(entry)
        if frames is None:
            frames = decode()
            if self._has_room(frames.pixels.nbytes):
                _write(entry, frames)
        elif self._limit_bytes is not None:
            with suppress(OSError):  # a file system that cannot be written to
                entry.touch(exist_ok=True)
        return frames

    def _has_room(self, num_bytes: int) -> bool:
        """Whether an entry of this size may be written; makes room for it by eviction."""
        if self._limit_bytes is None:
            return True
        if not self._is_full and self._left_bytes < num_bytes:
            share = max(num_bytes, self._limit_bytes // _SHARES)
            self._left_bytes = min(self._make_room(share), share)
            self._is_full = self._left_bytes < num_bytes
        if self._is_full:
            return False
        self._left_bytes -= num_bytes
        return True

    def _make_room(self, wanted_bytes: int) -> int:
        """Evict least recently read entries until so much is free; returns the free bytes."""
        assert self._limit_bytes is not None
        files = []
        for path in self._folder.glob("*/*"):
            with suppress(FileNotFoundError):  # another process has removed or renamed it
                status = path.stat()
                files.append((status.st_mtime, status.st_size, path))
        free_bytes = self._limit_bytes - sum(size for _, size, _ in files)
        for read_at, size, path in sorted(files):
            if free_bytes >= wanted_bytes or read_at >= self._since:
                break
            path.unlink(missing_ok=True)
            free_bytes += size
        return free_bytes


def _write(entry: Path, frames: Frames) -> None:
    metadata = {"duration": frames.duration_seconds, "source": frames.source,
            "warnings": frames.warnings}  # fmt: skip
    try:
        with writing(entry, by_many=True) as unfinished, unfinished.open("wb") as file:
            np.savez(
                file,
                pixels=frames.pixels,
                timestamps_seconds=frames.timestamps_seconds,
                indices=frames.indices,
                told=np.frombuffer(json.dumps(metadata).encode(), np.uint8),
            )
    except OSError as error:
        raise InputError(
            f"{entry.parent} cannot take decoded frames ({error.strerror}); make room or leave "
            "out frames_cache"
        ) from error


def _read(entry: Path) -> Frames | None:
    """The frames of an entry; None if there is none or it does not match its checksums."""
    try:
        with np.load(entry) as arrays:
            metadata = json.loads(arrays["told"].tobytes())
            return Frames(
                pixels=arrays["pixels"],
                timestamps_seconds=arrays["timestamps_seconds"],
                indices=arrays["indices"],
                duration_seconds=metadata["duration"],
                source=metadata["source"],
                warnings=tuple(metadata["warnings"]),
            )
    except FileNotFoundError:
        return None
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, KeyError, OSError):
        return None  # damaged: zip files have a checksum for each array
