"""vLLM with our plugin, our own engine, and a loop over ``generate``: the same requests to each.

    python benchmarks/serving/engines.py                      # tiny
    python benchmarks/serving/engines.py --model 0.5b --frames 2 --rounds 1   # random weights
    python benchmarks/serving/engines.py --model 0.5b --frames 2 --rounds 1 --new-tokens 1

Each request is a question about a video of its own, in memory; N requests are under way at a time.
Then a second question about each of those videos, and what the plugin does for one request.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from gpu.random_checkpoint import checkpoint_of

from llava_video.chat.local_model import LocalModel
from llava_video.chat.protocol import Answered, AnswerOptions, Conversation, Piece
from llava_video.plugins.vllm.chat_model import VllmModel
from llava_video.plugins.vllm.requests import make_request
from llava_video.types import Frames

QUESTION, SECOND = "What happens in this video?", "Which shape moves first, and where to?"


@dataclass
class Figures:
    """Of some requests that were under way together."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    first_seconds: list[float] = field(default_factory=list)
    num_new: int = 0

    def line(self, what: str, num: int) -> str:
        first = (
            f"{1000 * statistics.mean(self.first_seconds):6.0f}" if self.first_seconds else "     -"
        )
        return (
            f"{what:24s} {num:3d} in flight {num / self.seconds:8.2f} requests/s, first token "
            f"{first} ms, {1000 * self.cpu_seconds / num:7.0f} ms of CPU each, "
            f"{self.num_new / num:3.0f} new tokens each"
        )


def videos(number: int, num_frames: int, side: int, seed: int) -> list[Frames]:
    generator = np.random.default_rng(seed)
    shape = (num_frames, side, side, 3)
    return [
        Frames.from_array(generator.integers(0, 256, shape, dtype=np.uint8), fps=2.0)
        for _ in range(number)
    ]


def about(video: Frames, question: str) -> Conversation:
    parts = [{"type": "video", "video": video}, {"type": "text", "text": question}]
    return [{"role": "user", "content": parts}]


def measure(answer: Callable[[list[Conversation]], Iterator[Any]], rows: list[Any]) -> Figures:
    figures, seen = Figures(), set()
    start, cpu = time.perf_counter(), time.process_time()
    for event in answer(rows):
        # Random weights may write no text before the end, which says nothing of the first token.
        is_first = isinstance(event, Piece) or event.usage.num_new_tokens == 1
        if is_first and event.row not in seen:
            seen.add(event.row)
            figures.first_seconds.append(time.perf_counter() - start)
        if isinstance(event, Answered):
            figures.num_new += event.usage.num_new_tokens
    figures.seconds = time.perf_counter() - start
    figures.cpu_seconds = time.process_time() - cpu
    return figures


def measure_generate(local: LocalModel, rows: list[Any], num_new: int) -> Figures:
    """One after the other, as a script of transformers does; nothing is kept."""
    figures = Figures()
    start, cpu = time.perf_counter(), time.process_time()
    for row in rows:
        inputs = local.processor.apply_chat_template(row)
        ids = local.network.generate(**inputs, max_new_tokens=num_new, do_sample=False)
        figures.num_new += ids.shape[1] - inputs["input_ids"].shape[1]
    figures.seconds = time.perf_counter() - start
    figures.cpu_seconds = time.process_time() - cpu
    return figures


def measure_round(
    engines: dict[str, Callable[[list[Any]], Iterator[Any]]],
    local: LocalModel,
    flight: int,
    options: argparse.Namespace,
    seed: int,
) -> dict[str, Figures]:
    """Each engine once, with requests that it has not seen, and then a second question of each."""
    shown = videos(flight, options.frames, local.processor.image_size, seed)
    rows = [about(video, QUESTION) for video in shown]
    again = [about(video, SECOND) for video in shown]
    figures: dict[str, Figures] = {}
    for name, answer in engines.items():
        figures[name] = measure(answer, rows)
        figures[f"{name}, second question"] = measure(answer, again)
    figures["generate"] = measure_generate(local, rows, options.new_tokens)
    return figures


def measure_plugin(vllm: VllmModel, local: LocalModel, num_frames: int) -> None:
    """Milliseconds of what the plugin does for one request, beside the vision encoder's."""
    rounds: dict[str, list[float]] = {}

    def timed(name: str, function: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        result = function()
        rounds.setdefault(name, []).append(1000 * (time.perf_counter() - start))
        return result

    model = local.network.model
    for video in videos(20, num_frames, local.processor.image_size, seed=999):
        row = about(video, QUESTION)
        (loaded, _) = local._media.load(row, local.processor, AnswerOptions().sampling)
        request = timed(
            "prompt and names",
            lambda row=row, loaded=loaded: make_request(
                row, loaded, local.processor, is_default=True
            ),
        )
        timed(
            "preprocessing in vLLM",
            lambda request=request: vllm._loop.call(
                lambda engine: engine.renderer.render_cmpl([dict(request.prompt)])
            ),
        )
        with torch.inference_mode():
            pixels = torch.tensor(loaded[0].pixels).permute(0, 3, 1, 2)
            features = timed("vision encoder", lambda pixels=pixels: model.encode_frames(pixels))
            timed("projector and packing", lambda features=features: model.tokens_of(features))
    for name, values in rounds.items():
        print(f"{name:28s} {statistics.median(values):8.2f} ms (median of {len(values)})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="tiny", help="a checkpoint, or a size of random weights")
    parser.add_argument("--frames", type=int, default=12)
    parser.add_argument("--flights", type=int, nargs="+", default=[1, 4, 16, 64])
    parser.add_argument("--new-tokens", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3, help="of which the fastest counts")
    parser.add_argument("--dtype", default="float32")
    options = parser.parse_args()
    print(
        f"{options.model}, {options.frames} frames, {options.new_tokens} new tokens, "
        f"{options.dtype}; {platform.processor() or platform.machine()}, {os.cpu_count()} cores, "
        f"{torch.get_num_threads()} threads, load {os.getloadavg()[0]:.1f}"
    )
    model = checkpoint_of(options.model)
    local = LocalModel.load(model, dtype=options.dtype)
    vllm = VllmModel.load(model, dtype=options.dtype, max_num_seqs=max(options.flights))
    wanted = AnswerOptions(max_new_tokens=options.new_tokens)
    engines: dict[str, Callable[[list[Any]], Iterator[Any]]] = {
        "vllm": lambda rows: vllm.answer(rows, wanted),
        "own": lambda rows: local.answer(rows, wanted),
    }
    for answer in engines.values():  # what is made only once
        measure(answer, [about(v, QUESTION) for v in videos(2, options.frames, 64, seed=0)])
    for flight in options.flights:
        rounds = [
            measure_round(engines, local, flight, options, seed=1000 * number + flight)
            for number in range(options.rounds)
        ]
        for name in rounds[0]:
            print(min((each[name] for each in rounds), key=lambda f: f.seconds).line(name, flight))
    measure_plugin(vllm, local, options.frames)
    print(f"load at the end {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
