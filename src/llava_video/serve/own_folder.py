"""A folder for uploads and downloads, which is removed even after a server that was killed."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PREFIX = "llava-video-serve-"
_LOCK = "lock"


@contextmanager
def own_folder(parent: Path | None = None) -> Iterator[Path]:
    """A folder of this server's own while the block lasts; those of servers that died go first.

    A server holds a lock on its folder, which the system takes from a process that ends, however it
    ends.

    Args:
        parent: where to make it; by default the system's place for temporary files.
    """
    parent = parent or Path(tempfile.gettempdir())
    for folder in parent.glob(f"{PREFIX}*"):
        _remove_if_left(folder)
    while True:
        with tempfile.TemporaryDirectory(prefix=PREFIX, dir=parent) as name:
            folder = Path(name)
            with (folder / _LOCK).open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                if os.fstat(lock.fileno()).st_nlink:  # else another has taken it for left
                    yield folder
                    return


def _remove_if_left(folder: Path) -> None:
    try:
        if folder.lstat().st_uid != os.getuid():
            return
        with (folder / _LOCK).open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
    except OSError:  # somebody's, being made, or gone
        return
