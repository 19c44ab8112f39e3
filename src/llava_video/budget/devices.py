"""Where a model runs, and how much memory is free there."""

from __future__ import annotations

import re
from pathlib import Path

import torch

from llava_video.errors import InputError

AUTO = "auto"
"""Name of the first GPU if there is one, else of the CPU."""

_MEMINFO = Path("/proc/meminfo")


def parse_device(name: str) -> torch.device:
    """The device of that name: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``.

    Raises:
        InputError: no device is called that, or there is none here.
    """
    name = name.lower()
    if name == AUTO:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if not re.fullmatch(r"cpu|mps|cuda(:[0-9]+)?", name):
        raise InputError(f"{name!r} is not a device; give auto, cpu, cuda, cuda:1 or mps")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:  # torch's reasons fill a screen
        raise InputError(f"there is no {name} here; use auto or cpu") from error
    return device


def free_memory_bytes(device: torch.device) -> int | None:
    """Memory that can be taken now; None where the system does not say."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(free)
    if device.type == "cpu" and _MEMINFO.is_file():
        for line in _MEMINFO.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return None
