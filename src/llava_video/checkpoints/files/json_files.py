"""JSON files of a checkpoint, and pointers of git-lfs that lie in the place of a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from llava_video.errors import CheckpointError

_POINTER = b"version https://git-lfs"


def refuse_pointer(path: Path) -> None:
    """Refuse the few lines that git leaves where git-lfs did not fetch a file.

    Raises:
        CheckpointError: the file is such a pointer.
    """
    with path.open("rb") as file:
        is_pointer = file.read(len(_POINTER)) == _POINTER
    if is_pointer:
        raise CheckpointError(
            f"{path} is a pointer of git-lfs and not the file itself; run 'git lfs pull' in its "
            "folder, or download the file again"
        )


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
        CheckpointError: the file is missing, a pointer of git-lfs, cut short, or no JSON object.
    """
    if not path.is_file():
        raise CheckpointError(f"{path.parent} has no {path.name}, so it is not a checkpoint")
    refuse_pointer(path)
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(f"{path} is not valid JSON ({error}); download it again") from error
    if not isinstance(values, dict):
        raise CheckpointError(f"{path} does not hold a JSON object; download it again")
    return values
