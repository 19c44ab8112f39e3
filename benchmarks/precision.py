"""What bfloat16 and int8 weights change, beside float32, on a CPU.

``tiny``: the answers to toyworld's questions, how many are those of float32, how many are right.
``random``: random weights in the shapes of SigLIP so400m and Qwen2-0.5B: features, the place of
float32's first token, greedy ids. Random weights have flat logits, so that ids part early.

Run: python benchmarks/precision.py [tiny|random] [--num-videos 20] [--frames 4]
"""

from __future__ import annotations

import argparse
import gc
import tempfile
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import torch
from laptop import make_checkpoints

from llava_video.chat.local_model import LocalModel
from llava_video.chat.protocol import Answered, AnswerOptions
from llava_video.evaluate.asked import Asked, ask_all
from llava_video.evaluate.source import load_questions
from llava_video.evaluate.tasks import find_benchmark
from llava_video.records.options import chosen_letter

PRECISIONS = {
    "float32": {"dtype": "float32"},
    "bfloat16": {"dtype": "bfloat16"},
    "int8": {"int8": True},
}


def answers_of(model: LocalModel, asked: list[Asked]) -> list[str]:
    texts = []
    for _, group in groupby(asked, key=lambda each: each.batch):
        rows = [
            [{"role": "user", "content": [{"type": "video", "video": str(each.video)},
                                          {"type": "text", "text": each.prompt}]}]
            for each in group
        ]  # fmt: skip
        answered = [p for p in model.answer(rows, AnswerOptions(20)) if isinstance(p, Answered)]
        texts += [piece.text for piece in sorted(answered, key=lambda piece: piece.row)]
    return texts


def is_right(each: Asked, text: str) -> bool:
    question = each.question
    if question.options:
        return chosen_letter(text, list(question.options)) == question.answer
    return text.strip(" .").lower() == str(question.answer).strip(" .").lower()


def tiny(num_videos: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        benchmark = find_benchmark("toyworld")
        source = load_questions(
            benchmark, annotations=None, videos=None, made_in=Path(folder),
            num_videos=num_videos, level="simple",
        )  # fmt: skip
        asked = ask_all(benchmark, source.questions, source.folder)
        said = {
            name: answers_of(LocalModel.load("tiny", device="cpu", **options), asked)  # type: ignore[arg-type]
            for name, options in PRECISIONS.items()
        }
    print(f"tiny, {len(asked)} questions about {num_videos} videos of the simple level\n")
    print("| | right | answers of float32 |\n|---|---|---|")
    for name, texts in said.items():
        right = sum(map(is_right, asked, texts)) / len(asked)
        same = sum(map(str.__eq__, texts, said["float32"])) / len(asked)
        print(f"| {name} | {right:.3f} | {same:.3f} |")


@torch.inference_mode()
def random(num_frames: int) -> None:
    checkpoint, _ = make_checkpoints()
    torch.manual_seed(0)
    frames = torch.randint(0, 256, (num_frames, 384, 384, 3), dtype=torch.uint8).numpy()
    found = dict(_computed(checkpoint, frames))
    features, scores, ids = found["float32"]
    print("| | features' relative error | place of float32's first token | same ids of 16 |")
    print("|---|---|---|---|")
    for name, (some, logits, said) in found.items():
        error = float((some - features).norm() / features.norm())
        place = int((logits > logits[scores.argmax()]).sum())
        same = next((i for i, (a, b) in enumerate(zip(said, ids, strict=True)) if a != b), len(ids))
        print(f"| {name} | {error:.4f} | {place + 1} | {same} |")


def _computed(
    checkpoint: Path, frames: object
) -> Iterator[tuple[str, tuple[torch.Tensor, torch.Tensor, list[int]]]]:
    for name, options in PRECISIONS.items():
        model = LocalModel.load(checkpoint, device="cpu", **options)  # type: ignore[arg-type]
        network = model.network
        inputs = model.processor("What happens?", frames)  # type: ignore[arg-type]
        features = network.model.encode_frames(inputs["pixel_values_videos"]).float()
        output = network.generate(
            **inputs, max_new_tokens=16, min_new_tokens=16, do_sample=False,
            output_scores=True, return_dict_in_generate=True,
        )  # fmt: skip
        new_ids = output.sequences[0, inputs["input_ids"].shape[1] :].tolist()
        yield name, (features, output.scores[0][0].float(), new_ids)
        del model, network
        gc.collect()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("tiny", "random"), nargs="?", default="tiny")
    parser.add_argument("--num-videos", type=int, default=20)
    parser.add_argument("--frames", type=int, default=4)
    options = parser.parse_args()
    if options.what == "tiny":
        tiny(options.num_videos)
    else:
        random(options.frames)


if __name__ == "__main__":
    main()
