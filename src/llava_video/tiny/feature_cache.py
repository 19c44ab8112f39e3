"""A cache of vision features on disk, so that a frozen vision encoder runs once per clip."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from llava_video.errors import InputError
from llava_video.records.files import writing
from llava_video.types import Frames

CONTENTS_FILE = "contents.txt"
CLIPS_PER_FILE = 1000
_CLIPS_PER_PASS = 16


@dataclass(frozen=True, slots=True)
class ClipStore:
    """Features of numbered clips, memory-mapped.

    Attributes:
        files: ``(CLIPS_PER_FILE, T, M, C)`` float16 each; the last may be shorter.
    """

    files: tuple[NDArray[np.float16], ...]

    def __len__(self) -> int:
        return sum(len(file) for file in self.files)

    def __getitem__(self, clip: int) -> NDArray[np.float16]:
        """Features (T, M, C) of one clip."""
        features: NDArray[np.float16] = self.files[clip // CLIPS_PER_FILE][clip % CLIPS_PER_FILE]
        return features


def fill_store(
    folder: Path,
    contents: str,
    num_clips: int,
    draw: Callable[[int], Frames],
    encode: Callable[[Sequence[Frames]], Tensor],
) -> ClipStore:
    """Encode clips 0 to ``num_clips`` - 1; files finished by an earlier run are kept.

    Args:
        folder: where the files are.
        contents: identifies this store.
        num_clips: size of the store.
        draw: draws the clip of a number, deterministically.
        encode: features (N, T, M, C) of N clips.

    Raises:
        InputError: the folder holds another store.
    """
    folder.mkdir(parents=True, exist_ok=True)
    name = folder / CONTENTS_FILE
    if name.is_file() and name.read_text(encoding="utf-8") != contents:
        raise InputError(f"{folder} holds features of other clips (see {name}); remove it")
    name.write_text(contents, encoding="utf-8")
    files = []
    for first in range(0, num_clips, CLIPS_PER_FILE):
        path = folder / f"{first:07d}.npy"
        if not path.is_file():
            numbers = range(first, min(first + CLIPS_PER_FILE, num_clips))
            features = [
                encode([draw(number) for number in numbers[i : i + _CLIPS_PER_PASS]])
                for i in range(0, len(numbers), _CLIPS_PER_PASS)
            ]
            with writing(path, by_many=True) as unfinished, unfinished.open("wb") as file:
                np.save(file, np.concatenate([part.half().cpu().numpy() for part in features]))
        files.append(np.load(path, mmap_mode="r"))
    return ClipStore(tuple(files))
