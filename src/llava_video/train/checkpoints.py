"""What a run resumes from: the weights that it trains, and the state of its optimizer.

A checkpoint holds safetensors, one file for each process that saved it; any number of processes
can load it, whether the weights are split among them or not. Frozen weights are not in it: they are
those of the model that the run began with. Beside them lie the states of the scheduler and of each
process's random numbers.
"""

from __future__ import annotations

import json
import random
import re
import shutil
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from numpy._core.multiarray import _reconstruct
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.hf_storage import (
    HuggingFaceStorageReader,
    HuggingFaceStorageWriter,
)
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.serialization import safe_globals

from llava_video.errors import InputError
from llava_video.records.files import writing

LAST_FILE = "trainer_state.json"
"""The file of a checkpoint that is written last."""

SCHEDULE_FILE = "scheduler.pt"

_KEPT = 2
_NAME = re.compile(r"checkpoint-\d+")
_NUMPY: list[Any] = [_reconstruct, np.ndarray, np.dtype, type(np.dtype(np.uint32))]
"""What a saved state of NumPy's random numbers is made of."""

_NO_ROOM = ("No space left", "Disk quota exceeded", "File too large", "PytorchStreamWriter failed")
_WEIGHTS, _OPTIMIZER = "weights.", "optimizer."
_OPTIONS = StateDictOptions(ignore_frozen_params=True, flatten_optimizer_state_dict=True)


def newest_checkpoint(folder: Path) -> Path | None:
    """The newest whole checkpoint: its last file is there."""
    whole = [path for path in _checkpoints(folder) if (path / LAST_FILE).is_file()]
    return max(whole, key=step_of, default=None)


def _checkpoints(folder: Path) -> list[Path]:
    """All that runs have written there, whole or not; copies that users made have other names."""
    return [path for path in folder.glob("checkpoint-*") if _NAME.fullmatch(path.name)]


def step_of(checkpoint: Path) -> int:
    """The updates that were done when a checkpoint was written."""
    return int(checkpoint.name.rsplit("-", 1)[1])


@contextmanager
def room_on_disk(folder: Path) -> Iterator[None]:
    """Make one error of the many ways in which libraries say that a disk is full.

    Raises:
        InputError: the disk of the folder is full.
    """
    try:
        yield
    except (OSError, RuntimeError, SafetensorError, CheckpointException) as error:
        if not any(words in str(error) for words in _NO_ROOM):
            raise
        last = newest_checkpoint(folder)
        raise InputError(
            f"there is no room to write to {folder}; make some and run the same command again: it "
            + (f"resumes from {last}" if last else "starts over, as no checkpoint was saved yet")
        ) from error


def save_checkpoint(
    folder: Path,
    step: int,
    accelerator: Accelerator,
    save: Callable[[Path], None],
    scheduler: LRScheduler,
) -> None:
    """Write a checkpoint; the two newest stay. All processes call this together.

    Args:
        folder: of all checkpoints.
        step: updates that are done.
        accelerator: the processes of the run.
        save: writes the weights and the optimizer's state into a folder.
        scheduler: of the learning rates.
    """
    target = folder / f"checkpoint-{step}"
    if accelerator.is_main_process:
        if target.exists():  # of an earlier attempt
            shutil.rmtree(target)
        target.mkdir(parents=True)
    accelerator.wait_for_everyone()
    save(target)
    torch.save(_rng_state(), _rng_file(target, accelerator))
    if accelerator.is_main_process:
        torch.save(scheduler.state_dict(), target / SCHEDULE_FILE)
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        with writing(target / LAST_FILE) as unfinished:
            unfinished.write_text(json.dumps({"global_step": step}) + "\n", encoding="utf-8")
        _remove_old(folder)


def _remove_old(folder: Path) -> None:
    """Remove all but the newest checkpoints, and what was left half-written."""
    whole = [path for path in _checkpoints(folder) if (path / LAST_FILE).is_file()]
    kept = sorted(whole, key=step_of)[-_KEPT:]
    for path in _checkpoints(folder):
        if path not in kept:
            shutil.rmtree(path)


def load_schedule(checkpoint: Path, scheduler: LRScheduler, optimizer: Optimizer) -> None:
    """Put a scheduler where it was, and its learning rates into the optimizer."""
    scheduler.load_state_dict(torch.load(checkpoint / SCHEDULE_FILE, weights_only=True))
    for group, rate in zip(optimizer.param_groups, scheduler.get_last_lr(), strict=True):
        group["lr"] = rate


def load_rng_state(checkpoint: Path, accelerator: Accelerator) -> None:
    """Put random numbers where they were, if as many processes saved the checkpoint."""
    path = _rng_file(checkpoint, accelerator)
    if not path.is_file():
        return
    with safe_globals(_NUMPY):
        state = torch.load(path, weights_only=True)
    random.setstate(state["python"])
    np.random.set_state(state["numpy"])
    torch.set_rng_state(state["cpu"])
    if torch.cuda.is_available() and "cuda" in state:
        cuda = state["cuda"]  # earlier versions kept those of all devices
        torch.cuda.set_rng_state(
            cuda[torch.cuda.current_device()] if isinstance(cuda, list) else cuda
        )


def _rng_state() -> dict[str, Any]:
    state = {
        "python": random.getstate(),
        "numpy": np.random.get_state(),
        "cpu": torch.get_rng_state(),
    }
    return state | ({"cuda": torch.cuda.get_rng_state()} if torch.cuda.is_available() else {})


def _rng_file(checkpoint: Path, accelerator: Accelerator) -> Path:
    number = f"_{accelerator.process_index}" if accelerator.num_processes > 1 else ""
    return checkpoint / f"rng_state{number}.pth"


def save_state(folder: Path, model: nn.Module, optimizer: Optimizer) -> None:
    """Write trained weights and the optimizer's state; each process writes its part."""
    moments = get_optimizer_state_dict(model, optimizer, options=_OPTIONS)
    state = _weights(model) | _moments(moments, model)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "torch.distributed is disabled")
        save(
            state,
            storage_writer=HuggingFaceStorageWriter(str(folder), save_distributed=True),
            no_dist=not torch.distributed.is_initialized(),
        )


def load_weights(folder: Path, model: nn.Module) -> None:
    """Put the trained weights of a checkpoint into the model that the run began with."""
    weights = _weights(model)
    _read(folder, weights)
    values: Any = _without(weights, _WEIGHTS)
    set_model_state_dict(model, values, options=StateDictOptions(strict=False))


def load_optimizer(folder: Path, model: nn.Module, optimizer: Optimizer) -> None:
    """Put the optimizer's state of a checkpoint into an optimizer of the same parameters."""
    state: Any = get_optimizer_state_dict(model, optimizer, options=_OPTIONS)
    known = HuggingFaceStorageReader(str(folder)).read_metadata().state_dict_metadata
    moments = {name: value for name, value in _moments(state, model).items() if name in known}
    _read(folder, moments)
    state |= _without(moments, _OPTIMIZER)
    set_optimizer_state_dict(model, optimizer, state, options=_OPTIONS)
    # PyTorch makes a state of one step for parameters that no step has used; they had none.
    for name, parameter in model.named_parameters():
        if f"{_OPTIMIZER}state.{name}.step" not in known:
            optimizer.state.pop(parameter, None)


def _weights(model: nn.Module) -> dict[str, Tensor]:
    state: Any = get_model_state_dict(model, options=_OPTIONS)
    names = _names(model)
    return {f"{_WEIGHTS}{name}": value for name, value in state.items() if name in names}


def _moments(state: dict[str, Any], model: nn.Module) -> dict[str, Tensor]:
    """The tensors of an optimizer's state; its rates are the scheduler's."""
    names = _names(model)
    return {
        f"{_OPTIMIZER}{key}": value
        for key, value in state.items()
        if isinstance(value, Tensor) and key.removeprefix("state.").rpartition(".")[0] in names
    }


def _names(model: nn.Module) -> set[str]:
    """Parameters that are trained, those that have two names under one of them."""
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def _without(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in state.items()}


def _read(folder: Path, state: dict[str, Tensor]) -> None:
    """Copy values into tensors, in place."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "torch.distributed is disabled")
        load(
            state,
            storage_reader=HuggingFaceStorageReader(str(folder)),
            no_dist=not torch.distributed.is_initialized(),
        )
