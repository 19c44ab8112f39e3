"""The folder of downloads and of files from ``data:`` addresses."""

from __future__ import annotations

import contextlib
import gc
import hashlib
import os
import secrets
import shutil
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from llava_video.errors import MediaRefused
from llava_video.serve.media.limits import StoredFile

_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_FULL = "the server has no room for this file now; ask again later"


class Writing:
    """A file that is being written, and its digest."""

    def __init__(self, file: BinaryIO, folder: MediaFolder) -> None:
        self._file = file
        self._folder = folder
        self.digest = hashlib.sha256()
        self.num_bytes = 0

    def write(self, data: bytes) -> None:
        """Add bytes.

        Raises:
            MediaRefused: there is no room for them.
        """
        self._folder.take(len(data))
        self.num_bytes += len(data)
        self.digest.update(data)
        try:
            self._file.write(data)
        except OSError as error:  # the disk is full
            raise MediaRefused(_FULL, 503) from error


class MediaFolder:
    """Files that requests brought; each is removed as soon as nothing holds its `StoredFile`.

    Args:
        folder: made where it is missing, with all that is in it removed at the end.
        max_bytes: of all files at a time.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self.path = folder
        self._max_bytes = max_bytes
        self._lock = threading.RLock()  # a file may be removed whenever memory is collected
        self._num_bytes = 0

    @property
    def num_bytes(self) -> int:
        """What the files hold now."""
        return self._num_bytes

    def take(self, num_bytes: int) -> None:
        """Count bytes that are about to be written.

        Raises:
            MediaRefused: there is no room.
        """
        with self._lock:
            if self._num_bytes + num_bytes > self._max_bytes:
                gc.collect()  # tracebacks hold files in circles
            if self._num_bytes + num_bytes > self._max_bytes:
                raise MediaRefused(_FULL, 503)
            self._num_bytes += num_bytes

    def store(self, fill: Callable[[Writing], str]) -> StoredFile:
        """A new file.

        Args:
            fill: writes it and returns its name for messages.

        Raises:
            MediaRefused: there is no room for it, or ``fill`` says so.
        """
        path = self.path / secrets.token_hex(16)
        writing: Writing | None = None
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            with os.fdopen(os.open(path, _NEW_FILE, 0o600), "wb") as file:
                writing = Writing(file, self)
                name = fill(writing)
            made = StoredFile(path, writing.digest.hexdigest(), name, writing.num_bytes)
        except BaseException as error:
            self._remove(path, writing.num_bytes if writing else 0)
            if isinstance(error, OSError):
                raise MediaRefused(_FULL, 503) from error
            raise
        weakref.finalize(made, self._remove, path, writing.num_bytes)
        return made

    def _remove(self, path: Path, num_bytes: int) -> None:
        with self._lock:
            self._num_bytes -= num_bytes
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)

    def close(self) -> None:
        """Remove the folder and what is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
