"""The video files of a benchmark: names in annotations to files below a folder."""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path, PurePosixPath

from llava_video.errors import InputError, VideoError
from llava_video.records.suffixes import VIDEO_SUFFIXES


class VideoFolder:
    """Finds videos by the names that annotations give them.

    Folders between ``root`` and the file need not be those of the annotations, and the suffix may
    be another or missing, as benchmarks are unpacked in many ways.

    Args:
        root: folder of the videos, looked through once.

    Raises:
        InputError: there is no such folder.
    """

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            raise InputError(f"{root}: there is no such folder; give --videos DIR")
        self.root = root
        self.files: list[Path] = []
        self._by_stem: dict[str, list[Path]] = defaultdict(list)
        self._folders: dict[str, Path] = {}
        for folder, folders, files in os.walk(root, followlinks=True):
            for name in sorted(files):
                path = Path(folder, name)
                if path.suffix.lower() in VIDEO_SUFFIXES:
                    self.files.append(path)
                    self._by_stem[path.stem.casefold()].append(path)
            self._folders |= {name.casefold(): Path(folder, name) for name in folders}
        self.files.sort()

    def find(self, name: str) -> Path:
        """The file of a video.

        Args:
            name: as the annotations have it: a path, with or without folders and suffix.

        Raises:
            VideoError: there is none, several fit, or it is a folder of pictures.
        """
        wanted = PurePosixPath(name)
        exact = self.root / name.lstrip("/")
        if exact.is_file():
            return exact
        is_suffix = wanted.suffix.lower() in VIDEO_SUFFIXES
        stem = wanted.stem if is_suffix else wanted.name
        found = self._by_stem.get(stem.casefold(), [])
        if len(found) > 1:
            found = _most_alike(wanted.with_name(stem), found)
        if len(found) == 1:
            return found[0]
        if found:
            paths = ", ".join(map(str, found[:3]))
            raise VideoError(f"{name}: {len(found)} videos have this name ({paths}); keep one")
        if stem.casefold() in self._folders:
            raise VideoError(
                f"{self._folders[stem.casefold()]}: a folder of pictures, not a video; make one of "
                "it, such as with ffmpeg -framerate 3 -i %05d.jpg"
            )
        raise VideoError(f"{name}: no such video below {self.root}")


def _most_alike(wanted: PurePosixPath, found: list[Path]) -> list[Path]:
    """The paths that share most folders with the wanted one, counted from the file."""

    def num_shared(path: Path) -> int:
        pairs = zip(reversed(wanted.parent.parts), reversed(path.parent.parts), strict=False)
        shared = 0
        for a, b in pairs:
            if a != b:
                break
            shared += 1
        return shared

    most = max(map(num_shared, found))
    return [path for path in found if num_shared(path) == most]
