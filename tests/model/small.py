"""A small model with random weights and a real tokenizer, for tests."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from llava_video.model import LlavaVideoConfig, LlavaVideoForConditionalGeneration
from llava_video.processing.processor import LlavaVideoProcessor
from llava_video.representation import VideoRepresentation
from llava_video.tiny.tokenizer import VIDEO, train_tokenizer
from llava_video.types import Frames

REPRESENTATION = VideoRepresentation(
    max_frames=8, grid_side=8, slow_stride=3, newline="grid", separator=True
)


def small_config(**changes: Any) -> LlavaVideoConfig:
    values: dict[str, Any] = {
        "vision_config": {
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "image_size": 64,
            "patch_size": 8,
        },
        "text_config": {
            "hidden_size": 48,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "vocab_size": 300,
            "max_position_embeddings": 1024,
        },
        "video_token_id": 299,
        "video_representation": REPRESENTATION.to_dict(),
        "has_newline": True,
        "has_separator": True,
    }
    return LlavaVideoConfig(**{**values, **changes})


def small_model(**changes: Any) -> LlavaVideoForConditionalGeneration:
    torch.manual_seed(0)
    return LlavaVideoForConditionalGeneration(small_config(**changes)).eval()


def small_processor(config: LlavaVideoConfig | None = None) -> LlavaVideoProcessor:
    config = config or small_config()
    tokenizer = train_tokenizer(["What colour is it? It is red. The video lasts"] * 3, 300)
    return LlavaVideoProcessor(
        tokenizer,
        image_size=64,
        video_token_id=tokenizer.convert_tokens_to_ids(VIDEO),
        video_representation=config.representation.to_dict(),
        max_positions=1024,
    )


def save_small_checkpoint(directory: Path) -> None:
    processor = small_processor()
    model = small_model(video_token_id=processor.video_token_id)
    model.generation_config.pad_token_id = processor.tokenizer.pad_token_id
    model.save_pretrained(directory)
    processor.save_pretrained(directory)


def random_frames(num_frames: int, seed: int = 0, size: tuple[int, int] = (64, 64)) -> Frames:
    pixels = np.random.default_rng(seed).integers(0, 256, (num_frames, *size, 3), dtype=np.uint8)
    return Frames.from_array(pixels)
