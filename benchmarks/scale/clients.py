"""Requests per second of `llava-video serve`: measured with 1 and 4 clients, predicted beyond.

The server is simulated (SimPy) as what it is: files are read by `media_workers` at a time, one
engine answers what waits in batches of up to `batch_rows`, and a batch of k takes a + b k seconds.
a + b is what one client measures; b is what makes the simulated rate of 4 clients the measured one.
The same by the CPU time of the server, which does not count what other programs take.

Run: python benchmarks/scale/clients.py [--clients 16 64] [--requests 48] [--batch-rows 16]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2 as httpx
import simpy

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "serving"))

from gpu.random_checkpoint import checkpoint_of

from chat import write_videos
from serve import NUM_VIDEOS, Request, ask, requests_of, serving


@dataclass(frozen=True)
class Server:
    """Seconds of the parts of a request, and how many of them go on at a time.

    Attributes:
        outside_seconds: of a request before and behind the engine: files, network, client.
        fixed_seconds: of a batch, whatever its size (a).
        row_seconds: of each of its rows (b).
        batch_rows: the largest batch.
        media_workers: requests that are outside the engine at a time; the rest wait.
    """

    outside_seconds: float
    fixed_seconds: float
    row_seconds: float
    batch_rows: int = 16
    media_workers: int = 2


def simulate(server: Server, num_clients: int, num_requests: int) -> float:
    """Requests per second of clients that each ask again when they are answered."""
    env = simpy.Environment()
    workers = simpy.Resource(env, server.media_workers)
    waiting: list[simpy.Event] = []
    came = [env.event()]
    remaining = iter(range(num_requests))

    def client() -> Generator[simpy.Event, Any, None]:
        for _ in remaining:
            with workers.request() as turn:
                yield turn
                yield env.timeout(server.outside_seconds)
            answered = env.event()
            waiting.append(answered)
            if not came[0].triggered:
                came[0].succeed()
            yield answered

    def engine() -> Generator[simpy.Event, Any, None]:
        while True:
            if not waiting:
                came[0] = env.event()
                yield came[0]
            batch = waiting[: server.batch_rows]
            del waiting[: len(batch)]
            yield env.timeout(server.fixed_seconds + len(batch) * server.row_seconds)
            for answered in batch:
                answered.succeed()
            # Answers end before their batch does, so that their clients are back for the next.
            yield env.timeout(server.outside_seconds + 1e-9)

    env.process(engine())
    env.run(env.all_of([env.process(client()) for _ in range(num_clients)]))
    return num_requests / float(env.now)


def fit(
    alone: float, outside_seconds: float, four: float, num_requests: int, batch_rows: int
) -> Server:
    """The server whose rates with 1 and 4 clients are the measured ones."""
    batch_of_one = max(1e-6, 1 / alone - outside_seconds)

    def with_row(share: float) -> Server:
        row = share * batch_of_one
        return Server(outside_seconds, batch_of_one - row, row, batch_rows)

    low, high = 0.0, 1.0
    for _ in range(20):
        middle = (low + high) / 2
        is_faster = simulate(with_row(middle), 4, num_requests) > four
        low, high = (middle, high) if is_faster else (low, middle)
    return with_row((low + high) / 2)


@dataclass(frozen=True)
class Measured:
    """Requests per second of the wall, and of the server's CPU time; seconds outside the engine."""

    per_second: float
    per_cpu_second: float
    outside_seconds: float


async def measure(address: str, requests: Sequence[Request], num_clients: int) -> Measured:
    remaining, outside = iter(requests), []
    limits = httpx.Limits(max_connections=num_clients + 1)
    async with httpx.AsyncClient(base_url=address, timeout=None, limits=limits) as client:

        async def work() -> None:
            for request in remaining:
                status, _, usage = await ask(client, request)
                assert status == 200
                outside.append(usage["llava_video"]["seconds"]["media"])

        async def cpu_seconds() -> float:
            text = (await client.get("/metrics")).text
            found = re.search(r"^process_cpu_seconds_total (\S+)", text, re.MULTILINE)
            assert found is not None
            return float(found[1])

        start, cpu = time.monotonic(), await cpu_seconds()
        await asyncio.gather(*(work() for _ in range(num_clients)))
        seconds, cpu = time.monotonic() - start, await cpu_seconds() - cpu
        number = len(requests)
        return Measured(number / seconds, number / cpu, statistics.median(outside))


def compare(model: str, clients: Sequence[int], num_requests: int, batch_rows: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        videos = write_videos(Path(folder), NUM_VIDEOS)
        # Nobody asks the same twice, so that no answer is short because it was read before.
        total = num_requests * 2 + sum(2 * max(number, num_requests) for number in clients)
        requests = iter(requests_of(videos, NUM_VIDEOS + total))
        options = ("--max-batch", str(batch_rows), "--max-waiting", "128")
        with serving(checkpoint_of(model), Path(folder), *options) as address:

            def run(number: int) -> Measured:
                taken = [next(requests) for _ in range(max(number, num_requests))]
                return asyncio.run(measure(address, taken, number))

            asyncio.run(measure(address, [next(requests) for _ in videos], 1))  # encoded once
            alone, four = run(1), run(4)
            servers = {
                "second": fit(
                    alone.per_second, alone.outside_seconds, four.per_second, num_requests,
                    batch_rows,
                ),
                "CPU second": fit(
                    alone.per_cpu_second, 0.0, four.per_cpu_second, num_requests, batch_rows
                ),
            }  # fmt: skip
            print_measured(1, alone)
            print_measured(4, four)
            for unit, server in servers.items():
                print(
                    f"by the {unit}: {1000 * server.outside_seconds:.0f} ms outside, a batch of k "
                    f"takes {1000 * server.fixed_seconds:.0f} + "
                    f"{1000 * server.row_seconds:.0f} k ms",
                    flush=True,
                )
            for number in clients:
                rates = [
                    simulate(server, number, max(number, num_requests))
                    for server in servers.values()
                ]
                found = run(number)
                print_measured(number, found)
                for unit, rate, true in zip(
                    servers, rates, (found.per_second, found.per_cpu_second), strict=True
                ):
                    print(f"  predicted {rate:.2f} per {unit}: {rate / true - 1:+.1%}", flush=True)


def print_measured(num_clients: int, found: Measured) -> None:
    print(
        f"{num_clients} clients: measured {found.per_second:.2f} requests per second, "
        f"{found.per_cpu_second:.2f} per CPU second; load {os.getloadavg()[0]:.1f}",
        flush=True,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="tiny", help="a checkpoint, or a size of random weights")
    parser.add_argument("--clients", type=int, nargs="+", default=[16, 64])
    parser.add_argument("--requests", type=int, default=48, help="of each measurement, at least")
    parser.add_argument("--batch-rows", type=int, default=16)
    given = parser.parse_args()
    compare(given.model, given.clients, given.requests, given.batch_rows)
