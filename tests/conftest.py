"""What many tests share: one thread per process, small checkpoints, small videos."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # two processes on two cores; must precede torch
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["LLAVA_VIDEO_KEEP"] = "0"  # no test asks a model that somebody keeps

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """How fast a machine is decides nothing; on a GPU tests run without hypothesis."""
    if config.pluginmanager.hasplugin("hypothesispytest"):
        from hypothesis import HealthCheck, settings

        settings.register_profile(
            "any", deadline=None, suppress_health_check=[HealthCheck.too_slow]
        )
        settings.load_profile("any")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Neighbours run in the same process and share fixtures, until another process is idle."""
    from xdist.scheduler import WorkStealingScheduling

    return WorkStealingScheduling(config, log) if config.option.dist == "load" else None


@pytest.fixture(autouse=True)
def ordinary_priority() -> Iterator[None]:
    """Take back what SVT-AV1 does as root: it makes the thread that encodes a real-time one.

    Whatever that process forks later would starve the whole machine.
    """

    def take_back() -> None:
        if hasattr(os, "sched_setscheduler") and os.sched_getscheduler(0) != os.SCHED_OTHER:
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))

    take_back()  # encoders of fixtures that live longer have run by now
    yield
    take_back()


@pytest.fixture(scope="session")
def small_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint in our own layout: random weights, 64 px frames, an 8 x 8 grid, newline,
    separator."""
    from tests.model.small import save_small_checkpoint

    directory = tmp_path_factory.mktemp("small")
    save_small_checkpoint(directory)
    return directory
