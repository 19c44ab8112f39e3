"""The dtype in which a CPU runs a model fast, found by timing it.

CPUs with arithmetic in bfloat16 (AVX-512 BF16, AMX) run a bfloat16 checkpoint twice as fast as in
float32; others emulate it, several times as slow. A probe of some milliseconds tells them apart;
their names do not.
"""

from __future__ import annotations

import functools
import math
import time

import torch

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
