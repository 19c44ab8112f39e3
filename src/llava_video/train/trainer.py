"""transformers' Trainer with learning rates per part of the model, a log, and no silent failure."""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import torch
from accelerate import Accelerator
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn
from transformers import Trainer, TrainerCallback, TrainingArguments

from llava_video.errors import InputError
from llava_video.train.checkpoints import (
    load_optimizer,
    load_weights,
    newest_checkpoint,
    save_state,
)
from llava_video.train.data.encode import unwrapped
from llava_video.train.recipe import Recipe

T = TypeVar("T")

LOG_FILE = "log.jsonl"

_SCHEDULER_FILE = "scheduler.pt"


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
        self._names: list[str] = []
        self._names_of_update: list[str] = []

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[list[Any], Any]:
        """As transformers' own, with the time that it takes."""
        start = time.perf_counter()
        with unwrapped():
            batches, num_labels = super().get_batch_samples(epoch_iterator, num_batches, device)
        self.watch.waited_seconds += time.perf_counter() - start
        self._names_of_update = [name for batch in batches for name in batch["names"]]
        if num_labels is not None:  # an update without labels has no loss, and no division by zero
            num_labels = num_labels.clamp(min=1)
        return batches, num_labels

    def training_step(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        num_items_in_batch: Tensor | int | None = None,
    ) -> Tensor:
        """One step, with what it learns from counted and its samples known by name."""
        self._names = inputs.pop("names")
        num_video_tokens = int((inputs["input_ids"] == self.model.config.video_token_id).sum())
        self.watch.count(inputs.pop("num_tokens"), num_video_tokens)
        loss: Tensor = super().training_step(model, inputs, num_items_in_batch)
        return loss

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """As transformers' own; a loss that is no number ends the run before it spoils anything."""
        loss, outputs = self.loss_of(model, inputs, num_items_in_batch)
        if not math.isfinite(float(loss.detach())):
            raise self._spoilt(f"the loss is {float(loss.detach())}", self._names)
        return (loss, outputs) if return_outputs else loss

    def loss_of(
        self, model: nn.Module, inputs: dict[str, Any], num_items_in_batch: Tensor | int | None
    ) -> tuple[Tensor, Any]:
        """The loss of a batch, and what the model returned: transformers' own."""
        found: tuple[Tensor, Any] = super().compute_loss(model, inputs, True, num_items_in_batch)
        return found

    def _clip_grad_norm(self, model: nn.Module) -> Any:
        """As transformers' own; gradients that are no numbers end the run, too."""
        norm = super()._clip_grad_norm(model)
        if not math.isfinite(float(norm)):
            raise self._spoilt(f"the norm of the gradient is {float(norm)}", self._names_of_update)
        return norm

    def _spoilt(self, what: str, names: list[str]) -> InputError:
        last = newest_checkpoint(Path(self.args.output_dir))
        return InputError(
            f"{what} at step {self.state.global_step + 1}, with the samples "
            f"{', '.join(filter(None, names))}; "
            + (f"{last} is the last good checkpoint" if last else "no checkpoint was saved yet")
            + ". Lower the learning rate, or leave these samples out"
        )

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """As transformers' own, with the speed of all devices together."""
        if "loss" in logs:
            logs |= self.watch.rates(self.accelerator)
        super().log(logs, start_time)

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        """As transformers' own, in a folder that holds nothing of an earlier attempt."""
        folder = Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}"
        if self.args.should_save and folder.exists():
            shutil.rmtree(folder)
        self.accelerator.wait_for_everyone()
        super()._save_checkpoint(model, trial)

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Nothing: `_save_optimizer_and_scheduler` writes weights and optimizer together."""

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        save_state(Path(output_dir), self.model, self.optimizer.optimizer)
        if self.args.should_save:
            torch.save(self.lr_scheduler.state_dict(), Path(output_dir) / _SCHEDULER_FILE)

    def _save_rng_state(self, output_dir: str) -> None:
        """As transformers' own, of all processes before the file that makes a checkpoint whole."""
        super()._save_rng_state(output_dir)
        self.accelerator.wait_for_everyone()

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        load_weights(Path(resume_from_checkpoint), self.model)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is None:
            return
        load_optimizer(Path(checkpoint), self.model, self.optimizer.optimizer)
        self.lr_scheduler.load_state_dict(
            torch.load(Path(checkpoint) / _SCHEDULER_FILE, weights_only=True)
        )
        rates = self.lr_scheduler.get_last_lr()
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate


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
        self._noted: dict[str, list[Tensor]] = {}
        self._since = 0.0

    def count(self, num_tokens: int, num_video_tokens: int) -> None:
        """Count what one step learns from, padding apart."""
        self._num_tokens += num_tokens
        self._num_video_tokens += num_video_tokens

    def on_train_begin(self, args: TrainingArguments, state: Any, control: Any, **_: Any) -> None:
        """Start the clock and the bar, and a new line in the log."""
        if state.is_world_process_zero and self._path.is_file():
            # A full disk, or a kill, may have left half a line.
            with self._path.open("rb+") as file:
                file.truncate(file.read().rfind(b"\n") + 1)
        self._start_over()
        self._progress.start()
        self._task = self._progress.add_task(
            "training", total=state.max_steps, completed=state.global_step, told=""
        )

    def on_step_end(self, args: TrainingArguments, state: Any, control: Any, **_: Any) -> None:
        """Move the bar."""
        self._progress.update(self._task, completed=state.global_step)

    def note(self, name: str, values: Tensor) -> None:
        """Note values whose mean is to be logged."""
        self._noted.setdefault(name, []).append(values.detach().float().cpu())

    def track(self, description: str, steps: Iterable[T], total: int) -> Iterator[T]:
        """Steps of something else than training, with a bar of their own."""
        task = self._progress.add_task(description, total=total, told="")
        for step in steps:
            yield step
            self._progress.advance(task)
        self._start_over()

    def rates(self, accelerator: Accelerator) -> dict[str, float]:
        """What has been learnt and waited per second since the last call, and means of notes.

        All processes call this at the same steps; it speaks for all of them together.
        """
        seconds = time.perf_counter() - self._since
        means = [float(torch.cat(values).mean()) for values in self._noted.values()]
        counted = [self._num_tokens, self._num_video_tokens, self.waited_seconds, *means]
        total: Any = accelerator.reduce(torch.tensor(counted, device=accelerator.device), "sum")
        num_tokens, num_video_tokens, waited_seconds, *sums = total.tolist()
        num = accelerator.num_processes
        rates = {
            "tokens_per_second": round(num_tokens / seconds, 1),
            "video_tokens_per_second": round(num_video_tokens / seconds, 1),
            "data_wait_share": round(waited_seconds / num / seconds, 4),
            **{name: value / num for name, value in zip(self._noted, sums, strict=True)},
        }
        self._start_over()
        return rates

    def on_log(
        self, args: TrainingArguments, state: Any, control: Any, logs: Any = None, **_: Any
    ) -> None:
        """Write one line and show the newest values beside the bar."""
        if not state.is_world_process_zero:
            return
        if "loss" in logs:
            told = (
                f"loss {logs['loss']:.4f}, {logs['tokens_per_second']:.0f} tokens/s, "
                f"{logs['video_tokens_per_second']:.0f} of videos, "
                f"{logs['data_wait_share']:.0%} waiting for data"
            )
            self._progress.update(self._task, told=told)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": state.global_step, **logs}) + "\n")

    def stop(self) -> None:
        """Leave the bar as it stands, also after an error."""
        self._progress.stop()

    def _start_over(self) -> None:
        self.waited_seconds = 0.0
        self._num_tokens = self._num_video_tokens = 0
        self._noted = {}
        self._since = time.perf_counter()
