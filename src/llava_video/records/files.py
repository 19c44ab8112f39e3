"""Files and folders written whole: a name always holds the old version or the new one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from llava_video.errors import InputError


@contextmanager
def writing(target: Path, *, by_many: bool = False) -> Iterator[Path]:
    """A hidden path beside ``target`` to write a file or a folder to.

    When the block ends, what was written takes the name of ``target``; when it raises, it is
    removed and ``target`` stays as it was. This holds for a process that is killed, not for a power
    cut: nothing waits for the disk. What a killed process leaves is overwritten the next time. Its
    suffix is its own, so that no listing takes it for a finished file.

    Args:
        target: the file or the folder.
        by_many: whether several processes may write it at a time; the last one wins, and what a
            killed one leaves stays.

    Raises:
        OSError: it cannot be written there, or ``target`` is a folder with files in it.
    """
    path = target.absolute()  # the name is its own, also where it is "." or ends in ".."
    writer = f".{os.getpid()}" if by_many else ""
    unfinished = path.with_name(f".{path.name}{writer}.unfinished")
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove(unfinished)
    try:
        yield unfinished
        unfinished.replace(path)
    finally:
        with suppress(OSError):
            _remove(unfinished)


@contextmanager
def hold_folder(folder: Path, remedy: str) -> Iterator[None]:
    """Keep other processes that ask for the same out of a folder while the block lasts.

    The system lets go of it when the process ends, however it ends. Where the system or the file
    system has no such locks (Windows), no process is kept out.

    Args:
        folder: which is made.
        remedy: what to do where another process holds it.

    Raises:
        InputError: another process holds it, or it cannot be written.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("w")
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({error.strerror})") from error
    with lock:
        try:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # which children do not inherit
        except (BlockingIOError, PermissionError) as error:
            raise InputError(f"{folder}: another process is at work there; {remedy}") from error
        except OSError:
            pass
        yield


def write_whole(path: Path, content: str | bytes) -> None:
    """Replace a file by text (UTF-8) or bytes; see `writing`.

    Raises:
        InputError: it cannot be written there.
    """
    try:
        with writing(path) as unfinished:
            unfinished.write_bytes(content.encode() if isinstance(content, str) else content)
    except OSError as error:
        raise InputError(
            f"{path}: cannot be written ({error.strerror}); make room or choose another folder"
        ) from error


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
