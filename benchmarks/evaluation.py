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
from inspect_ai.model import get_model

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
        loop_seconds, loop_answers = loop(options.model, asked)
        rows = [("a loop over questions", loop_seconds)]
        own_seconds = timed(out / "own", settings, source.annotations)
        rows.append(("llava-video eval", own_seconds))
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
            (name, f"{seconds:.1f}", f"{number / seconds:.1f}", f"{loop_seconds / seconds:.1f}")
            for name, seconds in rows
        ]
        show(
            f"{number} questions about {options.num_videos} videos; {num_same} same answers",
            Table(("", "seconds", "questions/s", "times the loop"), table, "lrrr"),
        )


def loop(name: str, asked: list[Asked]) -> tuple[float, dict[str, str]]:
    """Seconds and answers of a loop that shares nothing between questions."""
    model, processor = lv.load(name, dtype=torch.float32)
    start = time.perf_counter()
    answers = {}
    for each in asked:
        assert each.video is not None
        inputs = processor(each.prompt, processor.sample_frames(each.video))
        output = model.generate(**inputs, max_new_tokens=20, do_sample=False)
        length = inputs["input_ids"].shape[1]
        answers[each.question.id] = processor.decode_answer(output[0], length)
    return time.perf_counter() - start, answers


def timed(out: Path, settings: Settings, annotations: Path, model: object = None) -> float:
    start = time.perf_counter()
    evaluate(["toyworld"], out, settings, annotations=annotations, model=model)  # type: ignore[arg-type]
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
