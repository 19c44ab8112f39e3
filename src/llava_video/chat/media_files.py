"""Videos and images by name: what each is, where several are, and whether a file has changed."""

from __future__ import annotations

import glob
import hashlib
import mimetypes
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from llava_video.errors import InputError
from llava_video.records.suffixes import is_video, videos_below

MediaKind = Literal["video", "image"]

_MATROSKA = b"\x1a\x45\xdf\xa3"

_VIDEO_BRANDS = (b"iso", b"mp4", b"avc1", b"M4V ", b"qt  ", b"3g")
"""Of ISO media files, which may hold pictures too (AVIF, HEIF)."""

_MOVING = {"GIF", "PNG", "WEBP", "AVIF"}
"""Formats of pictures that may move."""


@dataclass(frozen=True, slots=True)
class FileIdentity:
    """The content of a file: its size and its SHA-256."""

    num_bytes: int
    sha256: str

    @classmethod
    def of(cls, file: Path) -> FileIdentity:
        """Reads the whole file."""
        with file.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
            return cls(os.fstat(content.fileno()).st_size, digest)


def stamp_of(file: Path) -> tuple[int, int]:
    """Size in bytes and time of change in nanoseconds, which tell an edited file at once.

    Raises:
        InputError: there is no such file.
    """
    try:
        status = file.stat()
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror}); check the path") from error
    return status.st_size, status.st_mtime_ns


def is_address(name: str) -> bool:
    """Whether a name is an address (``https:``, ``file:``, ``data:``) rather than a path."""
    return "://" in name or name.startswith("data:")


def kind_of(name: str) -> MediaKind:
    """Whether a file or an address shows a video or an image.

    Files are told by their first bytes: a still picture that PIL knows is an image; a GIF and
    everything else, missing files too, is left to the reader of videos. Addresses are told by
    their suffix or their type.
    """
    if is_address(name):
        guess = name if name.startswith("data:") else urlsplit(name).path
        kind = mimetypes.guess_type(guess)[0] or ""
        return "image" if kind.startswith("image/") and kind != "image/gif" else "video"
    if _is_video_container(Path(name)):
        return "video"
    from PIL import Image  # asks each of its formats, and imports them for that

    try:
        with Image.open(name) as picture:
            may_move = picture.format == "GIF" or getattr(picture, "is_animated", False)
            return "video" if picture.format in _MOVING and may_move else "image"
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return "video"


def _is_video_container(file: Path) -> bool:
    """Whether the first bytes are those of Matroska, WebM or a film as an ISO media file."""
    try:
        with file.open("rb") as content:
            start = content.read(12)
    except (OSError, ValueError):
        return False
    is_film = start[4:8] == b"ftyp" and start[8:].startswith(_VIDEO_BRANDS)
    return is_film or start.startswith(_MATROSKA)


def is_several(name: str) -> bool:
    """Whether a name is a folder or a pattern, which stand for any number of videos."""
    if is_address(name) or Path(name).is_file():
        return False
    return Path(name).is_dir() or glob.has_magic(name)


def find_videos(names: Sequence[str]) -> list[str]:
    """Files, and the videos of folders and patterns, in the order named, each path once.

    Raises:
        InputError: a folder holds no video, or a pattern matches none.
    """
    found: dict[str, str] = {}
    for name in names:
        videos = _videos_of(name) if is_several(name) else [name]
        for video in videos:
            found.setdefault(video if is_address(video) else str(Path(video).absolute()), video)
    return list(found.values())


def _videos_of(name: str) -> list[str]:
    folder = Path(name)
    if folder.is_dir():
        paths = videos_below(folder)
        if not paths:
            raise InputError(f"{name}: no video in this folder; name one that holds videos")
        return [str(path) for path in paths]
    matches = sorted(glob.glob(name, recursive=True))  # noqa: PTH207  (patterns may be absolute)
    videos = [match for match in matches if is_video(Path(match))]
    if not videos:
        raise InputError(f"{name}: no video matches this pattern; check it")
    return videos


def same_files(names: Sequence[str]) -> list[list[str]]:
    """Names grouped by the content of their files, in order of the first name of each group.

    Only files of the same size are read. Addresses and files that are missing stand alone.
    """
    sizes: dict[str, int] = {}
    for name in names:
        if not is_address(name) and Path(name).is_file():
            sizes[name] = Path(name).stat().st_size
    groups: dict[object, list[str]] = {}
    for name in names:
        key: object = name
        if name in sizes and list(sizes.values()).count(sizes[name]) > 1:
            key = FileIdentity.of(Path(name))
        groups.setdefault(key, []).append(name)
    return list(groups.values())


def refuse_repeated(names: Sequence[str]) -> None:
    """Check that no video or image is shown twice in one conversation.

    Raises:
        InputError: two names lead to the same content.
    """
    unique = list(dict.fromkeys(names))
    if len(unique) < len(names):
        repeated = next(name for name in unique if list(names).count(name) > 1)
        raise InputError(f"{repeated}: named twice; name each video once")
    for first, *others in same_files(unique):
        if others:
            raise InputError(f"{others[0]}: the same file as {first}; name each video once")
