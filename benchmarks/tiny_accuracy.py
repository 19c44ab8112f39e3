"""How often tiny is right about held-out toyworld videos, per kind of question.

Beside it stand three scores that show whether it looks: without the video, with the video of
another clip, and with only the first frame. Run: python benchmarks/tiny_accuracy.py
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Callable, Sequence

import torch

import llava_video as lv
from llava_video.toyworld import Question, generate_script, make_questions, render

Seen = Callable[[int], lv.Frames | None]


def ask(
    model: lv.LlavaVideoForConditionalGeneration,
    processor: lv.LlavaVideoProcessor,
    questions: Sequence[Question],
    frames: lv.Frames | None,
) -> list[str]:
    prompts = [
        q.prompt_multiple_choice() if q.options else q.prompt_open_ended(one_word=True)
        for q in questions
    ]
    inputs = processor(prompts, [frames] * len(prompts))
    output = model.generate(**inputs, max_new_tokens=8, do_sample=False)
    return [processor.decode_answer(row, inputs["input_ids"].shape[1]) for row in output]


def is_right(question: Question, answer: str) -> bool:
    if question.options:
        return answer.strip()[:1] == question.answer_letter
    return answer.strip().rstrip(".").casefold() == question.answer.casefold()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--num-videos", type=int, default=100)
    parser.add_argument("--first-seed", type=int, default=0, help="training uses 1,000,000 and up")
    parser.add_argument("--level", default="simple")
    options = parser.parse_args()
    torch.set_grad_enabled(False)
    model, processor = lv.load(options.model, dtype=torch.float32)
    num_frames = processor.representation.max_frames

    def video(seed: int) -> lv.Frames:
        script = generate_script(seed=seed, level=options.level)
        return render(script, num_frames=num_frames, size=processor.image_size)

    def first_frame(seed: int) -> lv.Frames:
        return lv.Frames.from_array(video(seed).pixels[:1])

    conditions: dict[str, Seen] = {
        "video": video,
        "no video": lambda seed: None,
        "other video": lambda seed: video(seed + 1),
        "first frame": first_frame,
    }
    hits: dict[tuple[str, str], list[bool]] = defaultdict(list)
    answers: dict[str, list[str]] = defaultdict(list)
    for seed in range(options.first_seed, options.first_seed + options.num_videos):
        script = generate_script(seed=seed, level=options.level)
        questions = make_questions(script, seed=seed)
        for question in questions:
            answers[_row(question)].append(question.answer_letter or question.answer)
        for condition, see in conditions.items():
            for question, answer in zip(
                questions, ask(model, processor, questions, see(seed)), strict=True
            ):
                for row in (_row(question), f"all, {_form(question)}", "all"):
                    hits[row, condition].append(is_right(question, answer))
    print(f"| question | asked | {' | '.join(conditions)} | most frequent answer |")
    print("|---|---|" + "---|" * (len(conditions) + 1))
    for row in dict.fromkeys(row for row, _ in sorted(hits)):
        scores = [hits[row, condition] for condition in conditions]
        cells = " | ".join(f"{sum(score) / len(score):.2f}" for score in scores)
        given = answers.get(row, [])
        most = max((given.count(a) for a in set(given)), default=0) / len(given) if given else None
        print(f"| {row} | {len(scores[0])} | {cells} | {'' if most is None else f'{most:.2f}'} |")


def _form(question: Question) -> str:
    return "choice" if question.options else "open-ended"


def _row(question: Question) -> str:
    return f"{question.kind}, {_form(question)}"


if __name__ == "__main__":
    main()
