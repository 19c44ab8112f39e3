"""What a model saves that keeps what it computed: the second question, and a folder of questions.

``turns``: seconds to the first token of a first question about a video, of a second one, of a
follow-up, and of the same question in another representation.

``folder``: 5 questions about each of 20 videos, by one `LocalModel` (the questions about a video in
one batch, the next video loaded ahead); by a loop that keeps the model loaded and calls
``generate`` for each; and by as many calls of ``llava-video ask``, of which some are measured.

Run: python benchmarks/chat.py turns                              tiny, 64 frames
     python benchmarks/chat.py turns --model 0.5b                 random weights, minutes on a CPU
     python benchmarks/chat.py folder [--num-videos 20] [--num-asks 5]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from gpu.random_checkpoint import checkpoint_of

import llava_video as lv
from llava_video.chat.local_model import LocalModel
from llava_video.chat.protocol import Answered, AnswerOptions, Sampling, answer_one
from llava_video.toyworld import generate_script
from llava_video.toyworld.dataset import write_video

QUESTIONS = (
    "What colour is the circle?",
    "How many shapes are seen in the video?",
    "In which direction does the square move?",
    "Is there a red star in the video?",
    "Which shape moves first?",
)


def write_videos(folder: Path, num_videos: int) -> list[Path]:
    videos = [folder / f"{number:02}.mp4" for number in range(num_videos)]
    for number, video in enumerate(videos):
        write_video(generate_script(number, "simple", seconds=10.0), video, (384, 384), 25.0)
    return videos


def ask(video: Path, question: str) -> list[dict[str, Any]]:
    parts = [{"type": "video", "video": str(video)}, {"type": "text", "text": question}]
    return [{"role": "user", "content": parts}]


def turns(name: str, num_frames: int, runs: int, device: str) -> None:
    model = LocalModel.load(checkpoint_of(name), device=device)
    own = replace(model.config.representation, max_frames=num_frames)
    options = AnswerOptions(2, sampling=Sampling(num_frames), representation=own)
    other = replace(own, slow_stride=1 if own.slow_stride > 1 else 3)
    answers: dict[str, list[Answered]] = {}
    with tempfile.TemporaryDirectory() as folder:
        videos = write_videos(Path(folder), runs + 1)
        answer_one(model, ask(videos.pop(), QUESTIONS[0]), replace(options, sampling=Sampling(1)))
        for video in videos:
            first = ask(video, QUESTIONS[0])
            said = answer_one(model, first, options)
            follow_up = [*first, {"role": "assistant", "content": said.text},
                         {"role": "user", "content": QUESTIONS[2]}]  # fmt: skip
            for title, answered in (
                ("first question", said),
                ("second question", answer_one(model, ask(video, QUESTIONS[1]), options)),
                ("follow-up", answer_one(model, follow_up, options)),
                ("another representation",
                 answer_one(model, first, replace(options, representation=other))),
            ):  # fmt: skip
                answers.setdefault(title, []).append(answered)
    print(f"{name}, {num_frames} frames, V = {said.videos[0].num_tokens}, {model.device}, ", end="")
    print(f"median of {runs}\n")
    print("| | to first token (s) | frames | vision | prefill | tokens prefilled | ratio |")
    print("|---|---|---|---|---|---|---|")
    base = 0.0
    for title, several in answers.items():
        stages = {
            stage: statistics.median(answered.seconds[stage] for answered in several)
            for stage in ("first_token", "frames", "vision", "prefill")
        }
        base = base or stages["first_token"]
        print(
            f"| {title} | {stages['first_token']:.4f} | {stages['frames']:.3f} | "
            f"{stages['vision']:.3f} | {stages['prefill']:.3f} | "
            f"{several[-1].usage.num_tokens_prefilled} | {base / stages['first_token']:.1f}x |"
        )
    kept = model.kept_bytes
    print(
        f"\nkept: frames {kept.frames_bytes / 2**20:.1f} MiB, features "
        f"{kept.features_bytes / 2**20:.1f} MiB, keys and values "
        f"{kept.keys_values_bytes / 2**20:.1f} MiB"
    )


def by_local_model(name: str, videos: Sequence[Path], questions: Sequence[str]) -> list[str]:
    model = LocalModel.load(name, device="cpu")
    batches = [[ask(video, question) for question in questions] for video in videos]
    answers = []
    for batch, following in zip(batches, [*batches[1:], []], strict=True):
        model.load_ahead(following[:1], AnswerOptions())
        answered = [a for a in model.answer(batch, AnswerOptions()) if isinstance(a, Answered)]
        answers += [a.text for a in sorted(answered, key=lambda a: a.row)]
    return answers


def by_loop(name: str, videos: Sequence[Path], questions: Sequence[str]) -> list[str]:
    model, processor = lv.load(name)
    answers = []
    for video in videos:
        for question in questions:
            inputs = processor(question, str(video))
            output = model.generate(**inputs, max_new_tokens=256, do_sample=False)
            answers.append(processor.decode_answer(output[0], inputs["input_ids"].shape[1]))
    return answers


def folder_of_questions(name: str, num_videos: int, num_asks: int) -> None:
    seconds: dict[str, float] = {}
    num_questions = len(QUESTIONS) * num_videos
    with tempfile.TemporaryDirectory() as folder:
        videos = write_videos(Path(folder), num_videos)
        by_local_model(name, videos[:1], QUESTIONS[:1])  # libraries and file caches
        start = time.perf_counter()
        ours = by_local_model(name, videos, QUESTIONS)
        seconds["one LocalModel"] = time.perf_counter() - start
        start = time.perf_counter()
        theirs = by_loop(name, videos, QUESTIONS)
        seconds["a loop of generate"] = time.perf_counter() - start
        start = time.perf_counter()
        for number in range(num_asks):
            words = ["ask", str(videos[number % num_videos]), QUESTIONS[number % len(QUESTIONS)]]
            command = [sys.executable, "-m", "llava_video", *words, "--model", name]
            subprocess.run([*command, "--device", "cpu"], capture_output=True, check=True)
        if num_asks:
            one = (time.perf_counter() - start) / num_asks
            seconds[f"{num_questions} x ask ({num_asks} measured)"] = one * num_questions
    same = sum(one == other for one, other in zip(ours, theirs, strict=True))
    print(f"{name}, {num_videos} videos x {len(QUESTIONS)} questions, one start of Python aside\n")
    print("| | seconds | ratio |")
    print("|---|---|---|")
    for title, value in seconds.items():
        print(f"| {title} | {value:.2f} | {value / seconds['one LocalModel']:.2f}x |")
    print(f"\n{same} of {num_questions} answers are the same by both")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=("turns", "folder"))
    parser.add_argument("--model", default="tiny", help="a checkpoint, or a size of random weights")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--num-frames", type=int, default=64)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--num-videos", type=int, default=20)
    parser.add_argument("--num-asks", type=int, default=5)
    options = parser.parse_args()
    if options.part == "turns":
        turns(options.model, options.num_frames, options.runs, options.device)
    else:
        folder_of_questions(options.model, options.num_videos, options.num_asks)


if __name__ == "__main__":
    main()
