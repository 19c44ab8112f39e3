"""The dtype to run a model in; on a CPU the faster one, found by timing it.

CPUs with arithmetic in bfloat16 (AVX-512 BF16, AMX) run a bfloat16 checkpoint twice as fast as in
float32; others emulate it, several times as slow. A probe of some milliseconds tells them apart;
their names do not.
"""

from __future__ import annotations

import functools
import math
import time
from pathlib import Path

import torch

from llava_video.budget.devices import free_memory_bytes
from llava_video.budget.inference_memory import dtype_of
from llava_video.budget.planner import planner_of
from llava_video.budget.units import parse_dtype
from llava_video.checkpoints.safetensors_files import stored_bytes
from llava_video.errors import InputError
from llava_video.model.configuration import LlavaVideoConfig

SMALL_BYTES = 1 << 26
"""Weights of fewer bytes than this are small."""

PROBE_ROWS = 64
PROBE_WIDTH = 1152
"""A product of this shape is large enough to show the rate, and takes milliseconds."""

PROBE_ROUNDS = 5
"""Of each dtype, in turn: the fastest counts, which other programs have not slowed down."""


@functools.cache
def fastest_dtype(stored: torch.dtype) -> torch.dtype:
    """The faster on this CPU of a checkpoint's own dtype and float32.

    Args:
        stored: dtype of the checkpoint.
    """
    if stored == torch.float32:
        return stored
    seconds = dict.fromkeys((stored, torch.float32), math.inf)
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)  # threads that wait for each other measure what else runs
    try:
        for _ in range(PROBE_ROUNDS):
            for dtype in seconds:
                seconds[dtype] = min(seconds[dtype], _product_seconds(dtype))
    finally:
        torch.set_num_threads(num_threads)
    return min(seconds, key=seconds.__getitem__)


@torch.inference_mode()
def _product_seconds(dtype: torch.dtype) -> float:
    left = torch.ones(PROBE_ROWS, PROBE_WIDTH, dtype=dtype)
    right = torch.ones(PROBE_WIDTH, PROBE_WIDTH, dtype=dtype)
    start = time.perf_counter()
    torch.nn.functional.linear(left, right)
    return time.perf_counter() - start


def choose_dtype(config: LlavaVideoConfig, directory: Path, device: torch.device) -> torch.dtype:
    """The dtype to run a checkpoint in, where none is asked for.

    Its own; but on a CPU float32, where the model is small, or where the CPU is faster in it and it
    fits into what is free. Small models gain nothing from fewer bytes, and in float32 they give
    the same answers on every CPU.

    Args:
        config: of the checkpoint.
        directory: its files, whose tensors are counted.
        device: where it is to run.
    """
    stored = dtype_of(config)
    if device.type != "cpu":
        return stored
    if stored_bytes(directory) < SMALL_BYTES:
        return torch.float32
    if fastest_dtype(stored) == stored:
        return stored
    free_bytes = free_memory_bytes(device)
    if free_bytes is not None:
        planner = planner_of(config, directory, device, free_bytes, dtype=torch.float32)
        if planner.needed_bytes(planner.judge(config.representation)) > free_bytes:
            return stored
    return torch.float32


def settle_dtype(
    config: LlavaVideoConfig,
    directory: Path,
    device: torch.device,
    wanted: str | None,
    *,
    int8: bool = False,
) -> None:
    """Set the dtype of a configuration to the one that is asked for, or to `choose_dtype`'s.

    Args:
        config: of the checkpoint.
        directory: its files.
        device: where it is to run.
        wanted: a name, or None.
        int8: whether linear layers are to have int8 weights; then nothing is chosen.

    Raises:
        InputError: no dtype has that name, or the device cannot compute in it.
    """
    dtype = parse_dtype(wanted)
    if dtype is not None:
        check_dtype(dtype, device)
        config.dtype = dtype
    elif not int8 and (chosen := choose_dtype(config, directory, device)) != dtype_of(config):
        config.dtype = chosen


def check_dtype(dtype: torch.dtype, device: torch.device) -> None:
    """Refuse a dtype that a device cannot compute in.

    Raises:
        InputError: it cannot.
    """
    emulated = (
        device.type == "cuda"
        and dtype == torch.bfloat16
        and not (torch.cuda.is_bf16_supported(including_emulation=False))
    )
    try:
        if emulated:
            raise RuntimeError("this GPU only emulates bfloat16")
        square = torch.ones(2, 2, dtype=dtype, device=device)
        torch.mm(square, square)
    except RuntimeError as error:
        name = str(dtype).removeprefix("torch.")
        raise InputError(f"{device} cannot compute in {name}; leave --dtype out") from error
