"""What answers depend on beside the settings: versions, the machine, how the model is computed."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

_PACKAGES = ("llava-video", "inspect-ai", "torch", "transformers", "av", "numpy")
_CPUINFO = Path("/proc/cpuinfo")


def environment(model: object) -> dict[str, dict[str, str]]:
    """``versions``, ``hardware`` and ``computed``, each by name.

    Args:
        model: a chat model; what it does not say is left out.
    """
    return {"versions": versions(), "hardware": hardware(), "computed": computed(model)}


def versions() -> dict[str, str]:
    """Versions of what answers and scores depend on."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def hardware() -> dict[str, str]:
    """The machine, and its accelerator where torch is loaded and has one."""
    found = {
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": cpu_name(),
        "cores": f"{os.cpu_count()}",
    }
    torch = sys.modules.get("torch")
    if torch is not None:
        found["threads"] = f"{torch.get_num_threads()}"
        if torch.cuda.is_available():
            found["gpu"] = torch.cuda.get_device_name()
            found["cuda"] = f"{torch.version.cuda}"
    return found


def cpu_name() -> str:
    """The processor as it calls itself."""
    if _CPUINFO.is_file():
        for line in _CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


def computed(model: object) -> dict[str, str]:
    """Where and in which precision a model is computed, as far as it is known here."""
    if not hasattr(model, "precision"):
        return {}
    found = {"device": str(getattr(model, "device", "")), "precision": str(model.precision)}
    found["quantization"] = "int8 weights" if model.precision == "int8" else "none"
    return {name: value for name, value in found.items() if value}


def noted(before: Sequence[dict[str, Any]], now: dict[str, dict[str, str]]) -> list[dict[str, Any]]:
    """The environments of a run so far, each once; the last one may have answered nothing."""
    return [*before] if now in before else [*before, now]
