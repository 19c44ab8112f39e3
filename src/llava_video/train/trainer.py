"""transformers' Trainer with learning rates per part of the model, a log, and no silent failure."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn
from transformers import Trainer, TrainerCallback, TrainingArguments

from llava_video.errors import InputError
from llava_video.train.recipe import Recipe
from llava_video.train.rows import LABEL_IGNORED

LOG_FILE = "log.jsonl"


def part_of(name: str) -> str:
    """The part of the model that a parameter belongs to, as `LearningRates` names it."""
    if "vision_encoder" in name:
        return "vision_encoder"
    if any(word in name for word in ("projector", "newline", "separator")):
        return "projector"
    return "language_model"


def set_trainable(model: nn.Module, recipe: Recipe) -> None:
    """Freeze the parts without a learning rate; adapters are always trained."""
    rates = recipe.learning_rates.model_dump()
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("lora_" in name or rates[part_of(name)] is not None)


def parameter_groups(model: nn.Module, recipe: Recipe) -> list[dict[str, Any]]:
    """What is trained, by part and with or without weight decay (vectors have none)."""
    rates = recipe.learning_rates.model_dump()
    groups: dict[tuple[float, float], list[Tensor]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        is_adapter = "lora_" in name and recipe.lora is not None
        rate = recipe.lora.learning_rate if is_adapter and recipe.lora else rates[part_of(name)]
        decay = recipe.weight_decay if parameter.ndim > 1 else 0.0
        groups.setdefault((rate, decay), []).append(parameter)
    return [
        {"params": parameters, "lr": rate, "weight_decay": decay}
        for (rate, decay), parameters in groups.items()
    ]


class RowTrainer(Trainer):
    """Runs rows in their order, stops at a loss that is no number, and measures its waiting."""

    def __init__(self, *args: Any, watch: Watch, **kwargs: Any) -> None:
        super().__init__(*args, callbacks=[watch], **kwargs)
        self.watch = watch

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[list[Any], Any]:
        """As transformers' own, with the time that it takes."""
        start = time.perf_counter()
        found: tuple[list[Any], Any] = super().get_batch_samples(
            epoch_iterator, num_batches, device
        )
        self.watch.waited_seconds += time.perf_counter() - start
        return found

    def training_step(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        num_items_in_batch: Tensor | int | None = None,
    ) -> Tensor:
        """One step; a loss that is no number ends the run and names the samples."""
        names, num_tokens = inputs.pop("names"), inputs.pop("num_tokens")
        num_video_tokens = int((inputs["input_ids"] == self.model.config.video_token_id).sum())
        if not bool((inputs["labels"] != LABEL_IGNORED).any()):
            return torch.zeros((), device=self.args.device)
        self.watch.count(num_tokens, num_video_tokens)
        loss: Tensor = super().training_step(model, inputs, num_items_in_batch)
        if not math.isfinite(float(loss)):
            raise InputError(
                f"the loss is {float(loss)} at step {self.state.global_step + 1}, with the samples "
                f"{', '.join(names)}; the last checkpoint is whole. Lower the learning rate, or "
                "leave these samples out"
            )
        return loss


class Watch(TrainerCallback):
    """A progress bar, and a log with speed and the share of time spent waiting for data.

    Args:
        folder: the run folder.
        bar: whether to show the bar.
    """

    def __init__(self, folder: Path, bar: bool) -> None:
        self._path = folder / LOG_FILE
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed}/{task.total}"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[told]}"),
            disable=not bar,
        )
        self.waited_seconds = 0.0
        self._num_tokens = self._num_video_tokens = 0
        self._since = 0.0

    def count(self, num_tokens: int, num_video_tokens: int) -> None:
        """Count what one step learns from, padding apart."""
        self._num_tokens += num_tokens
        self._num_video_tokens += num_video_tokens

    def on_train_begin(self, args: TrainingArguments, state: Any, control: Any, **_: Any) -> None:
        """Start the clock and the bar."""
        self._start_over()
        self._progress.start()
        self._task = self._progress.add_task(
            "training", total=state.max_steps, completed=state.global_step, told=""
        )

    def on_step_end(self, args: TrainingArguments, state: Any, control: Any, **_: Any) -> None:
        """Move the bar."""
        self._progress.update(self._task, completed=state.global_step)

    def on_log(
        self, args: TrainingArguments, state: Any, control: Any, logs: Any = None, **_: Any
    ) -> None:
        """Write one line, with the rates since the last one."""
        seconds = time.perf_counter() - self._since
        line = {"step": state.global_step, **logs}
        if "loss" in logs:
            line["tokens_per_second"] = round(self._num_tokens / seconds, 1)
            line["video_tokens_per_second"] = round(self._num_video_tokens / seconds, 1)
            line["data_wait_share"] = round(self.waited_seconds / seconds, 4)
            told = f"loss {float(logs['loss']):.4f}, {line['tokens_per_second']:.0f} tokens/s"
            self._progress.update(self._task, told=told)
            self._start_over()
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def on_train_end(self, args: TrainingArguments, state: Any, control: Any, **_: Any) -> None:
        """Leave the bar as it stands."""
        self._progress.stop()

    def _start_over(self) -> None:
        self.waited_seconds = 0.0
        self._num_tokens = self._num_video_tokens = 0
        self._since = time.perf_counter()
