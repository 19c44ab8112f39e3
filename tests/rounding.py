"""A plugin that rounds as no processor does: ``pytest -p tests.rounding``.

Results of matrix products, convolutions, norms and functions are off by about one unit in the last
place. By how much depends on the operation and on the shapes alone: what repeats a computation has
equal bits, and what computes the same in another way does not, as on a processor with other
instructions. A test that fails compares more closely than its type allows.
"""

import functools
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

ROUNDED = {
    "_log_softmax", "_scaled_dot_product_flash_attention_for_cpu", "_softmax", "addmm", "baddbmm",
    "bmm", "convolution", "cos", "exp", "gelu", "mm", "native_layer_norm", "rsqrt", "silu", "sin",
    "tanh", "_upsample_bicubic2d_aa", "upsample_bilinear2d",
}  # fmt: skip
MAX_NUMEL = 20_000_000


@functools.lru_cache(maxsize=2000)
def factor(
    name: str, shapes: tuple[torch.Size, ...], shape: torch.Size, dtype: torch.dtype
) -> Tensor:
    """One and a little more or less, for each number of a result."""
    seed = zlib.crc32(repr((name, shapes, shape)).encode())
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return 1 + torch.finfo(dtype).eps * noise


class Rounding(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        name = func._schema.name.removeprefix("aten::")
        if name not in ROUNDED:
            return result
        shapes = tuple(arg.shape for arg in args if isinstance(arg, Tensor))
        first, *others = result if isinstance(result, tuple) else (result,)
        if type(first) is Tensor and first.device.type == "cpu" and first.numel() < MAX_NUMEL:
            by = factor(name, shapes, first.shape, first.dtype)
            first = (first * by).to(first.dtype)
        return (first, *others) if isinstance(result, tuple) else first


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Iterator[None]:
    with Rounding():
        return (yield)
