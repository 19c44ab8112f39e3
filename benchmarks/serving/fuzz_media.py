"""Damaged files through the server's media guard: how many, how they end, and what ends with them.

python benchmarks/serving/fuzz_media.py --num-files 10000 --first-seed 0

Each file is a sound one of 19 codecs and pictures with seeded damage, by
`tests/serve/attacks/fuzz.py`. Exits with 1 if the process that forks readers ended, or a file was
neither read nor refused.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.serve.attacks.fuzz import read_all

from llava_video.serve.media import MediaGuard, MediaLimits, MediaSource

PER_LINE = 500


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--num-files", type=int, default=10_000)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    counts: Counter[str] = Counter()
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        limits = MediaLimits(max_pixels_per_frame=1 << 22, max_memory_bytes=1 << 30)
        guard = MediaGuard(MediaSource(folder), limits, folder / "folder")
        servers = {guard.decoders.process_id()}
        last = options.first_seed + options.num_files
        for first in range(options.first_seed, last, PER_LINE):
            counts += read_all(
                guard, folder, range(first, min(first + PER_LINE, last)), options.threads
            )
            servers.add(guard.decoders.process_id())
            seconds = time.monotonic() - start
            print(f"{sum(counts.values())} files in {seconds:.0f} s: {dict(counts)}", flush=True)
        guard.close()
    num_deaths = len(servers) - 1
    print(f"{num_deaths} ends of the forkserver; ends of readers: {dict(guard.decoders.ends)}")
    if num_deaths or not set(counts) <= {"read", "refused 413", "refused 422"}:
        sys.exit(1)


if __name__ == "__main__":
    main()
