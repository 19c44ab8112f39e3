"""Settings of vLLM for a small machine; they must precede its import."""

import os

os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch


@pytest.fixture(autouse=True)
def ordinary_priority() -> Iterator[None]:
    """vLLM binds its process to processors: nothing to take back here."""
    yield


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model with newline, separator, time instruction and tiles, whose answers depend on
    what it sees: its weights are far from those that training starts with."""
    from llava_video.representation.image_layout import RELEASED_TILE_GRIDS
    from tests.model.small import small_config, small_model, small_processor

    directory = tmp_path_factory.mktemp("vllm-small")
    tiles = {"tile_grids": [list(grid) for grid in RELEASED_TILE_GRIDS], "max_tiles": 4}
    processor = small_processor()
    heads_of_32 = {"hidden_size": 128, "num_attention_heads": 4, "num_key_value_heads": 2}
    model = small_model(
        # vLLM's attention on a CPU takes heads of at least 32.
        text_config={**small_config().text.to_dict(), **heads_of_32},
        video_token_id=processor.video_token_id,
        image_representation={**tiles, "newline": True},
    )
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        parameter.data.add_(torch.randn(parameter.shape, generator=generator) * 0.2)
    model.generation_config.eos_token_id = None
    model.generation_config.pad_token_id = processor.tokenizer.pad_token_id
    model.save_pretrained(directory)
    processor.image_representation = model.config.images.to_dict()
    processor.save_pretrained(directory)
    return directory


@pytest.fixture(scope="session")
def videos() -> list[np.ndarray]:
    """Noise of unequal lengths, as no video of another test."""
    shapes = [(8, 64, 64, 3), (5, 64, 64, 3), (3, 64, 64, 3), (1, 64, 64, 3)]
    return [
        np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
        for seed, shape in enumerate(shapes)
    ]
