"""Toyworld: drawing speed, agreement of the two routes to the truth, what questions give away.

Run: python benchmarks/toyworld.py [speed] [truth] [blind]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

from llava_video.toyworld import (
    LEVELS,
    QUESTION_TYPES,
    Question,
    Script,
    describe_levels,
    generate_script,
    make_questions,
    render,
    render_at,
)
from llava_video.toyworld.dataset import write_video
from llava_video.toyworld.draw.render import num_frames_of
from llava_video.toyworld.verify.checker import Checker
from llava_video.toyworld.verify.text_only_baseline import BlindResult, blind_accuracy


def processor_seconds(work: Callable[[], object], repeats: int = 5) -> float:
    """The best of some runs: other work on the machine slows single ones."""
    seconds = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        seconds.append(time.process_time() - start)
    return min(seconds)


def measure_speed() -> None:
    """Processor time of one core."""
    print(
        "| level | 16 frames of 64 px: clips/s | with script and questions | 224 px, 10 fps | ",
        end="",
    )
    print("to H.264 |\n|---|---|---|---|---|")
    for level in LEVELS:
        scripts = [generate_script(seed, level) for seed in range(200)]
        render(scripts[0], 2, 64)
        make_questions(scripts[0])
        drawing = processor_seconds(lambda s=scripts: [render(script, 16, 64) for script in s])
        writing = processor_seconds(
            lambda n=level: [make_questions(generate_script(seed, n)) for seed in range(200)]
        )
        few = scripts[:6]
        length = sum(script.duration_seconds for script in few)
        videos = processor_seconds(lambda s=few: [draw_video(script) for script in s])
        files = processor_seconds(lambda s=few: [encode_video(script) for script in s])
        print(
            f"| {level} | {200 / drawing:.0f} | {200 / (drawing + writing):.0f} "
            f"| {length / videos:.0f}x real time | {length / files:.0f}x |"
        )


def draw_video(script: Script) -> None:
    num_frames = num_frames_of(script)
    for start in range(0, num_frames, 32):
        numbers = np.arange(start, min(start + 32, num_frames))
        render_at(script, numbers / 10, 224, frame_numbers=numbers)


def encode_video(script: Script) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_video(script, Path(folder) / "video.mp4", (224, 224), 10.0)


def measure_truth(num_questions: int) -> None:
    """Every answer, and every description, against what is seen on stage."""
    asked: Counter[str] = Counter()
    wrong = num_texts = wrong_texts = seed = 0
    while asked.total() < num_questions:
        script = generate_script(seed, LEVELS[seed % len(LEVELS)])
        checker = Checker(script)
        for question in make_questions(script):
            asked[question.type] += 1
            wrong += checker.check(question) != ""
        if script.level != "simple":
            for told in describe_levels(script):
                num_texts += 1
                span = (told.start_seconds, told.end_seconds)
                wrong_texts += checker.check_description(told.text, *span) != ""
        seed += 1
    print(f"{asked.total():,} questions about {seed:,} videos: {wrong} answers not as seen")
    print(f"{num_texts:,} descriptions: {wrong_texts} not as seen")
    for type_ in QUESTION_TYPES:
        print(f"| {type_} | {asked[type_]:,} |")


def measure_blind(num_videos: int) -> None:
    """What a naive Bayes reader without video gets, by type."""
    results = {level: blind_of(level, num_videos) for level in LEVELS}
    print(f"| type | form | {' | '.join(LEVELS)} |\n|---|---|{'---|' * len(LEVELS)}")
    for type_ in QUESTION_TYPES:
        for form in ("choice", "open"):
            cells = []
            for level in LEVELS:
                found = results[level].get((type_, form))
                cells.append(f"{found.accuracy:.2f} ({found.chance:.2f})" if found else "")
            print(f"| {type_} | {form} | {' | '.join(cells)} |")


def blind_of(level: str, num_videos: int) -> dict[tuple[str, str], BlindResult]:
    def ask(seeds: range) -> list[Question]:
        return [q for seed in seeds for q in make_questions(generate_script(seed, level))]

    return blind_accuracy(ask(range(num_videos)), ask(range(num_videos, num_videos * 3 // 2)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="*", default=["speed", "truth", "blind"])
    parser.add_argument("--num-questions", type=int, default=10_000)
    parser.add_argument("--num-videos", type=int, default=4_000)
    arguments = parser.parse_args()
    if "speed" in arguments.what:
        measure_speed()
    if "truth" in arguments.what:
        measure_truth(arguments.num_questions)
    if "blind" in arguments.what:
        measure_blind(arguments.num_videos)


if __name__ == "__main__":
    main()
