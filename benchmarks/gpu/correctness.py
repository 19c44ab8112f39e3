"""Versions, what the device can do at most, the recorded outputs and all tests marked ``gpu``."""

from __future__ import annotations

import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from gpu.results import Part

ROOT = Path(__file__).parents[2]
PACKAGES = ("torch", "transformers", "accelerate", "peft", "av", "triton")


def ceilings(part: Part) -> None:
    """Rates that no code of ours can exceed: copying memory, and one large product in bfloat16."""
    device = "cpu" if part.rehearse else "cuda"
    side, size = (256, 1 << 20) if part.rehearse else (8192, 1 << 31)
    a, b = torch.randn(2, side, side, device=device, dtype=torch.bfloat16)
    part.note("bfloat16 product of 8192 x 8192, TFLOP/s", 2e-12 * side**3 / fastest(lambda: a @ b))
    source = torch.randint(0, 255, (size,), device=device, dtype=torch.uint8)
    target = torch.empty_like(source)
    seconds = fastest(lambda: target.copy_(source))
    part.note("copy on the device, read and written, TB/s", 2e-12 * size / seconds)


def fastest(work: Callable[[], Any]) -> float:
    """Seconds of the fastest of ten."""
    best = float("inf")
    for _ in range(10):
        start = time.perf_counter()
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - start)
    return best


def run(part: Part, what: str, *command: str) -> str:
    """Note the last line of a command and whether it failed; returns its output."""
    done = subprocess.run(
        [sys.executable, *command], check=False, capture_output=True, text=True, cwd=ROOT
    )
    lines = (done.stdout or done.stderr).strip().splitlines()
    print(done.stdout[-6000:], done.stderr[-3000:], flush=True)
    part.note(what, ("ok: " if done.returncode == 0 else "FAILED: ") + (lines or [""])[-1][:200])
    return done.stdout


def main() -> None:
    """Everything, in order of value."""
    part = Part.of_command_line("correctness")
    if not part.rehearse:
        memory = torch.cuda.get_device_properties(0).total_memory / 2**30
        part.note("card", f"{torch.cuda.get_device_name(0)}, {memory:.0f} GiB")
    part.note("python", platform.python_version())
    for package in PACKAGES:
        try:
            part.note(package, version(package))
        except ImportError:
            part.note(package, "not installed")
    ceilings(part)
    tests = ["-m", "pytest", "-p", "no:cacheprovider", "-rfE", "--disable-warnings", "-m", "gpu"]
    tests += ["--markers"] if part.rehearse else ["tests/gpu"]  # collecting takes long
    output = run(part, "tests marked gpu", *tests)
    for failure in re.findall(r"^(?:FAILED|ERROR) (.*)$", output, re.MULTILINE)[:20]:
        part.note("failed", failure[:250].replace("|", "/"))
    run(part, "doctor", "-m", "llava_video", "doctor")  # warns where nothing is installed
    parity = ["--parity", "tiny"] if part.rehearse else ["--parity", "tiny", "--device", "cuda"]
    run(part, "doctor --parity", "-m", "llava_video", "doctor", *parity)


if __name__ == "__main__":
    main()
