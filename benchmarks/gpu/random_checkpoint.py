"""A checkpoint of random weights in the released layout, with a stand-in for the tokenizer.

What weights hold does not change the time of anything, and no layout but the released one is proved
to load by one of our own.
"""

from __future__ import annotations

import shutil
import tempfile
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from load_checkpoint import released_config, write_checkpoint

from llava_video.checkpoints.load import load_config

MEMORY_DISK = Path("/dev/shm")
"""A disk in memory: what is measured is not the disk of the machine."""

WIDTHS = {"7b": 3584, "0.5b": 896, "small": 112}
SIZES = tuple(WIDTHS)
SMALL_VISION = 144


def checkpoint_folder() -> Path:
    """Where checkpoints are kept for the parts that follow."""
    base = MEMORY_DISK if MEMORY_DISK.is_dir() else Path(tempfile.gettempdir())
    return base / "llava-video-gpu-benchmark"


def checkpoint_of(model: str) -> str:
    """A checkpoint's name as it is; the directory of random weights for a size."""
    return str(random_checkpoint(model, "cpu")) if model in SIZES else model


def random_checkpoint(size: str, device: str) -> Path:
    """The directory of a checkpoint of that size, made if it is not there yet."""
    target = checkpoint_folder() / size
    if target.is_dir():
        return target
    unfinished = target.with_suffix(".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    tiny = Path(str(files("llava_video") / "assets" / "tiny"))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(tiny / name, unfinished)
    write_checkpoint(unfinished, config_of(size), device)
    unfinished.rename(target)
    return target


def config_of(size: str) -> dict[str, Any]:
    """The released config.json of a size."""
    small = size == "small"
    config = released_config(WIDTHS[size], SMALL_VISION if small else 1152)
    if size == "0.5b":
        config |= {
            "intermediate_size": 4864, "num_hidden_layers": 24, "num_attention_heads": 14,
            "num_key_value_heads": 2, "vocab_size": 151936,
        }  # fmt: skip
    if small:
        config |= {"num_hidden_layers": 2, "vocab_size": 2048}
        config["vision_config"] |= {"num_hidden_layers": 2, "image_size": 112}
    tiny = load_config(Path(str(files("llava_video") / "assets" / "tiny")))
    return config | {"image_token_index": tiny.video_token_id}


def free() -> None:
    """Give back what the device's allocator keeps."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
