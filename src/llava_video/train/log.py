"""Progress and logs of a run: a progress bar, ``log.jsonl``, and trackers."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self, TypeVar

import torch
from accelerate import Accelerator
from accelerate.tracking import get_available_trackers
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from llava_video.errors import InputError
from llava_video.train.recipe import Recipe

T = TypeVar("T")

LOG_FILE = "log.jsonl"

_COUNTS = ("samples", "tokens", "video_tokens", "places")
"""Counters of batches; places for tokens are those of samples and of padding."""


_PROJECT = "llava-video"


def check_trackers(names: Sequence[str]) -> None:
    """Find out whether trackers can be used.

    Raises:
        InputError: the package of one is missing.
    """
    available = {tracker.value for tracker in get_available_trackers()}
    for name in names:
        if name not in available:
            raise InputError(
                f"trackers: {name} needs its package; pip install {name.replace('_', '-')}, or "
                "leave it out of trackers=[...]"
            )


def start_trackers(accelerator: Accelerator, recipe: Recipe) -> None:
    """Start the trackers of a run and log its recipe, in the first process.

    Args:
        accelerator: made with the names of the trackers as ``log_with``.
        recipe: recipe of the run.
    """
    config = dict(_flat(recipe.model_dump(mode="json")))
    own = {"wandb": {"name": recipe.out.name, "dir": str(recipe.out)}}
    accelerator.init_trackers(_PROJECT, config, own)


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested values under dotted names, in the types that trackers take."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        elif value is not None:
            yield f"{prefix}{key}", value if isinstance(value, int | float) else str(value)


class Log:
    """A progress bar, and a log with speed and the share of time spent waiting for data.

    All processes of a run have one and call it at the same steps; the first one shows and writes.

    Args:
        folder: where the log is written.
        accelerator: the processes of the run, with the trackers that were started.
        bar: whether to show the bar.
        video_token_id: what stands for tokens of videos and images in batches.
        steps_per_epoch: updates in one pass over the data, if there are passes.
        flos_per_token: floating-point operations for one token, forward and backward.
    """

    def __init__(
        self,
        folder: Path,
        accelerator: Accelerator,
        *,
        bar: bool,
        video_token_id: int | None = None,
        steps_per_epoch: float | None = None,
        flos_per_token: int | None = None,
    ) -> None:
        self._path = folder / LOG_FILE
        self._accelerator = accelerator
        self._video_token_id = video_token_id
        self._steps_per_epoch = steps_per_epoch
        self._flos_per_token = flos_per_token
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed}/{task.total}"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[status]}"),
            console=Console(stderr=True),
            disable=not bar or not accelerator.is_main_process,
        )
        self._began_seconds = 0.0
        self._first_step = 0
        self._loss_of_run = 0.0
        self._totals = dict.fromkeys(_COUNTS, 0.0)
        self._start_over(0)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the bar and close the trackers, also after an error."""
        self._progress.stop()
        for tracker in self._accelerator.trackers:
            tracker.finish()

    def begin(self, step: int, num_steps: int) -> None:
        """Start the clock and the bar, and a new line in the log."""
        if self._accelerator.is_main_process and self._path.is_file():
            # A full disk, or a kill, may have left half a line.
            with self._path.open("rb+") as file:
                file.truncate(file.read().rfind(b"\n") + 1)
        self._task = self._progress.add_task("training", total=num_steps, completed=step, status="")
        self._first_step = step
        self._start_over(step)
        self._began_seconds = self._since_seconds

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Count the time spent inside as waiting for data."""
        start = time.perf_counter()
        yield
        self._waited_seconds += time.perf_counter() - start

    def count(self, batch: Mapping[str, Any]) -> None:
        """Count what a batch, still on the CPU, holds."""
        self._counts["samples"] += sum(map(bool, batch.get("sample_names", ())))
        self._counts["tokens"] += batch.get("num_tokens", 0)
        if self._video_token_id is not None:
            ids: Tensor = batch["input_ids"]
            self._counts["places"] += ids.numel()
            self._counts["video_tokens"] += int((ids == self._video_token_id).sum())

    def note(self, losses: Tensor, values: Mapping[str, Tensor]) -> None:
        """Add the losses of an update's batches, and values whose mean is to be logged."""
        for loss in losses:
            self._loss += loss
        for name, several in values.items():
            self._noted.setdefault(name, []).append(several)

    def advance(self, step: int) -> None:
        """Move the bar."""
        self._progress.update(self._task, completed=step)

    def track(self, description: str, steps: Iterable[T], total: int) -> Iterator[T]:
        """Iterate with a bar of its own over steps that are not training."""
        task = self._progress.add_task(description, total=total, status="")
        for step in steps:
            yield step
            self._progress.advance(task)

    def write(self, step: int, grad_norm: float, learning_rate: float) -> None:
        """Log what happened since the last line; all processes call this at the same steps."""
        seconds = time.perf_counter() - self._since_seconds
        num_steps = step - self._last_step
        found = self._collect(step)
        logs = {
            "loss": found.pop("loss") / num_steps,
            "grad_norm": grad_norm,
            "learning_rate": learning_rate,
        }
        status = f"loss {logs['loss']:.4f}"
        if found["tokens"]:
            logs["tokens_per_second"] = round(found["tokens"] / seconds, 1)
            logs["video_tokens_per_second"] = round(found["video_tokens"] / seconds, 1)
            status += f", {logs['tokens_per_second']:.0f} tokens/s"
            status += f", {logs['video_tokens_per_second']:.0f} of videos"
        logs["data_wait_share"] = round(found.pop("waited_seconds") / seconds, 4)
        status += f", {logs['data_wait_share']:.0%} waiting for data"
        logs |= {name: value for name, value in found.items() if name not in _COUNTS}
        self._progress.update(self._task, status=status)
        self._write(step, logs)

    def end(self, step: int) -> None:
        """Log the figures of the run since it last began."""
        self._collect(step)
        seconds = time.perf_counter() - self._began_seconds
        num_steps = step - self._first_step
        logs = {"train_runtime": round(seconds, 4)}
        if self._totals["samples"]:
            logs["train_samples_per_second"] = round(self._totals["samples"] / seconds, 3)
        logs["train_steps_per_second"] = round(num_steps / seconds, 3)
        if self._flos_per_token is not None:
            logs["total_flos"] = self._totals["places"] * self._flos_per_token
        logs["train_loss"] = self._loss_of_run / max(num_steps, 1)
        self._write(step, logs)

    def _collect(self, step: int) -> dict[str, float]:
        """Sums over all processes since the last call, of the loss, of notes and of time means."""
        notes = {name: torch.cat(values) for name, values in self._noted.items()}
        # NaN: a batch without a value, such as an accuracy over no questions.
        notes = {name: values[~values.isnan()] for name, values in notes.items()}
        means = {name: float(values.mean()) for name, values in notes.items() if len(values)}
        averaged = {"loss": float(self._loss), "waited_seconds": self._waited_seconds, **means}
        found = {**averaged, **self._counts}
        if self._accelerator.num_processes > 1:
            values = torch.tensor(list(found.values()), device=self._accelerator.device)
            sums: Any = self._accelerator.reduce(values, "sum")
            found = dict(zip(found, sums.tolist(), strict=True))
            found |= {name: found[name] / self._accelerator.num_processes for name in averaged}
        self._loss_of_run += found["loss"]
        self._totals = {name: total + found[name] for name, total in self._totals.items()}
        self._start_over(step)
        return found

    def _write(self, step: int, logs: dict[str, float]) -> None:
        if self._steps_per_epoch is not None:
            logs["epoch"] = step / self._steps_per_epoch
        self._accelerator.log({f"train/{name}": value for name, value in logs.items()}, step=step)
        if self._accelerator.is_main_process:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"step": step, **logs}) + "\n")

    def _start_over(self, step: int) -> None:
        self._last_step = step
        self._loss = torch.zeros(())
        self._noted: dict[str, list[Tensor]] = {}
        self._counts: dict[str, float] = dict.fromkeys(_COUNTS, 0)
        self._waited_seconds = 0.0
        self._since_seconds = time.perf_counter()
