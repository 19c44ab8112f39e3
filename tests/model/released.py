"""The golden directory: a small checkpoint in the released layout, and its recorded cases."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch

from llava_video.checkpoints.released import translate_representation
from llava_video.model.modeling import LlavaVideoForConditionalGeneration
from llava_video.processing.processor import LlavaVideoProcessor
from llava_video.types import Frames

GOLDENS = Path(
    os.environ.get("LLAVA_VIDEO_GOLDENS", Path(__file__).parents[1] / "goldens" / "released_tiny")
)
CASES: dict[str, Any] = json.loads((GOLDENS / "cases.json").read_text())
CONFIG: dict[str, Any] = json.loads((GOLDENS / "config.json").read_text())
UPSTREAM_PLACEHOLDER = -200


def preprocess(model: LlavaVideoForConditionalGeneration, pixels: np.ndarray) -> torch.Tensor:
    """Preprocessing needs no tokenizer, which a golden directory does not have."""
    processor = LlavaVideoProcessor.__new__(LlavaVideoProcessor)
    processor.image_size = model.config.vision_config.image_size
    return processor.preprocess(Frames.from_array(pixels))


def set_case(model: LlavaVideoForConditionalGeneration, settings: dict[str, Any]) -> None:
    model.config.representation = translate_representation(
        {**CONFIG, **settings}, model.config.grid_side, has_newline=True, where=str(GOLDENS)
    )


def with_placeholders(
    model: LlavaVideoForConditionalGeneration, ids: list[int], num_tokens: list[int]
) -> torch.Tensor:
    counts = iter(num_tokens)
    expanded: list[int] = []
    for token in ids:
        if token == UPSTREAM_PLACEHOLDER:
            expanded += [model.config.video_token_id] * next(counts)
        else:
            expanded.append(token)
    return torch.tensor([expanded])
