"""Simulated runs of the data engine beside measured ones, and what larger ones would take.

python benchmarks/scale/runs.py measure            predictions, then the runs (--videos 1000)
python benchmarks/scale/runs.py fleets             178K and 10M videos on fleets that are stated
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import multiprocessing
import os
import random
import re
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path

from rich.console import Console

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.annotate.fake_endpoint import completion, write_answer
from tests.annotate.make_videos import write_video

from llava_video.annotate.forecast.calibration import calibrate_rates, measure_picture_seconds
from llava_video.annotate.forecast.forecast import make_forecast
from llava_video.annotate.forecast.simulation import Fleet, Rates, simulate
from llava_video.annotate.recipe import Recipe, load_recipe
from llava_video.annotate.records import Facts, VideoRecord
from llava_video.annotate.run import run
from llava_video.annotate.videos.discover import find_videos
from llava_video.annotate.videos.select import select_videos
from llava_video.calls.ledger import Ledger, open_ledger
from llava_video.calls.pricing import load_prices

CORES = os.cpu_count() or 1
NUM_CALIBRATION = 60


@dataclass(frozen=True)
class Scripted:
    """An endpoint: latencies are lognormal, attempts fail at random, minutes have a limit."""

    mean_seconds: float
    sigma: float = 0.5
    failed_share: float = 0.03
    rpm: int | None = None

    def latency(self, draw: random.Random) -> float:
        median = self.mean_seconds / 2.718281828 ** (self.sigma**2 / 2)
        return median * draw.lognormvariate(0, self.sigma)


SETTINGS = {
    "calls": (Scripted(2.0), 16),
    "requests per minute": (Scripted(1.0, rpm=240), 32),
    "process": (Scripted(0.05), 32),
}
"""What a run waits for, the endpoint, and calls at a time."""


class Answers(asyncio.Protocol):
    """One connection: answers each request after a while, or fails it, or refuses it."""

    script: Scripted
    draw = random.Random(0)
    allowed_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client came."""
        self._transport, self._data, self._length = transport, bytearray(), None

    def data_received(self, data: bytes) -> None:
        """Collect a request, and answer it when it is whole."""
        self._data += data
        if self._length is None and (end := self._data.find(b"\r\n\r\n")) >= 0:
            head = bytes(self._data[:end])
            self._length = int(re.search(rb"content-length: (\d+)", head, re.IGNORECASE)[1])
            self._length += end + 4
            self._head = end + 4
        if self._length is not None and len(self._data) >= self._length:
            body = json.loads(self._data[self._head : self._length])
            self._data, self._length = self._data[self._length :], None
            asyncio.get_running_loop().call_later(*self._answer(body))

    def _answer(self, body: dict) -> tuple:
        script, now = self.script, time.monotonic()
        limits = ""
        if script.rpm:
            limits = f"x-ratelimit-limit-requests: {script.rpm}\r\n"
            spacing = 60 / script.rpm
            if Answers.allowed_at - now > 8:  # seconds of burst
                return 0.0, self._send, 429, {"error": {"message": "slow down"}}, limits
            Answers.allowed_at = max(Answers.allowed_at, now) + spacing
        seconds = script.latency(self.draw)
        if self.draw.random() < script.failed_share:
            return seconds, self._send, 500, {"error": {"message": "scripted"}}, limits
        return seconds, self._send, 200, completion(body, write_answer(body)), limits

    def _send(self, status: int, answer: dict, limits: str) -> None:
        text = json.dumps(answer).encode()
        head = f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n{limits}"
        self._transport.write(f"{head}content-length: {len(text)}\r\n\r\n".encode() + text)


def serve(pipe: Connection, script: Scripted) -> None:
    """The endpoint, in a process of its own."""
    Answers.script = script

    async def listen() -> None:
        server = await asyncio.get_running_loop().create_server(Answers, "127.0.0.1", 0)
        pipe.send(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1")
        await server.serve_forever()

    asyncio.run(listen())


def write_clips(folder: Path, number: int) -> list[Path]:
    draw = random.Random(0)
    paths = []
    for index in range(number):
        seconds, path = draw.choice([8, 14, 24]), folder / f"{index:05d}.mp4"
        if not path.exists():
            write_video(path, seconds=seconds, fps=6, size=(180, 320), seed=index)
        paths.append(path)
    return paths


def timed_run(paths: list[Path], recipe: Recipe, out: Path) -> tuple[float, Ledger]:
    """Seconds of the wall, and the ledger."""
    wall = time.perf_counter()
    result = run([str(path) for path in paths], recipe, out, console=Console(file=io.StringIO()))
    assert result.stopped_by is None, result.stopped_by
    return time.perf_counter() - wall, open_ledger(out)


def calibrate(paths: list[Path], recipe: Recipe, out: Path) -> tuple[Rates, float]:
    """Rates by a small run, and the seconds that the selection of a video takes.

    Latencies and failures are those of its ledger, pictures are timed. What the process itself
    takes for a call is what makes the simulated small run as long as the measured one.
    """
    started = time.perf_counter()
    records = select_videos(find_videos([str(path) for path in paths]), recipe, None)
    select_seconds = (time.perf_counter() - started) / len(paths)
    picture_seconds = measure_picture_seconds(records, recipe.describe, CORES, seconds=3.0)
    assert picture_seconds is not None
    wall, ledger = timed_run(paths, recipe, out)
    rates = calibrate_rates(ledger, recipe.endpoint.model, Rates(picture_seconds=picture_seconds))
    wanted = wall - select_seconds * len(paths)
    low, high = 0.0, 0.25
    for _ in range(12):
        middle = (low + high) / 2
        rates = replace(rates, call_seconds=middle)
        found = make_forecast(records, recipe, load_prices(), rates=rates).simulated
        low, high = (middle, high) if found.seconds < wanted else (low, middle)
    return rates, select_seconds


def measure(num_videos: int, names: list[str], clips: Path | None) -> None:
    """A prediction from a small run, then the run itself."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        paths = write_clips(clips or folder / "videos", num_videos + NUM_CALIBRATION)
        few, many = paths[:NUM_CALIBRATION], paths[NUM_CALIBRATION:]
        print(
            f"{len(many)} clips; calibrated by {len(few)} others in the minute before each run",
            flush=True,
        )
        for name in names:
            script, concurrency = SETTINGS[name]
            ours, theirs = multiprocessing.Pipe()
            spawn = multiprocessing.get_context("spawn")
            server = spawn.Process(target=serve, args=(theirs, script), daemon=True)
            server.start()
            recipe = load_recipe(
                "open",
                [f"endpoint.base_url={ours.recv()}", "endpoint.model=gpt-4o",
                 f"endpoint.concurrency={concurrency}", "endpoint.probe=false",
                 "selection.drop_near_duplicates=false", "captions.max_copies=null",
                 "ask.types=[temporal,count]"],
            )  # fmt: skip
            try:
                predict_and_run(name, script, recipe, few, many, folder / name.replace(" ", "-"))
            finally:
                server.kill()


def predict_and_run(
    name: str, script: Scripted, recipe: Recipe, few: list[Path], many: list[Path], out: Path
) -> None:
    load = os.getloadavg()[0]
    limits = recipe.endpoint.model_copy(update={"rpm": script.rpm})
    limited = recipe.model_copy(update={"endpoint": limits})
    rates, select_seconds = calibrate(few, limited, out / "few")
    records = select_videos(find_videos([str(path) for path in many]), recipe, None)
    counted = make_forecast(records, limited, load_prices(), rates=rates)
    found = counted.simulated
    seconds = found.seconds + select_seconds * len(many)
    print(
        f"\n{name}: predicted {seconds:.0f} s, {found.num_calls} calls, "
        f"{found.num_attempts} attempts; used "
        + ", ".join(f"{what} {share:.0%}" for what, share in found.busy.items())
    )
    mean = sum(rates.latency_seconds[""]) / len(rates.latency_seconds[""])
    print(
        f"  by {1000 * rates.picture_seconds:.1f} ms of a core per picture, "
        f"{1000 * rates.call_seconds:.1f} ms per call, answers in {mean:.2f} s, "
        f"{rates.failed_share:.1%} failed, {1000 * select_seconds:.1f} ms to select; "
        f"load {load:.1f}",
        flush=True,
    )
    wall, ledger = timed_run(many, recipe, out / "many")
    [[num_attempts]] = ledger.query("SELECT COUNT(*) FROM attempts")
    [[num_calls]] = ledger.query("SELECT COUNT(*) FROM calls")
    print(
        f"  measured {wall:.0f} s, {num_calls} calls, {num_attempts} attempts: "
        f"{seconds / wall - 1:+.1%}; load {os.getloadavg()[0]:.1f}"
    )


FLEETS = {
    "16 cores, gpt-4o at 5,000 RPM, 2M TPM": Fleet(
        16, 200, 5_000, 2_000_000, upload_bytes_per_second=125e6
    ),
    "16 cores, gpt-4o at 10,000 RPM, 30M TPM": Fleet(
        16, 1000, 10_000, 30_000_000, upload_bytes_per_second=125e6
    ),
    "16 cores, 8 GPUs that serve 256 calls": Fleet(16, 256, upload_bytes_per_second=125e6),
    "3 x 16 cores (Ray), 40 GPUs, 1280 calls": Fleet(48, 1280, upload_bytes_per_second=1e9),
}


def fleets(seconds_per_answer: float, picture_seconds: float, call_seconds: float) -> None:
    """178K and 10M videos of 40 s, with the paper's recipe."""
    draw = random.Random(0)
    recipe = load_recipe("paper", ["endpoint.model=gpt-4o"])
    records = [
        VideoRecord(
            f"{n}",
            f"{n}.mp4",
            facts=Facts(min(180.0, 5 + draw.expovariate(1 / 35)), 1280, 720, 30.0),
        )
        for n in range(1000)
    ]
    counted = make_forecast(records, recipe, load_prices())
    latencies = [seconds_per_answer * draw.lognormvariate(-0.125, 0.5) for _ in range(2000)]
    rates = Rates(picture_seconds, call_seconds, {"": latencies}, 0.01, 1.0)
    print(
        f"videos of {counted.seconds_of_video / len(records):.0f} s on average; "
        f"{1000 * picture_seconds:.0f} ms of a core per picture, {1000 * call_seconds:.0f} ms per "
        f"call, answers in {seconds_per_answer:g} s (lognormal), 1 % of attempts fail"
    )
    usd = counted.usd[1] / len(records) if counted.usd else 0.0
    print("| fleet | videos | time | gpt-4o | used |\n|---|---|---|---|---|")
    for name, fleet in FLEETS.items():
        part = (counted.planned * 100)[: max(1000, round(2.5 * fleet.concurrency))]
        found = simulate(part, fleet, rates, num_videos=178_510)
        used = sorted(found.busy.items(), key=lambda item: -item[1])[:2]
        for number in (178_510, 10_000_000):
            days = (found.seconds + (number - 178_510) / found.videos_per_second) / 86400
            price = f"${usd * number:,.0f}" if "gpt" in name else "-"
            print(
                f"| {name} | {number:,} | {days:.1f} days | {price} | "
                + ", ".join(f"{what} {share:.0%}" for what, share in used)
                + " |",
                flush=True,
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["measure", "fleets"])
    parser.add_argument("--videos", type=int, default=1000)
    parser.add_argument("--settings", nargs="*", choices=list(SETTINGS), default=list(SETTINGS))
    parser.add_argument("--clips", type=Path, help="folder of measure to keep its clips in")
    parser.add_argument("--answer-seconds", type=float, default=5.0, help="of fleets")
    parser.add_argument("--picture-seconds", type=float, default=0.02, help="of a core, of fleets")
    parser.add_argument("--call-seconds", type=float, default=0.004, help="of a call, of fleets")
    options = parser.parse_args()
    if options.what == "measure":
        measure(options.videos, options.settings, options.clips)
    else:
        fleets(options.answer_seconds, options.picture_seconds, options.call_seconds)
