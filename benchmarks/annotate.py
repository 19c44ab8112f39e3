"""Figures of the data engine.

python benchmarks/annotate.py engine    calls per second against an endpoint that takes 50 ms
python benchmarks/annotate.py decode    frames at 1 FPS from a ten-minute file
python benchmarks/annotate.py near      near-duplicates among 35,000 videos of like length
python benchmarks/annotate.py toy       200 toyworld videos through everything
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import io
import json
import multiprocessing
import os
import pstats
import re
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path

import av
import numpy as np
from rich.console import Console

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.annotate.make_videos import write_toy_video

from llava_video.annotate.export.statistics import count
from llava_video.annotate.recipe import Describe, load_recipe
from llava_video.annotate.records import QA, Facts
from llava_video.annotate.run import run
from llava_video.annotate.steps.schedule import caption_schedule
from llava_video.annotate.videos.frames import pictures_between
from llava_video.annotate.videos.near_duplicates import HASH_FRAMES, HASH_SIDE, near_duplicates
from llava_video.calls.caller import Caller
from llava_video.calls.endpoint import Endpoint
from llava_video.calls.ledger import Ledger
from llava_video.calls.messages import Picture, Request, Subject
from llava_video.calls.openai_endpoint import OpenAIEndpoint
from llava_video.calls.pricing import load_prices
from llava_video.calls.toy_annotator import load_script, true_questions
from llava_video.records.question_types import QUESTION_TYPES, find_type
from llava_video.toyworld.verify.checker import Checker

DELAY_SECONDS = 0.05


def http_answer() -> bytes:
    usage = {"prompt_tokens": 300, "completion_tokens": 60}
    message = {"role": "assistant", "content": "The lantern rolls past the ladder. " * 9}
    body = json.dumps({"id": "x", "choices": [{"message": message}], "usage": usage}).encode()
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
    return f"{head}\r\n\r\n".encode() + body


ANSWER = http_answer()


class Answers(asyncio.Protocol):
    """Every request gets the same answer after a while, unread, so that little but ours is timed.

    A request comes in whole before the next one does, as a client waits for its answer.
    """

    def __init__(self) -> None:
        self._head, self._left = b"", 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client came."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Count the bytes of a request, and answer the last of them."""
        if not self._left:
            self._head += data
            head, end, data = self._head.partition(b"\r\n\r\n")
            if not end:
                return
            self._left = int(re.search(rb"content-length: (\d+)", head, re.IGNORECASE)[1])
            self._head = b""
        self._left -= len(data)
        if not self._left:
            loop = asyncio.get_running_loop()
            loop.call_later(DELAY_SECONDS, self._transport.write, ANSWER)


def serve(pipe: Connection) -> None:
    """The endpoint, in a process of its own."""

    async def listen() -> None:
        server = await asyncio.get_running_loop().create_server(Answers, "127.0.0.1", 0)
        pipe.send(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1")
        await server.serve_forever()

    asyncio.run(listen())


def request(number: int, pictures: tuple[Picture, ...]) -> Request:
    text = f"Summary number {number}: " + "the lantern rolls past the ladder. " * 40
    return Request(
        *("level2", "v", "gpt-4o", "level2@0", "Summarise.", (text, *pictures), (), 512),
        Subject("v.mp4"),
    )


async def calls_per_second(
    url: str, concurrency: int, num_calls: int, pictures: tuple[Picture, ...], folder: Path
) -> tuple[float, float]:
    """Calls per second, and milliseconds of this process's CPU time per call."""
    settings = Endpoint(model="gpt-4o", base_url=url, concurrency=concurrency)
    ledger = Ledger(folder / f"ledger-{concurrency}-{len(pictures)}.sqlite")
    endpoint = OpenAIEndpoint(settings)
    caller = Caller(endpoint, ledger, settings, load_prices())
    await asyncio.gather(*(caller.call(request(-1 - n, pictures)) for n in range(concurrency)))
    numbers = list(range(num_calls))

    async def work() -> None:
        while numbers:
            await caller.call(request(numbers.pop(), pictures))

    started, cpu_started = time.perf_counter(), time.process_time()
    # As many videos at a time as the engine works on.
    await asyncio.gather(*(work() for _ in range(concurrency + (os.cpu_count() or 1))))
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu_started
    await endpoint.aclose()
    await ledger.aclose()
    return num_calls / seconds, 1000 * cpu / num_calls


def engine() -> None:
    """Calls per second with the ledger, against the bound concurrency / delay."""
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs,), daemon=True)
    server.start()
    url = ours.recv()
    rows, columns = np.mgrid[0:288, 0:512]
    pixels = np.stack([rows % 251, columns % 253, (rows + columns) % 255], axis=2).astype(np.uint8)
    cases = [("text", ()), ("10 images", tuple(Picture.of(pixels, float(s)) for s in range(10)))]
    print("calls per second, bound, share of it, CPU milliseconds per call")
    with tempfile.TemporaryDirectory() as folder:
        for name, pictures in cases:
            for concurrency in (1, 16, 64):
                num_calls = min(40 * concurrency, 1500)
                work = calls_per_second(url, concurrency, num_calls, pictures, Path(folder))
                rate, cpu = asyncio.run(work)
                bound = concurrency / DELAY_SECONDS
                share = 100 * rate / bound
                print(
                    f"{name:10} {concurrency:3} {rate:7.1f} {bound:7.1f} {share:5.1f} % {cpu:6.2f}"
                )
        profile = cProfile.Profile()
        profile.enable()
        asyncio.run(calls_per_second(url, 65, 1000, (), Path(folder)))
        profile.disable()
    server.kill()
    text = io.StringIO()
    pstats.Stats(profile, stream=text).sort_stats("tottime").print_stats(12)
    print("where the time of 1,000 calls at concurrency 65 goes (profiled, so slower):")
    print("\n".join(text.getvalue().splitlines()[6:24]))


def decode(minutes: int) -> None:
    """Pictures to send at 1 FPS, clip by clip, against reading the whole file."""
    seconds = 60.0 * minutes
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "long.mp4"
        write_long_video(path, minutes)
        steps = [step for step in caption_schedule(seconds, Describe()) if step.level == 1]
        wall, cpu = time.perf_counter(), time.process_time()
        facts = Facts(seconds, 640, 360, 25.0)
        num_pictures = sum(
            len(pictures_between(str(path), s.start_seconds, s.end_seconds, facts, Describe())[0])
            for s in steps
        )
        ours = (time.perf_counter() - wall, time.process_time() - cpu)
        wall, cpu = time.perf_counter(), time.process_time()
        with av.open(path) as container:
            container.streams.video[0].thread_type = "AUTO"
            num_frames = kept = 0
            for frame in container.decode(video=0):
                if num_frames % 25 == 0:
                    frame.reformat(512, 288, format="rgb24").to_ndarray()
                    kept += 1
                num_frames += 1
        plain = (time.perf_counter() - wall, time.process_time() - cpu)
    print(f"{seconds:g} s of 640 x 360 at 25 FPS, seconds (of CPU time):")
    print(f"{num_pictures} JPEGs at 1 FPS in {len(steps)} clips {ours[0]:.2f} ({ours[1]:.2f})")
    print(f"plain PyAV, {num_frames} frames, {kept} kept {plain[0]:.2f} ({plain[1]:.2f})")


def write_long_video(path: Path, minutes: int) -> None:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 255, (360, 1280, 3), dtype=np.uint8)
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 640, 360, "yuv420p"
        stream.options = {"preset": "ultrafast", "crf": "30", "g": "250"}
        smooth = noise.reshape(45, 8, 160, 8, 3).mean(axis=(1, 3)).astype(np.uint8)
        wide = smooth.repeat(8, axis=0).repeat(8, axis=1)
        for number in range(minutes * 60 * 25):
            left = (number * 2) % 640
            picture = np.ascontiguousarray(wide[:, left : left + 640])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))


def make_toy(arguments: tuple[str, int, str]) -> None:
    path, seed, level = arguments
    write_toy_video(Path(path), seed, level)


def toy() -> None:
    """200 toyworld videos: wall time, records, types, and the share of true answers."""
    with tempfile.TemporaryDirectory() as folder:
        videos, out = Path(folder) / "videos", Path(folder) / "out"
        levels = ("simple", "standard", "simple", "crowded")
        jobs = [(str(videos / f"{n:03d}.mp4"), n, levels[n % 4]) for n in range(200)]
        with ProcessPoolExecutor() as pool:
            list(pool.map(make_toy, jobs, chunksize=10))
        started = time.perf_counter()
        quiet = Console(file=io.StringIO())
        result = run([str(videos)], load_recipe("toyworld"), out, console=quiet)
        seconds = time.perf_counter() - started
        found = count(result.records)
        true = Counter(is_true(qa, r.path) for r in result.records for qa in r.qas)
    total = sum(found.types.values())
    minutes = found.total_seconds / 60
    print(f"{found.num_kept} of {found.num_videos} videos, {minutes:.1f} minutes: {seconds:.1f} s")
    print(f"{found.num_captions} descriptions, {found.num_open_ended} open-ended and", end=" ")
    print(f"{found.num_multi_choice} multiple-choice questions, letters {found.letters}")
    print(f"left out: {found.waterfall}")
    for question_type in QUESTION_TYPES:
        share = 100 * found.types.get(question_type.slug, 0) / total
        print(f"  {question_type.title:52} {share:5.1f} %  (paper {question_type.paper_percent} %)")
    print(f"answers that agree with the script: {true[True]} of {total}", end=" ")
    print(f"({100 * true[True] / total:.1f} %)")


def near(number: int = 35_000) -> None:
    rng = np.random.default_rng(0)
    shape = (HASH_FRAMES, HASH_SIDE, HASH_SIDE, 3)
    half = HASH_SIDE // 2
    kinds = {
        "noise": lambda: rng.integers(0, 256, shape),
        "pictures": lambda: (
            rng.integers(30, 200, (1, 2, 2, 3)).repeat(half, 1).repeat(half, 2)
            + rng.normal(0, 20, shape)
        ),
        "dark pictures": lambda: (
            rng.normal(20, 6, (1, 2, 2, 3)).repeat(half, 1).repeat(half, 2)
            + rng.normal(0, 8, shape)
        ),
    }
    for name, draw in kinds.items():
        hashes = [draw().clip(0, 255).astype(np.uint8).tobytes() for _ in range(number)]
        hashes[-100:] = hashes[:100]
        seconds = list(rng.uniform(10.0, 10.1, number))
        started = time.perf_counter()
        found = near_duplicates(hashes, seconds, [4.0] * number)
        assert len(found) == 100
        print(f"{number:,} videos, {name}: {time.perf_counter() - started:.1f} s")


def is_true(qa: QA, path: str) -> bool:
    """Whether the toy world's checker, which watches the stage, gives the same answer."""
    script = load_script(path)
    checker = Checker(script)
    asked = [
        question
        for question in true_questions(script)
        if (question.question, find_type(question.type)) == (qa.question, qa.type)
        and set(question.options) == set(qa.options)
    ]
    return bool(asked) and all(
        checker.check(question) == "" and question.answer == qa.answer for question in asked
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("figure", choices=["engine", "decode", "near", "toy"], nargs="*")
    parser.add_argument("--minutes", type=int, default=10, help="of video that decode reads")
    options = parser.parse_args()
    figures = {
        "engine": engine,
        "decode": lambda: decode(options.minutes),
        "near": near,
        "toy": toy,
    }
    for name in options.figure or figures:
        figures[name]()
