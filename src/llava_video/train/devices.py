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
from llava_video.processing.processor import LlavaVideoProcessor, Seen
from llava_video.train.data.encode import Encoded, RowCollator
from llava_video.train.data.packing import LABEL_IGNORED
from llava_video.types import Frames

T = TypeVar("T")

_PLANNING_TIMEOUT = timedelta(hours=12)
"""How long processes wait for the first one, which opens every video before the first step."""


def join_processes() -> PartialState:
    """This process among those of the run; a process that was started alone is the only one."""
    return PartialState(cpu=not torch.cuda.is_available(), timeout=_PLANNING_TIMEOUT)


def leave_processes(processes: PartialState) -> None:
    """Close the connections to the other processes, if there are any."""
    if processes.num_processes > 1:
        gc.collect()  # sharded weights that are not needed any more still hold on to them
        processes.destroy_process_group()


def broadcast_from_first(processes: PartialState, compute: Callable[[], T]) -> T:
    """What the first process computes, in all of them; an error there ends the others, too."""
    values = [compute() if processes.is_main_process else None]
    return broadcast_object_list(values)[0] if processes.num_processes > 1 else values[0]  # type: ignore[return-value]


def make_accelerator(trackers: Sequence[str] = (), folder: Path | None = None) -> Accelerator:
    """What the training loop needs of the processes, and of the trackers that log it.

    Args:
        trackers: accelerate's names of them.
        folder: where those write that need a folder.
    """
    return Accelerator(
        cpu=not torch.cuda.is_available(),
        mixed_precision="no",  # the loop has its own, which differs from run to run
        log_with=list(trackers) or None,  # an empty list is warned of
        project_config=ProjectConfiguration(logging_dir=None if folder is None else str(folder)),
        # Some parameters are never used, such as SigLIP's last norm.
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
    )


def batches_of_process(
    num_rows: int, rows_per_step: int, first: int, accelerator: Accelerator
) -> list[list[int]]:
    """Rows of each batch of this process; processes take turns, batch by batch.

    Args:
        num_rows: of the whole run.
        rows_per_step: rows of one batch.
        first: the first row that is left.
        accelerator: the processes of the run.
    """
    own = first + accelerator.process_index * rows_per_step
    starts = range(own, num_rows, accelerator.num_processes * rows_per_step)
    return [list(range(start, start + rows_per_step)) for start in starts]


def shard(model: nn.Module, processes: Accelerator | PartialState, dtype: torch.dtype) -> None:
    """Split weights, gradients and optimizer state among all processes, layer by layer (FSDP2).

    Args:
        model: in float32; changed in place.
        processes: all of the run.
        dtype: that layers compute in; gradients are added up in float32.

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
    # Images and videos have tokens of their own between them; another process may see none.
    root.set_reduce_scatter_unused_params(True)
    model._is_accelerate_prepared = True  # type: ignore[assignment]  # it is not to be wrapped again


class BlackFrameCollator:
    """Makes batches that always show the model something.

    Processes wait for each other's gradients. One whose rows are text only would compute none for
    the vision encoder, so it is shown a black frame about which nothing is asked: its gradients are
    zero. A single process does the same, so that a run means the same on any number of devices:
    AdamW moves weights whose gradient is zero, and leaves those that have none.

    Args:
        collate: makes batches of rows.
        processor: prepares the black frame.
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
            token_types=prompt.token_types, seen=Seen(frames=[frame]),
        )  # fmt: skip

    def __call__(self, rows: list[list[Encoded]]) -> dict[str, Any]:
        """As the collator that was given, with a black frame in the first row if need be."""
        batch = self._collate(rows)
        if "pixel_values_videos" in batch or "pixel_values" in batch:
            return batch
        return self._collate([[*rows[0], self._black], *rows[1:]])
