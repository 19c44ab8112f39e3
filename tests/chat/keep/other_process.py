"""A process that keeps a model, of another version of llava-video or on a machine of less memory.

Run by tests: ``python -m tests.chat.keep.other_process version|memory`` and what
`llava_video.chat.keep.process` takes.
"""

import sys
from pathlib import Path

from llava_video.chat.keep import process
from llava_video.chat.keep.place import Place


def _little_memory_beside(place: Place) -> None:
    """As long as a process is there, one MiB is free."""
    from llava_video.budget import planner

    free_memory_bytes = planner.free_memory_bytes

    def free(device: object) -> int | None:
        return 1 << 20 if place.is_held() else free_memory_bytes(device)  # type: ignore[arg-type]

    planner.free_memory_bytes = free  # type: ignore[assignment]


if __name__ == "__main__":
    kind = sys.argv.pop(1)
    if kind == "version":
        process.PROGRAM = "0.0.1 elsewhere"  # type: ignore[misc]
    else:
        _little_memory_beside(Place(Path(sys.argv.pop(1))))
    process.main()
