"""Questions per second of an evaluation, beside a loop that does everything per question.

Both answer the same questions about toyworld with the same model; the loop decodes, encodes and
prefills for every question, as most harnesses do. The third row is inspect_ai with a model that
answers at once: its own cost, and that of this package around it::

    python benchmarks/evaluation.py [--num-videos 40] [--level standard]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import torch
from inspect_ai.model import Model, get_model

import llava_video as lv
from llava_video.chat.scripted import ScriptedModel
from llava_video.evaluate.asked import Asked, ask_all
from llava_video.evaluate.harness import registry  # noqa: F401  registers the provider
from llava_video.evaluate.run import Settings, evaluate
from llava_video.evaluate.scoring.outcomes import read_outcomes
from llava_video.evaluate.source import load_questions
from llava_video.evaluate.tasks import find_benchmark
from llava_video.pages.blocks import Table
from llava_video.pages.terminal import show


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--num-videos", type=int, default=40)
    parser.add_argument("--level", default="standard")
    options = parser.parse_args()
    torch.set_grad_enabled(False)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        settings = Settings(model=options.model, num_videos=options.num_videos, level=options.level)
        benchmark = find_benchmark("toyworld")
        source = load_questions(
            benchmark,
            annotations=None,
            videos=None,
            made_in=out / "made",
            num_videos=options.num_videos,
            level=options.level,
        )
        asked = ask_all(benchmark, source.questions, source.folder)
        evaluate(
            ["toyworld"], out / "warm", Settings(limit=10), annotations=source.annotations
        )  # imports
        (loop_time, loop_answers) = loop(options.model, asked)
        rows = [("a loop over questions", loop_time)]
        rows.append(("llava-video eval", timed(out / "own", settings, source.annotations)))
        at_once = get_model(
            "llava_video/at-once",
            memoize=False,
            chat_model=ScriptedModel(lambda conversation, options: "A"),
        )
        rows.append(
            ("inspect_ai alone", timed(out / "alone", settings, source.annotations, at_once))
        )
        number = len(asked)
        answers = {outcome.id: outcome.text for outcome in read_outcomes(out / "own/toyworld")}
        num_same = sum(
            answers[each.question.id] == loop_answers[each.question.id] for each in asked
        )
        table = [
            (
                name,
                f"{wall:.1f}",
                f"{number / wall:.1f}",
                f"{loop_time[0] / wall:.1f}",
                f"{cpu:.1f}",
                f"{loop_time[1] / cpu:.1f}",
            )
            for name, (wall, cpu) in rows
        ]
        show(
            f"{number} questions about {options.num_videos} videos; {num_same} same answers",
            Table(
                ("", "seconds", "questions/s", "times the loop", "CPU seconds", "times the loop"),
                table,
                "lrrrrr",
            ),
        )


def loop(name: str, asked: list[Asked]) -> tuple[tuple[float, float], dict[str, str]]:
    """Seconds, of the clock and of the CPU, and answers of a loop that shares nothing."""
    model, processor = lv.load(name)
    start, cpu = time.perf_counter(), time.process_time()
    answers = {}
    for each in asked:
        assert each.video is not None
        inputs = processor(each.prompt, processor.sample_frames(each.video))
        output = model.generate(**inputs, max_new_tokens=20, do_sample=False)
        length = inputs["input_ids"].shape[1]
        answers[each.question.id] = processor.decode_answer(output[0], length)
    return (time.perf_counter() - start, time.process_time() - cpu), answers


def timed(
    out: Path, settings: Settings, annotations: Path, model: Model | None = None
) -> tuple[float, float]:
    """Seconds of an evaluation, of the clock and of the CPU."""
    start, cpu = time.perf_counter(), time.process_time()
    evaluate(["toyworld"], out, settings, annotations=annotations, model=model)
    return time.perf_counter() - start, time.process_time() - cpu


if __name__ == "__main__":
    main()
