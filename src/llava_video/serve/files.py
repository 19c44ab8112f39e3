"""Uploaded files: in a folder of the server's, by owner, bounded in bytes, number and age."""

from __future__ import annotations

import hashlib
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from threading import Lock
from typing import BinaryIO

from llava_video.serve.settings import FileLimits
from llava_video.web.errors import HttpError

_COPY_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class UploadedFile:
    """A file that a client has sent.

    Attributes:
        file_id: by which clients name it; it cannot be guessed.
        owner: who sent it, and alone may use it.
        name: that the client gave, without folders and control characters.
        purpose: that the client gave.
        path: where it is.
        digest: SHA-256 of its bytes.
        num_bytes: its size.
        created: seconds since 1970.
        stored_at: on a clock that is never set back.
    """

    file_id: str
    owner: str
    name: str
    purpose: str
    path: Path
    digest: str
    num_bytes: int
    created: int = field(default_factory=lambda: int(time.time()))
    stored_at: float = field(default_factory=time.monotonic)


class UploadedFiles:
    """Keeps uploaded files.

    Args:
        folder: the server's own; removed at the end.
        limits: of all files together.
    """

    def __init__(self, folder: Path, limits: FileLimits) -> None:
        self._folder = folder
        self._limits = limits
        self._files: dict[str, UploadedFile] = {}
        self._incoming_bytes = 0
        self._lock = Lock()
        folder.mkdir(parents=True, exist_ok=True)

    def add(
        self, content: BinaryIO, num_bytes: int, *, owner: str, name: str, purpose: str
    ) -> UploadedFile:
        """Store what a client sends.

        Raises:
            HttpError: it is empty, or there is no room.
        """
        if num_bytes == 0:
            raise HttpError(400, "the file is empty", param="file")
        self._make_room(num_bytes)
        file_id = f"file-{secrets.token_hex(16)}"
        path = self._folder / file_id
        try:
            digest = _copy(content, path)
        except OSError as error:
            path.unlink(missing_ok=True)
            raise HttpError(507, "the server has no room for files; try a smaller one") from error
        finally:
            with self._lock:
                self._incoming_bytes -= num_bytes
        stored = UploadedFile(file_id, owner, harmless_name(name), purpose, path, digest, num_bytes)
        with self._lock:
            self._files[file_id] = stored
        return stored

    def get(self, file_id: str, owner: str) -> UploadedFile:
        """The file of an owner.

        Raises:
            HttpError: 404, it has none by this id.
        """
        self.remove_old()
        with self._lock:
            found = self._files.get(file_id)
        if found is None or found.owner != owner:
            raise HttpError(404, "there is no file of this id; upload it again", param="file_id")
        return found

    def of(self, owner: str) -> list[UploadedFile]:
        """Files of an owner, newest first."""
        self.remove_old()
        with self._lock:
            return [file for file in reversed(self._files.values()) if file.owner == owner]

    def delete(self, file_id: str, owner: str) -> None:
        """Remove the file of an owner; see `get`."""
        found = self.get(file_id, owner)
        self._remove([found])

    def remove_old(self) -> None:
        """Remove files that have reached their age."""
        oldest = time.monotonic() - self._limits.age_seconds
        with self._lock:
            old = [file for file in self._files.values() if file.stored_at < oldest]
        self._remove(old)

    def close(self) -> None:
        """Remove everything."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _make_room(self, num_bytes: int) -> None:
        """Count a file in before it is copied."""
        self.remove_old()
        with self._lock:
            held = sum(file.num_bytes for file in self._files.values()) + self._incoming_bytes
            if held + num_bytes > self._limits.total_bytes:
                raise HttpError(507, "the server's files are full; delete some of yours first")
            if len(self._files) >= self._limits.num_files:
                raise HttpError(507, "the server has too many files; delete some of yours first")
            self._incoming_bytes += num_bytes

    def _remove(self, files: list[UploadedFile]) -> None:
        for file in files:
            with self._lock:
                self._files.pop(file.file_id, None)
            file.path.unlink(missing_ok=True)


def harmless_name(name: str) -> str:
    """The last part of a name, without control characters, at most 120 characters."""
    last = PurePosixPath(name.replace("\\", "/")).name
    return re.sub(r"[^\w.,;()+=@ -]", "_", last)[:120] or "file"


def _copy(content: BinaryIO, path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("xb") as target:
        for chunk in _chunks(content):
            digest.update(chunk)
            target.write(chunk)
    return digest.hexdigest()


def _chunks(content: BinaryIO) -> Iterator[bytes]:
    while chunk := content.read(_COPY_BYTES):
        yield chunk
