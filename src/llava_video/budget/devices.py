"""Where a model runs, and how much memory is free there."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import torch

from llava_video.errors import InputError

AUTO = "auto"
"""Name of the first GPU if there is one, else of the CPU."""

_MEMINFO = Path("/proc/meminfo")
_OWN_GROUPS = Path("/proc/self/cgroup")
_GROUPS = Path("/sys/fs/cgroup")
_FILES = {
    "": ("memory.max", "memory.current", ""),
    "memory": ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_"),
}
"""Limit, use, and how names of sums over groups begin, in version 2 and 1 of control groups."""


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
    """Memory that can be taken now; None where the system does not say.

    On a CPU it is what the machine has free, or less where a container or a batch system allows
    less; where the system does not say what is free, all that the machine has.
    """
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(free)
    if device.type != "cpu":
        return None
    found = [_free_of_machine(), *_free_of_groups()]
    return min((free for free in found if free is not None), default=None)


def _free_of_machine() -> int | None:
    if _MEMINFO.is_file():
        for line in _MEMINFO.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None


def _free_of_groups() -> Iterator[int]:
    """What the control groups of this process, and those around them, still allow."""
    if not _OWN_GROUPS.is_file():
        return
    for line in _OWN_GROUPS.read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in {*controllers.split(",")} & {*_FILES}:
            root = _GROUPS / controller
            own = root / path.lstrip("/")
            for folder in (own, *own.parents):
                if not folder.is_relative_to(root):
                    break
                free = _free_of_group(folder, *_FILES[controller])
                if free is not None:
                    yield free


def _free_of_group(folder: Path, limit: str, use: str, prefix: str) -> int | None:
    try:
        most, used = (int((folder / name).read_text()) for name in (limit, use))
        stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):  # not there, or without a limit: "max"
        return None
    # Files that were read can be had back, also those that were read again.
    cached = sum(int(stat.get(f"{prefix}{kind}_file", 0)) for kind in ("inactive", "active"))
    return max(0, most - used + cached)
