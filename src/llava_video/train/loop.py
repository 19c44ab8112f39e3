"""The training loop: from batches of rows to updated weights, a log and checkpoints."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import send_to_device
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import DataLoader

from llava_video.errors import InputError
from llava_video.train.checkpoints import (
    load_rng_state,
    load_schedule,
    newest_checkpoint,
    save_checkpoint,
    save_state,
    step_of,
)
from llava_video.train.data.encode import unwrapped
from llava_video.train.log import Log

MAX_GRAD_NORM = 1.0

NOT_INPUTS = ("sample_names", "num_tokens")
"""Keys of a batch for the log and for messages, not for the model."""

Batch = dict[str, Any]
Notes = dict[str, Tensor]


class Objective(ABC):
    """A training objective: the loss of a batch.

    The loss of an update is the sum of the losses of its batches, divided by the sum of their
    weights, both over all processes.
    """

    @property
    def is_reached(self) -> bool:
        """Whether training may end before its last step."""
        return False

    def weight(self, batch: Batch) -> int:
        """The weight of a batch, which is still on the CPU; 1 where all batches are alike."""
        return 1

    @abstractmethod
    def loss(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Notes]:
        """The loss of a batch times its weight, and values of any shape whose mean is logged."""


@dataclass
class Loop:
    """Updates the weights of a model, step by step.

    Attributes:
        accelerator: the processes of the run.
        model: on its device, as `Accelerator.prepare_model` returns it.
        objective: defines the loss.
        optimizer: holds the model's trainable parameters.
        scheduler: sets the optimizer's learning rates.
        log: progress bar and log file.
        folder: folder of the checkpoints.
        num_steps: updates of the whole run.
        batches_per_update: batches of this process whose gradients make one update.
        log_steps: updates between lines of the log.
        save_steps: updates between checkpoints; the last update has one, too.
        autocast_dtype: dtype of the operations that autocast covers; None: no autocast.
        save: writes the model's weights and the optimizer's state into a folder.
        step: updates that are done.
    """

    accelerator: Accelerator
    model: nn.Module
    objective: Objective
    optimizer: Optimizer
    scheduler: LRScheduler
    log: Log
    folder: Path
    num_steps: int
    batches_per_update: int = 1
    log_steps: int = 10
    save_steps: int = 200
    autocast_dtype: torch.dtype | None = None
    save: Callable[[Path, nn.Module, Optimizer], None] = save_state
    step: int = 0

    def run(self, loader: DataLoader[Any], checkpoint: Path | None = None) -> None:
        """Train to the last step, or until the objective is reached.

        Args:
            loader: batches of this process, from the first one that is left.
            checkpoint: the one to continue from; its weights and the optimizer's state are loaded.

        Raises:
            InputError: a loss or a gradient is not finite; the weights are as before the step.
        """
        batches = iter(loader)  # draws from the generator whose state a checkpoint keeps
        if checkpoint is not None:
            self.step = step_of(checkpoint)
            load_schedule(checkpoint, self.scheduler, self.optimizer)
            load_rng_state(checkpoint, self.accelerator)
        self.model.train()
        self.model.zero_grad()
        self.log.begin(self.step, self.num_steps)
        is_over = self.step >= self.num_steps
        while not is_over:
            with self.log.waiting(), unwrapped():
                update = list(islice(batches, self.batches_per_update))
            grad_norm, learning_rate = self._update(update)
            self.step += 1
            is_over = self.step >= self.num_steps or self.objective.is_reached
            self.log.advance(self.step)
            if self.step % self.log_steps == 0 or is_over:
                self.log.write(self.step, grad_norm, learning_rate)
            if self.step % self.save_steps == 0 or is_over:
                self._save()
        self.log.end(self.step)

    def autocast(self) -> AbstractContextManager[Any]:
        """The context that forward passes run in."""
        device_type = self.accelerator.device.type
        is_on = self.autocast_dtype is not None
        return torch.autocast(device_type, self.autocast_dtype, enabled=is_on)

    def inputs_of(self, batch: Batch) -> Batch:
        """A batch on the device, without what is not for the model."""
        inputs = {name: value for name, value in batch.items() if name not in NOT_INPUTS}
        on_device: Batch = send_to_device(inputs, self.accelerator.device, non_blocking=True)
        return on_device

    def _update(self, batches: Sequence[Batch]) -> tuple[float, float]:
        """One update of the weights; returns the norm of the gradient and the learning rate."""
        weight = self._weight(batches)
        values: dict[str, list[Tensor]] = defaultdict(list)
        for number, batch in enumerate(batches, start=1):
            self.log.count(batch)
            # Processes exchange gradients once an update, with its last batch.
            is_last = number == len(batches)
            with nullcontext() if is_last else self.accelerator.no_sync(self.model):
                with self.autocast():
                    loss, notes = self.objective.loss(self.model, self.inputs_of(batch))
                # The exchange averages gradients, where their sum is wanted.
                loss = loss / weight * self.accelerator.num_processes
                loss.backward()
            for name, value in {"loss": loss, **notes}.items():
                values[name].append(value.detach())
        norm: Any = self.accelerator.clip_grad_norm_(self.model.parameters(), MAX_GRAD_NORM)
        values["grad_norm"] = [norm.full_tensor() if isinstance(norm, DTensor) else norm]

        found = _on_cpu(values)  # here the loop waits for the device, and nowhere else
        losses, grad_norm = found.pop("loss"), float(found.pop("grad_norm"))
        self._check_finite(batches, losses.tolist(), grad_norm)
        self.log.note(losses, found)

        self.optimizer.step()
        learning_rate = float(self.scheduler.get_last_lr()[0])
        self.scheduler.step()
        self.model.zero_grad()
        return grad_norm, learning_rate

    def _weight(self, batches: Sequence[Batch]) -> Tensor:
        """The weight of all batches of an update, those of other processes included."""
        own = float(sum(self.objective.weight(batch) for batch in batches))
        # Filled on the device: a copy from the CPU would wait for it.
        filled = torch.full((), own, device=self.accelerator.device)
        total: Any = self.accelerator.reduce(filled, "sum")
        return total.clamp(min=1)  # type: ignore[no-any-return]  # where no batch has a label

    def _check_finite(
        self, batches: Sequence[Batch], losses: Sequence[float], grad_norm: float
    ) -> None:
        """End the run before a loss or a gradient that is not finite spoils the weights."""
        for loss, batch in zip(losses, batches, strict=True):
            if not math.isfinite(loss):
                raise self._spoilt(f"the loss is {loss}", [batch])
        if not math.isfinite(grad_norm):
            raise self._spoilt(f"the norm of the gradient is {grad_norm}", batches)

    def _spoilt(self, what: str, batches: Sequence[Batch]) -> InputError:
        names = [name for batch in batches for name in batch.get("sample_names", ()) if name]
        last = newest_checkpoint(self.folder)
        return InputError(
            f"{what} at step {self.step + 1}, with the samples {', '.join(names)}; "
            + (f"{last} is the last good checkpoint" if last else "no checkpoint was saved yet")
            + ". Lower the learning rate, or leave these samples out"
        )

    def _save(self) -> None:
        def save(folder: Path) -> None:
            self.save(folder, self.accelerator.unwrap_model(self.model), self.optimizer)

        save_checkpoint(self.folder, self.step, self.accelerator, save, self.scheduler)


def _on_cpu(values: Mapping[str, Sequence[Tensor]]) -> dict[str, Tensor]:
    """Values by their names, those of each name in one row of float32, in a single transfer."""
    rows = {
        name: torch.cat([value.float().flatten() for value in several])
        for name, several in values.items()
    }
    sizes = [len(row) for row in rows.values()]
    return dict(zip(rows, torch.cat(list(rows.values())).cpu().split(sizes), strict=True))
