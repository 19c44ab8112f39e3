"""Training on a GPU: samples per second, model FLOPs utilization, memory.

Each sample is a video of some 5,400 tokens with a question and its answer, decoded by the workers
of the loader as in any run. FLOPs are those of the model, whatever is computed again:

- linear layers: 2 per weight and token forward, and as many again for the gradient of the input
  and for that of the weight, each where it is needed (a frozen weight under an adapter has none);
- attention of the language model: 4 per pair of positions that see each other and channel, twice as
  many backward; of the vision encoder the same over all patches of a frame;
- the output layer at supervised positions only; embeddings and norms count nothing.

The utilization is their sum per second over the card's datasheet rate for dense bfloat16.
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import AdamW
from torch.utils.data import DataLoader
from training import PlainCollator
from transformers import get_scheduler

from gpu.random_checkpoint import free, random_checkpoint
from gpu.results import Part
from llava_video.errors import InputError
from llava_video.train.data.encode import RowCollator
from llava_video.train.data.packing import LABEL_IGNORED
from llava_video.train.devices import batches_of_process, make_accelerator
from llava_video.train.log import LOG_FILE, Log
from llava_video.train.loop import Batch, Loop, Notes
from llava_video.train.objectives import Sft
from llava_video.train.parameters import (
    build_model,
    checkpoint_activations,
    compile_layers,
    parameter_groups,
)
from llava_video.train.plan import Plan, estimate_plan, make_plan
from llava_video.train.recipe import load_recipe

DENSE_BFLOAT16_FLOPS = 989e12
"""Datasheet rate of the H100 and H200 (SXM)."""

NUM_VIDEOS, NUM_SAMPLES = 4, 64
NUM_FRAMES = 50
"""Of which (64,729,3,2) makes some 5,400 tokens."""
NUM_WARM_UP = 3
UNEQUAL = "0.5B, full, unequal videos"
ANSWER = " ".join(["It moves to the left, and then it stops."] * 10)


class Padded(Sft):
    """The peer: rows of one sample, padded to the longest, masked, all logits computed."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.attention = "sdpa"
        self.collate = PlainCollator(RowCollator(self.encoder.processor))  # type: ignore[assignment]

    def weight(self, batch: Batch) -> int:
        """The number of labels."""
        return int((batch["labels"][:, 1:] != LABEL_IGNORED).sum())

    def loss(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Notes]:
        """The sum of the cross entropies of all labels."""
        labels = batch.pop("labels")[:, 1:]
        logits = model(**batch, use_cache=False).logits[:, :-1].float()
        summed = functional.cross_entropy(
            logits.flatten(0, 1), labels.flatten(), ignore_index=LABEL_IGNORED, reduction="sum"
        )
        return summed, {}


@dataclass(frozen=True)
class Figures:
    """What a run of some steps gave; medians over steps after the first few."""

    tokens_per_second: float
    samples_per_second: float
    utilization: float
    waiting_share: float
    peak_bytes: int
    estimated_bytes: int


def make_data(folder: Path, lengths_seconds: Sequence[int]) -> Path:
    """Videos of one frame a second, and questions about them."""
    records = []
    draw = np.random.default_rng(0)
    for number, seconds in enumerate(lengths_seconds):
        pixels = draw.integers(0, 256, (48, 48, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
        with av.open(str(folder / f"{number}.mp4"), "w") as container:
            stream: Any = container.add_stream("libx264", 1)
            stream.width = stream.height = 384
            stream.pix_fmt = "yuv420p"
            for shift in range(seconds):
                frame = av.VideoFrame.from_ndarray(np.roll(pixels, 8 * shift, 1), format="rgb24")
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
    for number in range(NUM_SAMPLES):
        question = {"from": "human", "value": f"<image>\nWhat happens in part {number}?"}
        records.append({
            "id": f"{number}", "video": f"{number % len(lengths_seconds)}.mp4",
            "conversations": [question, {"from": "gpt", "value": ANSWER}],
        })  # fmt: skip
    path = folder / f"{len(lengths_seconds)}-{sum(lengths_seconds)}.json"
    path.write_text(json.dumps(records))
    return path


def flops_of(plan: Plan, batch: Batch, model: Any) -> float:
    """FLOPs of forward and backward pass of one batch of packed rows."""
    config = plan.config
    text, vision = config.text, config.vision
    rates = plan.recipe.learning_rates
    ends = batch["cu_seq_lens_q"].tolist()
    lengths = [end - start for start, end in pairwise(ends)]
    num_tokens, num_frames = sum(lengths), len(batch["pixel_values_videos"])
    num_patches = num_frames * config.grid_side**2

    def passes(is_trained: bool, sends_back: bool) -> int:
        return 1 + is_trained + sends_back

    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    language = inner.model.language_model
    full = rates.language_model is not None
    learns = full or plan.recipe.lora is not None
    total = 2.0 * num_tokens * linear_weights(language) * passes(full, learns)
    seen = sum(length * (length + 1) / 2 for length in lengths)
    total += 4 * seen * text.hidden_size * text.num_hidden_layers * (3 if learns else 1)
    num_labels = int((batch["shift_labels"] != LABEL_IGNORED).sum())
    total += 2 * num_labels * text.hidden_size * text.vocab_size * passes(full, learns)
    projects = rates.projector is not None
    num_video = int((batch["input_ids"] == config.video_token_id).sum())
    total += 2.0 * num_patches * vision.hidden_size * text.hidden_size * passes(projects, False)
    total += 2.0 * num_video * text.hidden_size**2 * passes(projects, projects)
    sees = rates.vision_encoder is not None
    encoder = 2.0 * num_patches * linear_weights(inner.model.vision_encoder)
    encoder += 4 * num_patches * config.grid_side**2 * vision.hidden_size * vision.num_hidden_layers
    return total + encoder * (3 if sees else 1)


def linear_weights(module: nn.Module) -> int:
    """Weights of matrices, without embeddings, norms and adapters."""
    return sum(
        parameter.numel()
        for name, parameter in module.named_parameters()
        if parameter.ndim == 2 and "embed" not in name and "lora_" not in name
    )


def measure(
    recipe_name: str, changes: list[str], num_steps: int, *, padded: bool = False
) -> Figures:
    """Some steps of a recipe, without checkpoints: the run of `train`, piece by piece."""
    plan = make_plan(load_recipe(recipe_name, changes))
    recipe = plan.recipe
    recipe.out.mkdir(parents=True, exist_ok=True)
    is_cuda = torch.cuda.is_available()
    estimated = estimate_plan(plan, 1, "cuda" if is_cuda else "cpu").peak
    if is_cuda and not padded and estimated > torch.cuda.mem_get_info()[0]:
        free_gib = torch.cuda.mem_get_info()[0] / 2**30
        raise InputError(f"needs {estimated / 2**30:.1f} GiB, {free_gib:.1f} are free")
    accelerator = make_accelerator(recipe.trackers, recipe.out / "tensorboard")
    torch.manual_seed(recipe.seed)
    dtype = getattr(torch, recipe.dtype)
    model = build_model(recipe, plan.directory, plan.config, dtype)
    objective = (Padded if padded else Sft)(recipe, plan.processor)
    model.set_attn_implementation({"text_config": objective.attention})
    if recipe.gradient_checkpointing:
        checkpoint_activations(model)
    if recipe.compile:
        compile_layers(model)
    prepared = accelerator.prepare_model(model)
    groups = parameter_groups(model, recipe)
    optimizer = AdamW(groups, lr=0.0, betas=(0.9, 0.999), fused=is_cuda or None)
    scheduler = get_scheduler("constant", optimizer)
    size = recipe.rows_per_step
    loader: Any = DataLoader(
        objective.dataset(plan.samples, plan.rows, recipe.out / "skipped.jsonl"),
        batch_sampler=batches_of_process(len(plan.rows), size, 0, accelerator),
        collate_fn=objective.collate, num_workers=recipe.workers, pin_memory=is_cuda,
    )  # fmt: skip
    free()
    log = Log(
        recipe.out, accelerator, bar=False, video_token_id=plan.config.video_token_id,
        steps_per_epoch=plan.steps_per_epoch, flos_per_token=0,
    )  # fmt: skip
    with log:
        Loop(
            accelerator, prepared, objective, optimizer, scheduler, log, recipe.out,
            num_steps=num_steps, batches_per_update=recipe.rows_per_update // size, log_steps=1,
            save_steps=10**9, autocast_dtype=dtype, save=lambda *_: None,
        ).run(loader)  # fmt: skip
    lines = [json.loads(line) for line in (recipe.out / LOG_FILE).read_text().splitlines()]
    lines = [line for line in lines if "tokens_per_second" in line][NUM_WARM_UP if is_cuda else 0 :]
    rate = statistics.median(line["tokens_per_second"] for line in lines)
    per_token = 0.0
    if not padded:
        batch = objective.collate([objective.dataset(plan.samples, plan.rows, Path())[0]])
        num_tokens = int(batch["cu_seq_lens_q"][-1])
        per_token = flops_of(plan, batch, model) / num_tokens
    return Figures(
        rate,
        rate / statistics.mean(plan.lengths),
        rate * per_token / DENSE_BFLOAT16_FLOPS,
        statistics.median(line["data_wait_share"] for line in lines),
        torch.cuda.max_memory_allocated() if is_cuda else 0,
        estimated,
    )


def main() -> None:
    """In order of value."""
    part = Part.of_command_line("training")
    start = time.perf_counter()
    limit = float(os.environ.get("SECONDS_LEFT", "600"))
    workers = min(12, max(1, (os.cpu_count() or 2) - 2))
    small = part.rehearse
    device = "cpu" if small else "cuda"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        even = make_data(folder, [4 if small else NUM_FRAMES] * NUM_VIDEOS)
        uneven = make_data(folder, [2, 3, 5, 8] if small else [8, 16, 32, 60])
        common = [f"video_folder={folder}", f"workers={1 if small else workers}", "warmup_ratio=0"]
        slowfast = f"representation=64,{64 if small else 729},3,2"
        frames = [slowfast, f"num_frames={2 if small else NUM_FRAMES}"]
        learns_all = [
            "lora=", "learning_rates.language_model=1e-5", "learning_rates.projector=1e-5",
        ]  # fmt: skip
        keeps = ["gradient_checkpointing=false"]
        long_rows = f"max_tokens={2000 if small else 16384}"
        by_rate = ["num_frames=", "fps=1", slowfast]
        once = "rows_per_update=1"
        runs: list[tuple[str, str, Path, list[str], int, bool]] = [
            ("7B, LoRA", "7b", even, [*frames, *keeps, once], 9, False),
            ("7B, LoRA, activations computed again", "7b", even, [*frames, once], 8, False),
            ("0.5B, full", "0.5b", even, [*frames, *learns_all, *keeps, once], 12, False),
            (f"{UNEQUAL}, packed", "0.5b", uneven,
             [*by_rate, *learns_all, *keeps, once, long_rows], 10, False),
            (f"{UNEQUAL}, padded", "0.5b", uneven,
             [*by_rate, *learns_all, *keeps, "rows_per_update=4", "rows_per_step=4",
              "packing=false", long_rows], 10, True),
            ("7B, LoRA, two samples a row", "7b", even,
             [*frames, *keeps, once, long_rows], 8, False),
            ("7B, full", "7b", even, [*frames, *learns_all, once], 8, False),
            ("7B, LoRA, compiled", "7b", even,
             [*frames, *keeps, once, "compile=true"], 10, False),
        ]  # fmt: skip
        if small:  # each kind of run once
            runs = [runs[0], *runs[2:5]]
        rates: dict[str, float] = {}
        for what, size, data, own, num_steps, padded in runs:
            if time.perf_counter() - start > limit - 20:
                part.note(f"{what}: not begun, no time was left", "")
                continue
            model = random_checkpoint("small" if small else size, device)
            out = folder / "out" / what.replace(" ", "")
            changes = [
                f"model={model}", f"mixture={data}", f"out={out}",
                "report_samples=0", f"max_tokens={1200 if small else 8192}",
                f"max_steps={num_steps}", *common, *own,
            ]  # fmt: skip
            begin = time.perf_counter()
            try:
                figures = measure("lora", changes, 2 if small else num_steps, padded=padded)
            except (InputError, torch.OutOfMemoryError) as error:
                part.note(f"{what}: does not run", str(error).splitlines()[0][:200])
                free()
                continue
            rates[what] = figures.tokens_per_second
            note(part, what, figures, time.perf_counter() - begin)
            free()
        packed, padded_rate = (
            rates.get(f"0.5B, full, unequal videos, {w}") for w in ("packed", "padded")
        )
        if packed and padded_rate:
            part.note("packed / padded, tokens/s", packed / padded_rate)


def note(part: Part, what: str, figures: Figures, seconds: float) -> None:
    """The figures of a run."""
    part.note(f"{what}: tokens/s", figures.tokens_per_second)
    part.note(f"{what}: samples/s", figures.samples_per_second)
    if figures.utilization:
        goal = ">= 0.45" if what.startswith("7B") else ""
        part.note(f"{what}: model FLOPs utilization", figures.utilization, goal)
    part.note(f"{what}: share of time waiting for data", figures.waiting_share)
    if figures.peak_bytes:
        part.note(f"{what}: peak GiB", figures.peak_bytes / 2**30)
        ratio = figures.estimated_bytes / figures.peak_bytes
        part.note(f"{what}: estimated / measured peak", ratio, "0.9 to 1.1")
    part.note(f"{what}: from plan to end, s", seconds)


if __name__ == "__main__":
    main()
