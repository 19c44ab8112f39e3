"""Which files of a folder are videos: by their suffix, since opening every file takes too long."""

from __future__ import annotations

from pathlib import Path

VIDEO_SUFFIXES = frozenset(
    f".{name}"
    for name in "mp4 mkv webm mov avi m4v mpg mpeg ogv ts flv wmv 3gp gif".split()  # noqa: SIM905
)
"""In lower case, with their full stop."""


def is_video(path: Path) -> bool:
    """Whether it is a file with the suffix of a video."""
    return path.suffix.lower() in VIDEO_SUFFIXES and path.is_file()


def videos_below(folder: Path) -> list[Path]:
    """Videos at any depth, in name order; hidden files and folders are left out."""
    return sorted(
        path
        for path in folder.rglob("*")
        if is_video(path)
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
