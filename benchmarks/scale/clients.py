"""Requests per second of `llava-video serve`: measured with 1 and 16 clients, else predicted.

The server is simulated (SimPy) as what it is: files are read by `media_workers` at a time, and one
engine answers what waits in batches of up to `batch_rows`. A batch reads its prompts, and then
takes a step for each token of its longest answer, a + b k seconds for k rows; clients whose answers
end earlier wait for the next one. Times of the parts and lengths of answers are those that one
client measures; b is what makes the simulated rate of 16 clients the measured one.

Run: python benchmarks/scale/clients.py --model 0.5b --num-frames 2 --requests 32
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx2 as httpx
import simpy

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "serving"))

from gpu.random_checkpoint import checkpoint_of

from chat import write_videos
from serve import NUM_VIDEOS, Request, ask, requests_of, serving

FITTED = 16
"""Clients whose measured rate the simulation is fitted to."""


@dataclass(frozen=True)
class Server:
    """Seconds of the parts of a request, and how many of them go on at a time.

    Attributes:
        outside_seconds: of a request before and behind the engine: files, network, client.
        prompt_seconds: of reading a prompt.
        step_seconds: of a step of decoding, whatever the rows (a).
        row_seconds: of each of its rows (b).
        batch_rows: the largest batch.
        media_workers: requests that are outside the engine at a time; the rest wait.
    """

    outside_seconds: float
    prompt_seconds: float
    step_seconds: float
    row_seconds: float
    batch_rows: int = 16
    media_workers: int = 2


def simulate(server: Server, lengths: Sequence[int], num_clients: int, num_requests: int) -> float:
    """Requests per second of clients that each ask again when they are answered.

    Args:
        server: what answers.
        lengths: of answers in tokens, of which each request draws one.
        num_clients: which ask.
        num_requests: of all of them together.
    """
    env = simpy.Environment()
    draw = random.Random(0)
    workers = simpy.Resource(env, server.media_workers)
    waiting: list[tuple[int, simpy.Event]] = []
    came = [env.event()]
    remaining = iter(range(num_requests))

    def client() -> Generator[simpy.Event, Any, None]:
        for _ in remaining:
            with workers.request() as turn:
                yield turn
                yield env.timeout(server.outside_seconds)
            answered = env.event()
            waiting.append((draw.choice(lengths), answered))
            if not came[0].triggered:
                came[0].succeed()
            yield answered

    def engine() -> Generator[simpy.Event, Any, None]:
        while True:
            if not waiting:
                came[0] = env.event()
                yield came[0]
            batch = sorted(waiting[: server.batch_rows], key=lambda row: row[0])
            del waiting[: len(batch)]
            yield env.timeout(len(batch) * server.prompt_seconds)
            step, done = server.step_seconds + len(batch) * server.row_seconds, 0
            for length, answered in batch:
                yield env.timeout((length - done) * step)
                done = length
                answered.succeed()

    env.process(engine())
    env.run(env.all_of([env.process(client()) for _ in range(num_clients)]))
    return num_requests / float(env.now)


def fit(parts: Server, lengths: Sequence[int], rate: float, num_requests: int) -> Server:
    """The server whose rate with `FITTED` clients is the measured one.

    Args:
        parts: as one client measures it, with the whole step in ``step_seconds``.
        lengths: of its answers.
        rate: measured requests per second.
        num_requests: of theirs.
    """

    def with_row(share: float) -> Server:
        row = share * parts.step_seconds
        return replace(parts, step_seconds=parts.step_seconds - row, row_seconds=row)

    low, high = 0.0, 1.0
    for _ in range(20):
        middle = (low + high) / 2
        is_faster = simulate(with_row(middle), lengths, FITTED, num_requests) > rate
        low, high = (middle, high) if is_faster else (low, middle)
    return with_row((low + high) / 2)


@dataclass(frozen=True)
class Measured:
    """Requests per second, and what usage tells of each of them."""

    per_second: float
    usages: list[dict[str, Any]]

    def mean(self, *stages: str) -> float:
        """Seconds of some stages of a request."""
        seconds = (usage["llava_video"]["seconds"] for usage in self.usages)
        return statistics.mean(sum(each[stage] for stage in stages) for each in seconds)

    @property
    def lengths(self) -> list[int]:
        """Of the answers, in tokens."""
        return [usage["completion_tokens"] for usage in self.usages]

    def parts(self, batch_rows: int) -> Server:
        """What a request of one client is made of."""
        prompt = self.mean("frames", "prepare", "weights", "vision", "prefill")
        answer = self.mean("answer")
        step = answer / statistics.mean(self.lengths)
        return Server(1 / self.per_second - prompt - answer, prompt, step, 0.0, batch_rows)


async def measure(
    address: str, requests: Sequence[Request], num_clients: int, num_frames: int | None
) -> Measured:
    sampling = {} if num_frames is None else {"video": {"num_frames": num_frames}}
    remaining, usages = iter(requests), []
    limits = httpx.Limits(max_connections=num_clients + 1)
    async with httpx.AsyncClient(base_url=address, timeout=None, limits=limits) as client:

        async def work() -> None:
            for request in remaining:
                status, _, usage = await ask(client, request, media_io_kwargs=sampling)
                assert status == 200
                usages.append(usage)

        start = time.monotonic()
        await asyncio.gather(*(work() for _ in range(num_clients)))
        return Measured(len(requests) / (time.monotonic() - start), usages)


def compare(
    model: str,
    clients: Sequence[int],
    num_requests: int,
    batch_rows: int,
    num_frames: int | None,
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        videos = write_videos(Path(folder), NUM_VIDEOS)
        # Nobody asks the same twice, so that no answer is short because it was read before.
        total = 2 * max(num_requests, FITTED) + sum(max(number, num_requests) for number in clients)
        requests = iter(requests_of(videos, total))
        options = ("--max-batch", str(batch_rows), "--max-waiting", "128")
        with serving(checkpoint_of(model), Path(folder), *options) as address:

            def run(number: int) -> Measured:
                taken = [next(requests) for _ in range(max(number, num_requests))]
                found = asyncio.run(measure(address, taken, number, num_frames))
                print(
                    f"{number} clients: measured {found.per_second:.2f} requests per second; "
                    f"load {os.getloadavg()[0]:.1f}",
                    flush=True,
                )
                return found

            encoded = [(video, "Look.") for video in videos]
            asyncio.run(measure(address, encoded, 1, num_frames))
            alone, fitted = run(1), run(FITTED)
            server = fit(alone.parts(batch_rows), alone.lengths, fitted.per_second, num_requests)
            print(
                f"{1000 * server.outside_seconds:.1f} ms outside, "
                f"{1000 * server.prompt_seconds:.1f} a prompt, a step of k rows "
                f"{1000 * server.step_seconds:.2f} + {1000 * server.row_seconds:.2f} k ms, "
                f"answers of {min(alone.lengths)} to "
                f"{max(alone.lengths)} tokens, {statistics.mean(alone.lengths):.1f} on the mean",
                flush=True,
            )
            for number in clients:
                rate = simulate(server, alone.lengths, number, max(number, num_requests))
                print(f"{number} clients: predicted {rate:.2f} requests per second", flush=True)
                print(f"  {rate / run(number).per_second - 1:+.1%}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="tiny", help="a checkpoint, or a size of random weights")
    parser.add_argument("--clients", type=int, nargs="+", default=[4, 8, 64])
    parser.add_argument("--requests", type=int, default=96, help="of each measurement, at least")
    parser.add_argument("--batch-rows", type=int, default=16)
    parser.add_argument("--num-frames", type=int, help="of a video; default: the model's own")
    given = parser.parse_args()
    compare(given.model, given.clients, given.requests, given.batch_rows, given.num_frames)
