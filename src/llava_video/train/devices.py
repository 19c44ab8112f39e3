"""One run on several devices: every process computes its own rows of an update.

Started by ``torchrun`` or ``accelerate launch``. Weights are copied to each device (DDP) or split
among them (FSDP2); the gradients are those of one process with the same rows.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from accelerate import Accelerator, PartialState
from accelerate.utils import (
    DistributedDataParallelKwargs,
    ProjectConfiguration,
    broadcast_object_list,
)
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from transformers.models.qwen2.modeling_qwen2 import Qwen2DecoderLayer

from llava_video.errors import InputError
from llava_video.processing.processor import LlavaVideoProcessor, LoadedMedia
from llava_video.train.data.encode import Encoded, RowCollator
from llava_video.train.data.packing import LABEL_IGNORED
from llava_video.types import Frames

T = TypeVar("T")

_PLANNING_TIMEOUT = timedelta(hours=12)
"""How long processes wait for the first one, which opens every video before the first step."""


def join_processes() -> PartialState:
    """Join the processes of the run; without a launcher this process is the only one."""
    return PartialState(cpu=not torch.cuda.is_available(), timeout=_PLANNING_TIMEOUT)


def leave_processes(processes: PartialState) -> None:
    """Close the connections to the other processes, if there are any."""
    if processes.num_processes > 1:
        gc.collect()  # unused sharded weights still hold references to the connections
        processes.destroy_process_group()


def broadcast_from_first(processes: PartialState, compute: Callable[[], T]) -> T:
    """Compute in the first process and broadcast the result; an error there ends all others."""
    values = [compute() if processes.is_main_process else None]
    return broadcast_object_list(values)[0] if processes.num_processes > 1 else values[0]  # type: ignore[return-value]


def make_accelerator(trackers: Sequence[str] = (), folder: Path | None = None) -> Accelerator:
    """An accelerator for the training loop.

    Args:
        trackers: accelerate's names of the trackers.
        folder: folder of the trackers that need one.
    """
    return Accelerator(
        cpu=not torch.cuda.is_available(),
        mixed_precision="no",  # the loop has its own autocast
        log_with=list(trackers) or None,  # accelerate warns of an empty list
        project_config=ProjectConfiguration(logging_dir=None if folder is None else str(folder)),
        # Some parameters are never used, such as SigLIP's last norm.
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
    )


def batches_of_process(
    num_rows: int, rows_per_step: int, first: int, accelerator: Accelerator
) -> list[list[int]]:
    """Rows of each batch of this process; batches go to the processes in turn.

    Args:
        num_rows: rows of the whole run.
        rows_per_step: rows per batch.
        first: the first row that is not done.
        accelerator: the processes of the run.
    """
    own = first + accelerator.process_index * rows_per_step
    starts = range(own, num_rows, accelerator.num_processes * rows_per_step)
    return [list(range(start, start + rows_per_step)) for start in starts]


def shard(model: nn.Module, processes: Accelerator | PartialState, dtype: torch.dtype) -> None:
    """Split weights, gradients and optimizer state among all processes, layer by layer (FSDP2).

    Args:
        model: in float32; changed in place.
        processes: the processes of the run.
        dtype: dtype of the computation; gradients are reduced in float32.

    Raises:
        InputError: PyTorch is older than 2.13.
    """
    if not hasattr(FSDPModule, "set_reduce_scatter_unused_params"):
        raise InputError("shard=true needs PyTorch 2.13; pip install 'torch>=2.13'")
    mesh = init_device_mesh(processes.device.type, (processes.num_processes,))
    policy = MixedPrecisionPolicy(param_dtype=dtype, reduce_dtype=torch.float32)
    # Processes gather a layer together. The vision encoder runs as often as there are frames, which
    # differs between them: it is gathered once, with the rest of the model.
    for module in model.modules():
        if isinstance(module, Qwen2DecoderLayer):
            fully_shard(module, mesh=mesh, mp_policy=policy)
    root = fully_shard(model, mesh=mesh, mp_policy=policy)
    # Images and videos have learned vectors of their own; a process whose batch has none uses none.
    root.set_reduce_scatter_unused_params(True)
    model._is_accelerate_prepared = True  # type: ignore[assignment]  # not to be wrapped again


class BlackFrameCollator:
    """Collates rows; a batch without media gets a black frame.

    Processes wait for each other's gradients. One whose rows are text only would compute none for
    the vision encoder, so it is shown a black frame about which nothing is asked: its gradients are
    zero. A single process does the same, so that a run means the same on any number of devices:
    AdamW moves weights whose gradient is zero, and leaves those that have none.

    Args:
        collate: collates rows.
        processor: preprocesses the black frame.
    """

    def __init__(self, collate: RowCollator, processor: LlavaVideoProcessor) -> None:
        self._collate = collate
        size = processor.image_size
        frame = Frames.from_array(np.zeros((1, size, size, 3), np.uint8))
        message = {"role": "user", "content": [{"type": "video", "path": "black"}]}
        prompt = processor.renderer.render(
            [message], [processor.slot_of(frame)], add_generation_prompt=False
        )
        self._black = Encoded(
            name="", input_ids=prompt.input_ids, labels=[LABEL_IGNORED] * len(prompt.input_ids),
            token_types=prompt.token_types, seen=LoadedMedia(frames=[frame]),
        )  # fmt: skip

    def __call__(self, rows: list[list[Encoded]]) -> dict[str, Any]:
        """Collate rows, with a black frame in the first row if there are no media."""
        batch = self._collate(rows)
        if "pixel_values_videos" in batch or "pixel_values" in batch:
            return batch
        return self._collate([[*rows[0], self._black], *rows[1:]])
