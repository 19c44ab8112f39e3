"""How often tiny is right about held-out toyworld videos, per kind or type of question.

Beside it stand four scores that show whether it looks: without the video, with the video of
another clip, with only the first frame, and with the frames in another order. A second table tells
how often it is right about a question that follows another, a third how often it says that a video
is not of toyworld: of toyworld's own videos, of noise clips, and of the files of a folder::

    python benchmarks/tiny_accuracy.py [--num-videos 140] [--real-videos FOLDER]
    python benchmarks/tiny_accuracy.py --level standard     # as in training, all 16 types
    python benchmarks/tiny_accuracy.py --level crowded      # more actors than in any training clip
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch

import llava_video as lv
from llava_video.errors import VideoError
from llava_video.tiny.accuracy import ask, generate_answers, is_correct, prompt
from llava_video.tiny.noise_clips import OUT_OF_DOMAIN_ANSWER, noise_clip
from llava_video.toyworld import Question, generate_script, make_questions, render

Seen = Callable[[int], lv.Frames | None]


def ask_after(
    model: lv.LlavaVideoForConditionalGeneration,
    processor: lv.LlavaVideoProcessor,
    pairs: Sequence[tuple[Question, Question]],
    frames: lv.Frames,
) -> list[str]:
    """Answers to the second question of each pair, the first of which was answered right."""
    shown = {"type": "video", "video": frames.pixels}
    inputs = processor.apply_chat_template(
        [
            [
                {"role": "user", "content": [shown, text_part(prompt(before))]},
                {"role": "assistant", "content": [text_part(truth(before))]},
                {"role": "user", "content": [text_part(prompt(question))]},
            ]
            for before, question in pairs
        ]
    )
    return generate_answers(model, processor, inputs)


def text_part(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def truth(question: Question) -> str:
    return f"{question.answer_letter}." if question.options else question.answer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--num-videos", type=int, default=100)
    parser.add_argument("--first-seed", type=int, default=0, help="training uses 1,000,000 and up")
    parser.add_argument("--level", default="simple")
    parser.add_argument("--real-videos", type=Path, help="a folder of videos that tiny cannot know")
    options = parser.parse_args()
    torch.set_grad_enabled(False)
    model, processor = lv.load(options.model, dtype=torch.float32)
    num_frames, size = processor.representation.max_frames, processor.image_size

    def video(seed: int) -> lv.Frames:
        script = generate_script(seed=seed, level=options.level)
        return render(script, num_frames=num_frames, size=size)

    def first_frame(seed: int) -> lv.Frames:
        return lv.Frames.from_array(video(seed).pixels[:1])

    def shuffled(seed: int) -> lv.Frames:
        order = np.random.default_rng(seed).permutation(num_frames)
        return lv.Frames.from_array(video(seed).pixels[order])

    conditions: dict[str, Seen] = {
        "video": video,
        "no video": lambda seed: None,
        "other video": lambda seed: video(seed + 1),
        "first frame": first_frame,
        "shuffled frames": shuffled,
    }
    hits: dict[tuple[str, str], list[bool]] = defaultdict(list)
    follow_ups: dict[tuple[str, str], list[bool]] = defaultdict(list)
    refusals: list[bool] = []
    answers: dict[str, list[str]] = defaultdict(list)
    for seed in range(options.first_seed, options.first_seed + options.num_videos):
        script = generate_script(seed=seed, level=options.level)
        questions = make_questions(script, seed=seed)
        for question in questions:
            answers[_row(question, options.level)].append(question.answer_letter or question.answer)
        for condition, see in conditions.items():
            for question, answer in zip(
                questions, ask(model, processor, questions, see(seed)), strict=True
            ):
                if condition == "video":
                    refusals.append(answer == OUT_OF_DOMAIN_ANSWER)
                for row in (_row(question, options.level), f"all, {_form(question)}", "all"):
                    hits[row, condition].append(is_correct(question, answer))
        pairs = list(pairwise(questions))
        for (before, question), answer in zip(
            pairs, ask_after(model, processor, pairs, video(seed)), strict=True
        ):
            follow_ups[_form(before), _form(question)].append(is_correct(question, answer))
    print(f"| question | asked | {' | '.join(conditions)} | most frequent answer |")
    print("|---|---|" + "---|" * (len(conditions) + 1))
    for row in dict.fromkeys(row for row, _ in sorted(hits)):
        scores = [hits[row, condition] for condition in conditions]
        cells = " | ".join(f"{sum(score) / len(score):.2f}" for score in scores)
        given = answers.get(row, [])
        most = max((given.count(a) for a in set(given)), default=0) / len(given) if given else None
        print(f"| {row} | {len(scores[0])} | {cells} | {'' if most is None else f'{most:.2f}'} |")
    print("\n| question | follows | asked | right |\n|---|---|---|---|")
    for (earlier, form), rights in sorted(follow_ups.items()):
        print(f"| {form} | {earlier} | {len(rights)} | {sum(rights) / len(rights):.2f} |")
    print(f"\n| says {OUT_OF_DOMAIN_ANSWER!r} | videos | questions | share |\n|---|---|---|---|")
    print(_refused(f"toyworld, level {options.level}", options.num_videos, refusals))
    noise_clips = [noise_clip(seed, num_frames, size) for seed in range(options.num_videos)]
    print(refusal_row("drawn without toyworld", model, processor, noise_clips))
    if options.real_videos:
        files = sorted(path for path in options.real_videos.iterdir() if path.suffix != ".md")
        real = [frames for path in files if (frames := readable(path, num_frames, size))]
        print(refusal_row("real", model, processor, real))


def readable(path: Path, num_frames: int, size: int) -> lv.Frames | None:
    try:
        return lv.read_video(path, num_frames=num_frames, size=size)
    except VideoError as error:
        print(f"left out: {error}")
        return None


def refusal_row(
    name: str,
    model: lv.LlavaVideoForConditionalGeneration,
    processor: lv.LlavaVideoProcessor,
    videos: Sequence[lv.Frames],
) -> str:
    """Of how many questions about these videos the model says that they are none of its world."""
    refusals = []
    for seed, frames in enumerate(videos):
        script = generate_script(seed=seed, level="simple")
        questions = make_questions(script, seed=seed)
        for answer in ask(model, processor, questions, frames):
            refusals.append(answer == OUT_OF_DOMAIN_ANSWER)
    return _refused(name, len(videos), refusals)


def _refused(name: str, num_videos: int, refusals: Sequence[bool]) -> str:
    return f"| {name} | {num_videos} | {len(refusals)} | {sum(refusals) / len(refusals):.2f} |"


def _form(question: Question) -> str:
    return "choice" if question.options else "open-ended"


def _row(question: Question, level: str) -> str:
    """Level "simple" has few types, each of several kinds; the others have all types."""
    return f"{question.kind if level == 'simple' else question.type}, {_form(question)}"


if __name__ == "__main__":
    main()
