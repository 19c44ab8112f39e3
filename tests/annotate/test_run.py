"""After kill -9 anywhere, a run pays for no finished call again and ends with the same bytes."""

from __future__ import annotations

import io
import random
import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from multiprocessing.process import BaseProcess as Process
from pathlib import Path

from rich.console import Console

from llava_video.annotate.recipe import Recipe, load_recipe
from llava_video.annotate.run import run
from tests.annotate.fake_endpoint import FakeEndpoint
from tests.annotate.make_videos import write_video
from tests.annotate.running import outputs
from tests.forked import fork

NUM_KILLS = 24
CONCURRENCY = 2


def recipe_for(url: str) -> Recipe:
    return load_recipe(
        "open",
        [
            f"endpoint.base_url={url}",
            "endpoint.model=gpt-4o",
            f"endpoint.concurrency={CONCURRENCY}",
            "describe.image_max_side=32",
            "ask.types=[temporal, count]",
            "filters.across_videos_similarity=",
        ],
    )


def run_quietly(videos: str, url: str, out: str) -> None:
    run([videos], recipe_for(url), Path(out), console=Console(file=io.StringIO()))


def committed_keys(folder: Path) -> set[str]:
    path = folder / "ledger.sqlite"
    if not path.is_file():
        return set()
    with sqlite3.connect(path) as ledger:
        tables = ledger.execute("SELECT name FROM sqlite_master WHERE name = 'calls'").fetchall()
        return {row[0] for row in ledger.execute("SELECT key FROM calls")} if tables else set()


def run_with_kills(
    start: Callable[[], Process], out: Path, fake: FakeEndpoint, dice: random.Random
) -> int:
    """Run to the end, killed at up to twelve random moments on the way; returns how many.

    What the ledger holds after a kill must never be asked for again.
    """
    num_kills = 0
    settled: Counter[str] = Counter()
    while True:
        child = start()
        child.join(dice.uniform(0.0, 0.2) if num_kills < 12 else 30)
        for key, times in settled.items():
            assert fake.answered[key] == times, f"{key} was paid for again"
        if child.exitcode is not None:
            assert child.exitcode == 0
            return num_kills
        child.kill()
        child.join()
        num_kills += 1
        settled = Counter({key: fake.answered[key] for key in committed_keys(out)})
        assert all(settled.values()), "committed without an answer"


def test_killed_runs_resume_without_paying_twice_and_end_with_the_same_bytes(tmp_path):
    videos = tmp_path / "videos"
    for seed, seconds in enumerate((3, 14, 33)):
        write_video(videos / f"v{seed}.mp4", seconds=seconds, size=(32, 48), seed=seed)
    dice = random.Random(7)
    num_kills = 0
    with FakeEndpoint(delay_seconds=0.003) as fake:
        run_quietly(str(videos), fake.url, str(tmp_path / "reference"))
        reference = outputs(tmp_path / "reference")
        num_calls = len(committed_keys(tmp_path / "reference"))
        assert fake.num_requests == num_calls
        while num_kills < NUM_KILLS:
            out = tmp_path / f"after{num_kills}"

            def start(out: Path = out) -> Process:
                return fork(run_quietly, str(videos), fake.url, str(out))

            time.sleep(0.05)  # what killed runs had asked has been answered by now
            fake.answered.clear()
            kills_here = run_with_kills(start, out, fake, dice)
            assert sum(fake.answered.values()) <= num_calls + kills_here * CONCURRENCY
            assert outputs(out) == reference
            num_kills += kills_here
