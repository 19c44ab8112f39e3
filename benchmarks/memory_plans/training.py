"""Estimated against measured peak host memory of training, for one random model.

Each way of training runs in a process of its own: three steps on the same row, of which the second
is measured, from its forward pass to its update. Measured is the most that the process held beyond
what it held before the model was loaded, by the kernel's count, with freed memory given back at
once. The same has been trained once before in that process: what libraries compile for its shapes
when they first meet them, 35 MiB here with bfloat16 whatever the size of the model, is not counted.
Weights that no step reads, such as most embeddings, are read before, as a GPU would hold them.

Run: python benchmarks/memory_plans/training.py
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memory import PeakMeter, resident_bytes

if TYPE_CHECKING:
    from llava_video.train.recipe import Recipe

WAYS = {
    "projector": ["projector"],
    "everything": ["video-sft"],
    "everything, activations kept": ["video-sft", "gradient_checkpointing=false"],
    "adapters": ["lora"],
    "everything, bfloat16": ["video-sft", "dtype=bfloat16"],
    "adapters, bfloat16": ["lora", "dtype=bfloat16"],
}
SHAPE: dict[str, dict[str, Any]] = {
    "vision_config": {
        "hidden_size": 288, "intermediate_size": 1076, "num_hidden_layers": 3,
        "num_attention_heads": 8, "image_size": 384, "patch_size": 14,
    },
    "text_config": {
        "hidden_size": 448, "intermediate_size": 2432, "num_hidden_layers": 3,
        "num_attention_heads": 7, "num_key_value_heads": 1, "vocab_size": 8192,
        "max_position_embeddings": 32768,
    },
}  # fmt: skip


def prepare(folder: Path) -> None:
    """Write a random model and one video with one question."""
    import torch

    from llava_video import load
    from llava_video.model import LlavaVideoConfig, LlavaVideoForConditionalGeneration
    from llava_video.processing.processor import LlavaVideoProcessor
    from llava_video.representation import VideoRepresentation
    from llava_video.tiny.tokenizer import VIDEO
    from llava_video.toyworld.dataset import DatasetSettings, make_dataset

    list(make_dataset(folder / "data", 1, DatasetSettings(seed=1, level="simple")))
    tokenizer = load("tiny")[1].tokenizer
    representation = VideoRepresentation(pooling="bilinear", newline="grid").to_dict()
    video_token_id = tokenizer.convert_tokens_to_ids(VIDEO)
    torch.manual_seed(0)
    config = LlavaVideoConfig(
        **SHAPE, video_token_id=video_token_id, video_representation=representation,
        has_newline=True,
    )  # fmt: skip
    LlavaVideoForConditionalGeneration(config).save_pretrained(folder / "model")
    LlavaVideoProcessor(
        tokenizer, image_size=384, video_token_id=video_token_id,
        video_representation=representation, max_positions=32768,
    ).save_pretrained(folder / "model")  # fmt: skip


def recipe_of(folder: Path, words: list[str], out: Path) -> Recipe:
    """Three steps on the one sample."""
    from llava_video.train.recipe import load_recipe

    return load_recipe(
        words[0],
        [
            f"model={folder / 'model'}", f"video_folder={folder / 'data'}", f"out={out}",
            f"mixture={folder / 'data' / 'toyworld_cap.json'}", "num_frames=4", "epochs=3",
            "rows_per_update=1", "representation=", "workers=0", "report_samples=0",
            "dtype=float32", "save_steps=100", *words[1:],
        ],
    )  # fmt: skip


def measure(folder: Path, words: list[str], out: Path) -> dict[str, int]:
    """The estimate of a way of training, and the peak of its second step."""
    from llava_video.train.objectives import Sft
    from llava_video.train.plan import estimate_plan, make_plan
    from llava_video.train.run import train

    train(recipe_of(folder, words, out / "first"), bar=False)
    recipe = recipe_of(folder, words, out / "second")
    estimate = estimate_plan(make_plan(recipe), 1, "cpu").to_dict()
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    meter = PeakMeter()
    before = resident_bytes()
    peaks = []
    loss = Sft.loss

    def watched(objective: Sft, model: Any, batch: dict[str, Any]) -> Any:
        peaks.append(meter.restart())
        for parameter in model.parameters():
            parameter.sum()
        return loss(objective, model, batch)

    Sft.loss = watched  # type: ignore[method-assign]
    train(recipe, bar=False)
    return {**estimate, "measured": peaks[2] - before}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--way", nargs="+", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way:
        with tempfile.TemporaryDirectory() as out:
            print(json.dumps(measure(options.folder, options.way, Path(out))))
        return
    # Tensors of 64 KiB and more go back to the system when they are freed.
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536", "OMP_NUM_THREADS": "1"}
    print("| trained | weights and optimizer | activations | estimated | measured | ratio |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder))
        for name, words in WAYS.items():
            command = [sys.executable, __file__, "--folder", folder, "--way", *words]
            done = subprocess.run(
                command, stdout=subprocess.PIPE, text=True, check=True, env=environment
            )
            told = json.loads(done.stdout.splitlines()[-1])
            fixed = told["weights"] + told["gradients"] + told["optimizer"]
            sizes = (fixed, told["peak"] - fixed, told["peak"], told["measured"])
            columns = " | ".join(f"{size / 2**20:,.0f} MiB" for size in sizes)
            ratio = told["peak"] / told["measured"]
            print(f"| {name} | {columns} | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    main()
