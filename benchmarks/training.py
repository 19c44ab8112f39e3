"""Tokens per second of packed rows against padded ones, and the share of time waiting for data.

One small model with random weights (a language model of 1.1 million parameters beside a vision
encoder of 0.06: vision is about a fifth of the work for a video, as it is for a 7B) learns toyworld
videos of 5, 20 and 60 seconds that are decoded from files, as in real training: captions and
conversations of very different lengths. Everything is learnt, in float32. Tokens are those of
samples; padding does not count, nor does the first step. CPU time is that of the training process,
without its workers: on a machine that does other work, trust that.

- packed: rows filled with samples, as `llava_video.train` does.
- one sample a row: the same with ``packing=false``, rows of one step about as long.
- padded: the same model, random batches, padded to the longest.
- LlavaOnevision, padded: transformers' own model of the same sizes, and its Trainer. It takes
  videos of the same number of frames only.

Run: python benchmarks/training.py [--num-videos 24] [--steps 8] [--workers 2] [--rounds 2]
     [--threads 1]
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader
from transformers import (
    LlavaOnevisionConfig,
    LlavaOnevisionForConditionalGeneration,
    PrinterCallback,
    Trainer,
    TrainingArguments,
)

from llava_video.checkpoints.load import load, load_config, load_model
from llava_video.model import LlavaVideoConfig, LlavaVideoForConditionalGeneration
from llava_video.processing.processor import LlavaVideoProcessor
from llava_video.representation import VideoRepresentation
from llava_video.toyworld.dataset import DatasetSettings, make_dataset
from llava_video.train.attention import PACKED
from llava_video.train.data.encode import Encoded, Encoder, RowCollator, RowDataset
from llava_video.train.data.packing import LABEL_IGNORED, plan_rows
from llava_video.train.devices import make_accelerator
from llava_video.train.log import Log
from llava_video.train.loop import Loop, Objective
from llava_video.train.objectives import Sft
from llava_video.train.plan import Plan, make_plan
from llava_video.train.recipe import load_recipe

TOKENS_PER_STEP = 2500
LEARNING_RATE = 1e-5
VISION = {
    "hidden_size": 48, "intermediate_size": 192, "num_hidden_layers": 2,
    "num_attention_heads": 4, "image_size": 64, "patch_size": 8,
}  # fmt: skip
TEXT = {
    "hidden_size": 128, "intermediate_size": 512, "num_hidden_layers": 4,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 8192,
    "vocab_size": 1024, "tie_word_embeddings": False,
}  # fmt: skip


def make_mixture(folder: Path, num_videos: int) -> Path:
    """Videos of 5, 20 and 60 seconds with captions and questions."""
    for number, seconds in enumerate((5.0, 20.0, 60.0)):
        settings = DatasetSettings(seed=1000 * number, level="standard", seconds=seconds)
        list(make_dataset(folder / f"{seconds:g}", num_videos // 3, settings))
    entries = []
    for path in sorted(folder.glob("*/toyworld_*.json")):
        records = json.loads(path.read_text())
        for record in records:
            record["video"] = f"{path.parent.name}/{record['video']}"
        path.write_text(json.dumps(records))
        entries.append({"json_path": str(path.relative_to(folder))})
    mixture = folder / "mixture.yaml"
    mixture.write_text(yaml.safe_dump({"datasets": entries}))
    return mixture


def save_model(directory: Path) -> None:
    """A model whose video tokens are those of LlavaOnevision."""
    tokenizer = load("tiny")[1].tokenizer
    values = VideoRepresentation(
        max_frames=64, grid_side=8, slow_stride=1, pooling="bilinear", newline="end"
    ).to_dict()
    placeholder = tokenizer.convert_tokens_to_ids("<image>")
    torch.manual_seed(0)
    config = LlavaVideoConfig(
        vision_config=VISION, text_config=TEXT, video_token_id=placeholder,
        video_representation=values, has_newline=True,
    )  # fmt: skip
    LlavaVideoForConditionalGeneration(config).save_pretrained(directory)
    LlavaVideoProcessor(
        tokenizer, image_size=64, video_token_id=placeholder, video_representation=values,
        max_positions=8192,
    ).save_pretrained(directory)  # fmt: skip


def onevision(placeholder: int) -> LlavaOnevisionForConditionalGeneration:
    """The model of transformers, of the same sizes."""
    torch.manual_seed(0)
    return LlavaOnevisionForConditionalGeneration(
        LlavaOnevisionConfig(
            vision_config={"model_type": "siglip_vision_model", **VISION},
            text_config={"model_type": "qwen2", **TEXT},
            video_token_id=placeholder,
            image_token_id=TEXT["vocab_size"] - 1,
            vision_feature_layer=-1,
            vision_feature_select_strategy="full",
            vision_aspect_ratio="anyres_max_9",
            tie_word_embeddings=False,
        )
    )


@dataclass(frozen=True)
class PlainCollator:
    """One sample a row, padded on the right to the longest."""

    collate: RowCollator
    frames_in_rows: bool = False

    def __call__(self, rows: list[list[Encoded]]) -> dict[str, Any]:
        samples = [sample for row in rows for sample in row]
        batch = self.collate(rows)
        ids = [torch.tensor(sample.input_ids) for sample in samples]
        labels = [torch.tensor(sample.labels) for sample in samples]
        padding = self.collate.processor.tokenizer.pad_token_id
        found = {
            "input_ids": pad_sequence(ids, batch_first=True, padding_value=padding),
            "labels": pad_sequence(labels, batch_first=True, padding_value=LABEL_IGNORED),
            "attention_mask": pad_sequence([torch.ones_like(i) for i in ids], batch_first=True),
            "pixel_values_videos": batch["pixel_values_videos"],
            "num_frames_per_video": batch["num_frames_per_video"],
            "num_tokens": batch["num_tokens"],
        }
        if self.frames_in_rows:
            del found["num_frames_per_video"]
            pixels = found["pixel_values_videos"]
            found["pixel_values_videos"] = pixels.unflatten(0, (len(samples), -1))
        return found


@dataclass(frozen=True)
class Batch:
    """A batch as it came: tokens and places for tokens, when, and how long it was waited for."""

    num_tokens: int
    num_places: int
    start_seconds: float
    cpu_seconds: float
    waited_seconds: float


class TimedTrainer(Trainer):
    """Trainer that keeps an account of each batch."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.account: list[Batch] = []

    def get_batch_samples(self, *args: Any, **kwargs: Any) -> Any:
        start, cpu = time.perf_counter(), time.process_time()
        found = super().get_batch_samples(*args, **kwargs)
        for batch in found[0]:
            tokens, _ = batch.pop("num_tokens"), batch.pop("sample_names", None)
            waited = time.perf_counter() - start
            self.account.append(Batch(tokens, batch["input_ids"].numel(), start, cpu, waited))
        return found


class TimedLog(Log):
    """Log that keeps an account of each batch, as `TimedTrainer` does."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.account: list[Batch] = []

    @contextmanager
    def waiting(self) -> Iterator[None]:
        start, cpu = time.perf_counter(), time.process_time()
        yield
        self._fetched = start, cpu, time.perf_counter() - start

    def count(self, batch: Mapping[str, Any]) -> None:
        tokens, places = batch["num_tokens"], batch["input_ids"].numel()
        self.account.append(Batch(tokens, places, *self._fetched))


class OwnLoss(Objective):
    """The mean loss that a model computes itself, of padded rows."""

    def loss(self, model: nn.Module, batch: dict[str, Any]) -> tuple[Tensor, dict[str, Tensor]]:
        return model(**batch).loss, {}


@dataclass(frozen=True)
class Figures:
    """What one run of steps gave."""

    tokens_per_second: float
    tokens_per_cpu_second: float
    padding_share: float
    waiting_share: float


@dataclass(frozen=True)
class Contender:
    """A model, the samples of each row in order, rows per step, and how they become a batch.

    Without an objective, transformers' Trainer trains it.
    """

    model: Callable[[], Any]
    rows: list[tuple[int, ...]]
    rows_per_step: int
    collate: Any
    objective: Objective | None


def train_by_trainer(
    contender: Contender, dataset: RowDataset, workers: int, out: Path
) -> list[Batch]:
    """Train on all rows, with transformers."""
    trainer = TimedTrainer(
        contender.model(),
        TrainingArguments(
            output_dir=str(out), num_train_epochs=1, learning_rate=LEARNING_RATE, use_cpu=True,
            per_device_train_batch_size=contender.rows_per_step, remove_unused_columns=False,
            dataloader_num_workers=workers, train_sampling_strategy="sequential",
            report_to=[], disable_tqdm=True, save_strategy="no", logging_strategy="no",
            accelerator_config={"dispatch_batches": False, "split_batches": False},
        ),
        train_dataset=dataset,
        data_collator=contender.collate,
    )  # fmt: skip
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    return trainer.account


def train_by_loop(
    contender: Contender, dataset: RowDataset, workers: int, out: Path
) -> list[Batch]:
    """Train on all rows, as `llava_video.train` does."""
    model, accelerator = contender.model(), make_accelerator()
    optimizer = AdamW(model.parameters(), lr=LEARNING_RATE)
    assert contender.objective is not None
    loader: DataLoader[Any] = DataLoader(
        dataset,
        batch_size=contender.rows_per_step,
        collate_fn=contender.collate,
        num_workers=workers,
    )
    out.mkdir(exist_ok=True)
    with TimedLog(out, accelerator, bar=False) as log:
        Loop(
            accelerator, model, contender.objective, optimizer, LambdaLR(optimizer, lambda _: 1.0),
            log, folder=out, num_steps=len(loader), log_steps=len(loader) + 1,
        ).run(loader)  # fmt: skip
    return log.account


def run(contender: Contender, plan: Plan, num_steps: int, out: Path) -> Figures:
    """Train for one step more than is measured; the last batch is fetched and not learnt."""
    num_rows = (num_steps + 2) * contender.rows_per_step
    rows = (contender.rows * -(-num_rows // len(contender.rows)))[:num_rows]
    dataset = RowDataset(plan.samples, rows, Encoder(plan.processor, plan.recipe), None)
    train = train_by_trainer if contender.objective is None else train_by_loop
    account = train(contender, dataset, plan.recipe.workers, out)
    learnt, end = account[1:-1], account[-1]
    seconds = end.start_seconds - learnt[0].start_seconds
    num_tokens = sum(batch.num_tokens for batch in learnt)
    return Figures(
        tokens_per_second=num_tokens / seconds,
        tokens_per_cpu_second=num_tokens / (end.cpu_seconds - learnt[0].cpu_seconds),
        padding_share=1 - num_tokens / sum(batch.num_places for batch in learnt),
        waiting_share=sum(batch.waited_seconds for batch in learnt) / seconds,
    )


def contenders(plan: Plan, model: Path, same_frames: bool) -> dict[str, Contender]:
    """Everybody who learns from a plan."""

    def ours(attention: str | None) -> Any:
        loaded = load_model(model, load_config(model), dtype=torch.float32)
        if attention:
            loaded.set_attn_implementation({"text_config": attention})
        return loaded

    collate, sft = RowCollator(plan.processor), Sft(plan.recipe, plan.processor)
    per_step = round(TOKENS_PER_STEP / (sum(plan.lengths) / len(plan.lengths)))
    single = plan_rows(
        plan.lengths, max(plan.lengths), packing=False, rows_per_step=per_step, seed=0
    )
    by_chance = [(i,) for i in torch.randperm(len(plan.lengths)).tolist()]
    found = {
        "packed": Contender(lambda: ours(PACKED), list(plan.rows), 1, collate, sft),
        "one sample a row": Contender(lambda: ours(PACKED), single, per_step, collate, sft),
        "padded": Contender(
            lambda: ours("sdpa"), by_chance, per_step, PlainCollator(collate), OwnLoss()
        ),
    }
    if same_frames:
        found["LlavaOnevision, padded"] = Contender(
            lambda: onevision(plan.processor.video_token_id),
            by_chance, per_step, PlainCollator(collate, frames_in_rows=True), None,
        )  # fmt: skip
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--num-videos", type=int, default=24)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, help="of PyTorch; 1 where others are at work")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        mixture = make_mixture(folder, options.num_videos)
        save_model(folder / "model")
        print("| frames | rows | tokens/s | tokens/CPU s | padding | waiting | x padded | CPU |")
        print("|---|---|---|---|---|---|---|---|")
        for frames in ("num_frames=16", "fps=1"):
            changes = [
                f"model={folder / 'model'}", f"mixture={mixture}", f"out={folder / 'out'}",
                f"video_folder={folder}", f"max_tokens={TOKENS_PER_STEP}", "max_steps=100",
                "representation=", "num_frames=", frames, f"workers={options.workers}",
            ]  # fmt: skip
            plan = make_plan(load_recipe("projector", changes))
            found: dict[str, list[Figures]] = {}
            for _ in range(options.rounds):  # by turns, as others may be at work
                for label, one in contenders(plan, folder / "model", frames != "fps=1").items():
                    figures = run(one, plan, options.steps, folder / "out")
                    found.setdefault(label, []).append(figures)
            for label, several in found.items():
                print(f"| {frames} | {label} | {_row(several, found['padded'])} |", flush=True)


def _row(several: list[Figures], padded: list[Figures]) -> str:
    """Medians of rounds, and of the ratios within rounds."""

    def median(values: Iterable[float]) -> float:
        return statistics.median(values)

    pairs = list(zip(several, padded, strict=True))
    return " | ".join(
        [
            f"{median(f.tokens_per_second for f in several):.0f}",
            f"{median(f.tokens_per_cpu_second for f in several):.0f}",
            f"{median(f.padding_share for f in several):.0%}",
            f"{median(f.waiting_share for f in several):.1%}",
            f"{median(f.tokens_per_second / p.tokens_per_second for f, p in pairs):.2f}",
            f"{median(f.tokens_per_cpu_second / p.tokens_per_cpu_second for f, p in pairs):.2f}",
        ]
    )


if __name__ == "__main__":
    main()
