"""The LLaVA-Video model: configuration, modeling, processing, and loading of released checkpoints."""

from llava_video.model.configuration import LlavaVideoConfig
from llava_video.model.loading import load
from llava_video.model.modeling import LlavaVideoForConditionalGeneration
from llava_video.model.processing import LlavaVideoProcessor

__all__ = [
    "LlavaVideoConfig",
    "LlavaVideoForConditionalGeneration",
    "LlavaVideoProcessor",
    "load",
]
