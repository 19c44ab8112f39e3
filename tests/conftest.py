"""What many tests share: one thread per process, small checkpoints, small videos."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # two processes on two cores; must precede torch
os.environ["HF_HUB_OFFLINE"] = "1"

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def small_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint in our own layout: random weights, 64 px frames, an 8 x 8 grid, newline,
    separator."""
    from tests.model.small import save_small_checkpoint

    directory = tmp_path_factory.mktemp("small")
    save_small_checkpoint(directory)
    return directory
