"""What the server saves, does and stands.

``turns``: seconds to the first piece of a streamed answer through the API, of a first question
about a video and of a second one.

``throughput``: requests per second at several numbers of clients, against a loop over ``generate``
of transformers with the same model and the same requests, in the same run; once a loop that reads
the video for each request, and once one that has all frames in memory already.

``load``: many clients for some minutes: responses by status, tokens per second, seconds to the
first piece, and the memory of the server over time.

Run: python benchmarks/serving/serve.py turns [--model 0.5b] [--num-frames 64] [--runs 3]
     python benchmarks/serving/serve.py throughput [--clients 1 4 16 64] [--num-requests 64]
     python benchmarks/serving/serve.py load [--clients 64] [--minutes 30]
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2 as httpx

sys.path.insert(0, str(Path(__file__).parents[1]))

from gpu.random_checkpoint import checkpoint_of

from chat import QUESTIONS, write_videos

NUM_VIDEOS = 8
NEW_TOKENS = 32
Request = tuple[Path, str]


@contextmanager
def serving(model: str, media_root: Path, *options: str) -> Iterator[str]:
    """A server in a process of its own, ready to answer; its address."""
    command = [
        sys.executable, "-m", "llava_video", "serve", "--model", model, "--name", "model",
        "--port", "0", "--media-root", str(media_root), *options,
    ]  # fmt: skip
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        address = re.search(r"http://\S+", process.stdout.readline())
        assert address is not None
        try:
            while httpx.get(f"{address[0]}/ready").status_code != 200:
                time.sleep(0.2)
            yield address[0]
        finally:
            process.terminate()


def body(request: Request, **fields: Any) -> dict[str, Any]:
    video, question = request
    content = [
        {"type": "video_url", "video_url": {"url": video.name}},
        {"type": "text", "text": question},
    ]
    return {
        "model": "model",
        "messages": [{"role": "user", "content": content}],
        "max_tokens": NEW_TOKENS,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
        **fields,
    }


async def ask(
    client: httpx.AsyncClient, request: Request, **fields: Any
) -> tuple[int, float, dict[str, Any]]:
    """Status, seconds to the first piece, and usage."""
    start, first, usage = time.monotonic(), 0.0, {}
    asked = client.stream("POST", "/v1/chat/completions", json=body(request, **fields))
    async with asked as response:
        async for line in response.aiter_lines():
            if not line.startswith("data: {"):
                continue
            chunk = json.loads(line[6:])
            if "error" in chunk and response.status_code == 200:
                return 504, 0.0, {}
            usage = chunk.get("usage") or usage
            if not first and any(c["delta"].get("content") for c in chunk.get("choices", ())):
                first = time.monotonic() - start
        return response.status_code, first or time.monotonic() - start, usage


def turns(model: str, num_frames: int | None, runs: int) -> None:
    fields: dict[str, Any] = {"max_tokens": 2}
    with tempfile.TemporaryDirectory() as folder:
        videos = write_videos(Path(folder), runs + 1)

        async def measure(address: str) -> list[list[tuple[int, float, dict[str, Any]]]]:
            async with httpx.AsyncClient(base_url=address, timeout=None) as client:
                if num_frames is not None:
                    listed = (await client.get("/v1/models")).json()["data"][0]
                    own = listed["llava_video"]["representation"].split(" ")[0].split(",")
                    fields["representation"] = ",".join([str(num_frames), *own[1:]])
                warm = {**fields, "sampling": {"num_frames": 1}}
                await ask(client, (videos[0], QUESTIONS[0]), **warm)
                return [
                    [await ask(client, (video, question), **fields) for question in QUESTIONS[:2]]
                    for video in videos[1:]
                ]

        with serving(checkpoint_of(model), Path(folder)) as address:
            pairs = asyncio.run(measure(address))
    print("| | to first piece (s) | frames decoded | encoded | tokens prefilled |")
    print("|---|---|---|---|---|")
    medians = []
    for title, asked in zip(("first", "second"), zip(*pairs, strict=True), strict=True):
        assert all(status == 200 for status, _, _ in asked)
        medians.append(statistics.median(first for _, first, _ in asked))
        took = asked[-1][2]["llava_video"]
        print(
            f"| {title} question | {medians[-1]:.3f} | {took['frames_decoded']} | "
            f"{took['frames_encoded']} | {took['tokens_prefilled']} |"
        )
    shown = pairs[-1][0][2]["llava_video"]["videos"][0]
    print(f"\n{model}, V = {shown['representation']}: {shown['num_tokens']} video tokens, ", end="")
    print(f"median of {runs}: {medians[0] / medians[1]:.1f} times as fast")


def requests_of(videos: Sequence[Path], number: int) -> list[Request]:
    """Requests about all videos, no question twice about one; any part of them is like another."""
    rounds = range(1, 2 + number // len(QUESTIONS))
    questions = [f"Question {n}: {q}" for n in rounds for q in QUESTIONS]
    pairs = [(video, question) for question in questions for video in videos]
    return random.Random(0).sample(pairs, number)


def by_loop(model: str, requests: Sequence[Request], *, keep_frames: bool) -> float:
    """Requests per second of one ``generate`` after another."""
    import llava_video as lv

    loaded, processor = lv.load(model)
    frames = {video: processor.sample_frames(str(video)) for video in dict(requests)}
    start = time.monotonic()
    for video, question in requests:
        shown = frames[video] if keep_frames else str(video)
        content = [{"type": "video", "video": shown}, {"type": "text", "text": question}]
        inputs = processor.apply_chat_template([{"role": "user", "content": content}])
        loaded.generate(**inputs, max_new_tokens=NEW_TOKENS, do_sample=False)
    return len(requests) / (time.monotonic() - start)


async def by_clients(
    address: str, requests: Sequence[Request], num_clients: int, other: Request
) -> float:
    """Requests per second, once another one has been answered."""
    remaining = iter(requests)
    async with httpx.AsyncClient(base_url=address, timeout=None) as client:
        assert (await ask(client, other))[0] == 200

        async def work() -> None:
            for request in remaining:
                while (await ask(client, request))[0] == 429:
                    await asyncio.sleep(0.2)

        start = time.monotonic()
        await asyncio.gather(*(work() for _ in range(num_clients)))
        return len(requests) / (time.monotonic() - start)


def throughput(model: str, clients: Sequence[int], num_requests: int) -> None:
    checkpoint = checkpoint_of(model)
    with tempfile.TemporaryDirectory() as folder:
        *videos, another = write_videos(Path(folder), NUM_VIDEOS + 1)
        requests = requests_of(videos, num_requests)
        rates = {
            "`generate`, videos read each time": by_loop(checkpoint, requests, keep_frames=False),
            "`generate`, frames in memory": by_loop(checkpoint, requests, keep_frames=True),
        }
        for number in clients:
            with serving(checkpoint, Path(folder)) as address:  # with nothing kept
                rates[f"server, {number} clients"] = asyncio.run(
                    by_clients(address, requests, number, (another, QUESTIONS[0]))
                )
    read, in_memory = list(rates.values())[:2]
    print(f"{model}: {num_requests} requests about {NUM_VIDEOS} videos, {NEW_TOKENS} tokens\n")
    print("| | requests/s | to the first loop | to the second |")
    print("|---|---|---|---|")
    for title, rate in rates.items():
        print(f"| {title} | {rate:.2f} | {rate / read:.1f}x | {rate / in_memory:.1f}x |")


async def under_load(
    address: str, videos: Sequence[Path], num_clients: int, seconds: float
) -> tuple[Counter[int], list[float], int, list[float]]:
    statuses: Counter[int] = Counter()
    firsts: list[float] = []
    memory: list[float] = []
    num_tokens = 0
    end = time.monotonic() + seconds
    limits = httpx.Limits(max_connections=num_clients + 1)
    async with httpx.AsyncClient(base_url=address, timeout=None, limits=limits) as client:

        async def work(number: int) -> None:
            nonlocal num_tokens
            for turn in itertools.count():
                if time.monotonic() > end:
                    return
                question = f"{QUESTIONS[turn % len(QUESTIONS)]} ({number}.{turn})"
                status, first, usage = await ask(
                    client, (videos[(number + turn) % len(videos)], question)
                )
                statuses[status] += 1
                if status == 200:
                    firsts.append(first)
                    num_tokens += usage["completion_tokens"]
                else:
                    await asyncio.sleep(0.5)

        async def watch() -> None:
            while time.monotonic() < end:
                await asyncio.sleep(seconds / 10)
                text = (await client.get("/metrics")).text
                found = re.search(r"^process_resident_memory_bytes (\S+)", text, re.MULTILINE)
                assert found is not None
                memory.append(float(found[1]) / 2**20)

        await asyncio.gather(watch(), *(work(number) for number in range(num_clients)))
    return statuses, firsts, num_tokens, memory


def load(model: str, num_clients: int, minutes: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        videos = write_videos(Path(folder), NUM_VIDEOS)
        with serving(checkpoint_of(model), Path(folder)) as address:
            statuses, firsts, num_tokens, memory = asyncio.run(
                under_load(address, videos, num_clients, 60 * minutes)
            )
    middle, late = statistics.quantiles(firsts, n=20)[9], statistics.quantiles(firsts, n=20)[18]
    print(f"{model}: {num_clients} clients, {minutes:g} minutes")
    print(f"responses by status: {dict(statuses)}")
    print(f"seconds to the first piece: p50 {middle:.2f}, p95 {late:.2f}")
    print(f"tokens per second: {num_tokens / (60 * minutes):.1f}")
    print(f"resident MiB at each tenth of the time: {', '.join(f'{m:.0f}' for m in memory)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("what", choices=("turns", "throughput", "load"))
    parser.add_argument("--model", default="tiny", help="a checkpoint, or a size of random weights")
    parser.add_argument("--num-frames", type=int, help="T of turns; default: the model's own")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--clients", type=int, nargs="+")
    parser.add_argument("--num-requests", type=int, default=64)
    parser.add_argument("--minutes", type=float, default=2.0)
    given = parser.parse_args()
    load_average = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"{os.cpu_count()} CPUs, load average before: {load_average}\n")
    if given.what == "turns":
        turns(given.model, given.num_frames, given.runs)
    elif given.what == "throughput":
        throughput(given.model, given.clients or (1, 4, 16, 64), given.num_requests)
    else:
        load(given.model, (given.clients or [64])[0], given.minutes)


if __name__ == "__main__":
    main()
