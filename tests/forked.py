"""Processes forked from a server that has imported what takes seconds to import.

Like a process of `python -m ...`, such a process shares nothing with the tests.
"""

import multiprocessing
import os
import runpy
import sys
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path

PRELOADED = [
    "llava_video.annotate.run",
    "llava_video.checkpoints.load",
    "llava_video.cli.app",
    "llava_video.evaluate.run",
    "llava_video.train.run",
]


def fork(work: Callable[..., object], *arguments: object) -> BaseProcess:
    """Start a process that calls a function; it is killed when this one ends."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    process = context.Process(target=work, args=arguments, daemon=True)
    process.start()
    return process


def fork_module(
    module: str, words: Sequence[str], environment: Mapping[str, str], log: Path
) -> BaseProcess:
    """Start what `python -m module word ...` would; what it writes goes to a file."""
    return fork(_run_module, module, list(words), {**os.environ, **environment}, log)


def _run_module(module: str, words: list[str], environment: dict[str, str], log: Path) -> None:
    multiprocessing.current_process().daemon = False  # it may have children of its own
    os.environ.update(environment)
    with log.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.argv = [module, *words]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
