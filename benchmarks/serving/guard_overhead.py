"""What it costs to read a video in a process of its own rather than in the server's.

python benchmarks/serving/guard_overhead.py [VIDEO ...]    by default the sample videos

Reads each file in turns, in this process (`video.read_video`) and through the guard, and prints the
median milliseconds of both, and of their difference.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path

from llava_video.chat.protocol import Sampling
from llava_video.serve.media import MediaGuard, MediaLimits, MediaSource, StoredFile
from llava_video.video import read_video
from llava_video.video.index import _index_version

SAMPLES = Path(__file__).parents[2] / "src/llava_video/assets/samples"
NUM_FRAMES = 16
SIZE = (384, 384)
NUM_TURNS = 9


def main() -> None:
    files = [Path(name).resolve() for name in sys.argv[1:]] or sorted(SAMPLES.glob("*.mp4"))
    for file in files:
        with tempfile.TemporaryDirectory() as folder:
            guard = MediaGuard(MediaSource(file.parent), MediaLimits(), Path(folder) / "media")
            stored = guard.fetch(file.name)
            guard.probe(stored)  # the forkserver has started
            turns = [(_alone(file), _guarded(guard, stored, turn)) for turn in range(NUM_TURNS)]
            guard.close()
        alone = statistics.median(turn[0] for turn in turns)
        guarded = statistics.median(turn[1] for turn in turns)
        more = statistics.median(second - first for first, second in turns)
        print(
            f"{file.name}: here {alone:.0f} ms, guarded {guarded:.0f} ms, difference {more:.0f} ms"
        )


def _alone(file: Path) -> float:
    _index_version.cache_clear()  # a new process has none either
    start = time.perf_counter()
    read_video(file, num_frames=NUM_FRAMES, size=SIZE)
    return 1e3 * (time.perf_counter() - start)


def _guarded(guard: MediaGuard, stored: StoredFile, turn: int) -> float:
    sampling = Sampling(start_seconds=turn / 1e6)  # nothing is kept for this
    start = time.perf_counter()
    guard.read_video(stored, sampling, max_frames=NUM_FRAMES, size=SIZE)
    return 1e3 * (time.perf_counter() - start)


if __name__ == "__main__":
    main()
