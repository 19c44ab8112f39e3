"""A 7B to plan for, and systems with as much memory as a test says."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from llava_video.budget import devices
from llava_video.budget.inference_memory import MemoryModel
from llava_video.budget.planner import Planner
from llava_video.checkpoints.load import load_config

GIB = 2**30

SEVEN_B = {
    "text_config": {
        "hidden_size": 3584,
        "intermediate_size": 18944,
        "num_hidden_layers": 28,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
        "vocab_size": 152064,
        "max_position_embeddings": 32768,
    },
    "video_representation": {"pooling": "bilinear", "newline": "grid"},
    "dtype": "bfloat16",
}


def needed_bytes(checkpoint: Path, num_frames: int, num_new_tokens: int) -> int:
    """What a checkpoint's own representation takes on a CPU."""
    config = load_config(checkpoint)
    planner = Planner(
        MemoryModel.of(config, torch.float32, "cpu"), GIB, num_new_tokens=num_new_tokens
    )
    memory = planner.judge(replace(config.representation, max_frames=num_frames)).memory
    assert memory is not None
    return memory.peak


def set_free_memory(num_bytes: int, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the system say that so much is free."""
    meminfo = directory / "meminfo"
    meminfo.write_text(f"MemTotal: 99999999 kB\nMemAvailable: {num_bytes // 1024} kB\n")
    monkeypatch.setattr(devices, "_MEMINFO", meminfo)
