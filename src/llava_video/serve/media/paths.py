"""Local files below one folder, opened component by component so that no link leads out of it."""

from __future__ import annotations

import os
import stat
from pathlib import Path, PurePosixPath
from urllib.parse import unquote_to_bytes, urlsplit

from llava_video.errors import MediaRefused

_MAX_CHARACTERS = 4096

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


def parts_of(address: str, root: Path | None) -> tuple[str, ...]:
    """The components of a local path below a folder; nothing is looked up.

    Args:
        address: a path, absolute or from the folder on, or a ``file:`` address, whose per cent
            escapes are decoded once.
        root: the folder, absolute.

    Raises:
        MediaRefused: there is no folder, or the path does not lie below it.
    """
    if root is None:
        raise MediaRefused("local files are not read here; upload the file", 403)
    path = _path_of(address)
    if not path or len(path) > _MAX_CHARACTERS or not path.isprintable() or "\\" in path:
        raise MediaRefused("this is no name of a file below the media folder", 400)
    parts = path.split("/")
    if ".." in parts:
        raise MediaRefused("a path with .. is not read; name the file from its folder on", 403)
    pure = PurePosixPath(path)
    if pure.is_absolute():
        if not pure.is_relative_to(root):
            raise MediaRefused("this path does not lie below the media folder", 403)
        pure = pure.relative_to(root)
    if not pure.parts:
        raise MediaRefused("this path names no file", 400)
    return pure.parts


def _path_of(address: str) -> str:
    if address[:5].lower() != "file:":
        return address
    try:
        parts = urlsplit(address)
        path = unquote_to_bytes(parts.path).decode()
    except ValueError as error:
        raise MediaRefused("this is no file: address", 400) from error
    if parts.netloc.lower() not in ("", "localhost"):
        raise MediaRefused("this file is on another machine; only files here are read", 403)
    if parts.query or parts.fragment or not path.startswith("/"):
        raise MediaRefused("write a file: address as file:///folder/file", 400)
    return path


def open_below(root: Path, parts: tuple[str, ...]) -> int:
    """A descriptor of a regular file below a folder; no component is a link.

    Raises:
        MediaRefused: there is no such file, or it is something else.
    """
    missing = "there is no such file below the media folder"
    try:
        folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise MediaRefused("the media folder cannot be read now", 503) from error
    try:
        for part in parts[:-1]:
            inner = os.open(part, _FOLDER, dir_fd=folder)
            os.close(folder)
            folder = inner
        if not stat.S_ISREG(os.stat(parts[-1], dir_fd=folder, follow_symlinks=False).st_mode):
            raise MediaRefused("only regular files are read, no links, folders or devices", 403)
        file = os.open(parts[-1], _FILE, dir_fd=folder)
    except OSError as error:
        raise MediaRefused(missing, 404) from error
    finally:
        os.close(folder)
    return checked_regular(file)


def open_owned(path: Path) -> int:
    """A descriptor of a file that the server made.

    Raises:
        MediaRefused: it is gone.
    """
    try:
        return checked_regular(os.open(path, _FILE))
    except OSError as error:
        raise MediaRefused("this file is no longer there; send it again", 404) from error


def checked_regular(file: int) -> int:
    """The descriptor, if what was opened is a regular file; closes it if not.

    Raises:
        MediaRefused: it is something else.
    """
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise MediaRefused("only regular files are read, no links, folders or devices", 403)
    return file
