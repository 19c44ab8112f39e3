"""Decoded frames on disk, so that a video is decoded once for all epochs and runs.

An entry is a file named after everything that its frames depend on: the video's path, size and time
of change, and how it is sampled. It appears by renaming, whole or not at all, however many
processes write it and whenever they are killed. What it holds is checked when it is read; an entry
that was damaged later is decoded and written again.
"""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from llava_video.errors import InputError
from llava_video.train.shards import file_of
from llava_video.types import Frames

_FORMAT = 1
"""To be raised when the frames of the same request change."""


@dataclass(frozen=True, slots=True)
class FramesCache:
    """A folder of decoded frames.

    Attributes:
        folder: where entries are; made when the first is written.
    """

    folder: Path

    def get(self, path: Path, request: Any, decode: Callable[[], Frames]) -> Frames:
        """The frames of a video, decoded now if they are not here.

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
        entry = self.folder / name[:2] / f"{name}.npz"
        frames = _read(entry)
        if frames is None:
            frames = decode()
            _write(entry, frames)
        return frames


def _write(entry: Path, frames: Frames) -> None:
    unfinished = entry.with_name(f"{entry.stem}.{os.getpid()}.unfinished")
    told = {"duration": frames.duration_seconds, "source": frames.source,
            "warnings": frames.warnings}  # fmt: skip
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        with unfinished.open("wb") as file:
            np.savez(
                file,
                pixels=frames.pixels,
                timestamps_seconds=frames.timestamps_seconds,
                indices=frames.indices,
                told=np.frombuffer(json.dumps(told).encode(), np.uint8),
            )
        unfinished.replace(entry)
    except OSError as error:
        with suppress(OSError):
            unfinished.unlink()
        raise InputError(
            f"{entry.parent} cannot take decoded frames ({error.strerror}); make room or leave "
            "out frames_cache"
        ) from error


def _read(entry: Path) -> Frames | None:
    """The frames of an entry; None if there is none or it does not match its checksums."""
    try:
        with np.load(entry) as arrays:
            told = json.loads(arrays["told"].tobytes())
            return Frames(
                pixels=arrays["pixels"],
                timestamps_seconds=arrays["timestamps_seconds"],
                indices=arrays["indices"],
                duration_seconds=told["duration"],
                source=told["source"],
                warnings=tuple(told["warnings"]),
            )
    except FileNotFoundError:
        return None
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, KeyError, OSError):
        return None  # damaged: zip files have a checksum for each array
