"""Amounts of memory and dtypes: as people write them, and for display."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from llava_video.errors import InputError

if TYPE_CHECKING:
    import torch


def parse_bytes(text: str) -> int:
    """Read an amount of memory: ``24GiB``, ``24GB``, ``24G`` (GB) or a number of bytes.

    Raises:
        InputError: it is none of these, or so few bytes that the unit was forgotten.
    """
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) *([KMGT]?)(i?)B?", text.strip(), re.IGNORECASE)
    if match is None or (match[3] and not match[2]):
        raise InputError(f"{text!r} is not an amount of memory; write it like 24GiB or 80GB")
    power = "KMGT".index(match[2].upper()) + 1 if match[2] else 0
    num_bytes = int(float(match[1]) * (1024 if match[3] else 1000) ** power)
    if num_bytes <= 0:
        raise InputError(f"{text!r}: the amount of memory must be above zero")
    if not match[2] and num_bytes < 2**20:
        raise InputError(f"{match[1]} bytes? give a unit, such as {match[1]}GiB")
    return num_bytes


def parse_dtype(name: str | None) -> torch.dtype | None:
    """The dtype of that name; None stays None.

    Raises:
        InputError: models are not run in it.
    """
    import torch  # other units need none of it

    known = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}
    if name is not None and name not in known:
        raise InputError(f"no dtype is called {name!r} here; known are {', '.join(known)}")
    return None if name is None else known[name]


def size_text(num_bytes: float) -> str:
    """Bytes for display: ``13.7 MiB``, ``800 MiB``, ``2.10 GiB``."""
    if num_bytes < 100 * 2**20:
        return f"{num_bytes / 2**20:.1f} MiB"
    if num_bytes < 2**30:
        return f"{num_bytes / 2**20:,.0f} MiB"
    return f"{num_bytes / 2**30:,.2f} GiB"
