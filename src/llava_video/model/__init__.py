"""The LLaVA-Video model: configuration, modeling, processing, and loading of released checkpoints.

Importing this makes the Auto classes of transformers know ``model_type: llava_video``.
"""

from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForImageTextToText,
    AutoProcessor,
)

from llava_video.model.configuration import LlavaVideoConfig
from llava_video.model.loading import load
from llava_video.model.modeling import LlavaVideoForConditionalGeneration, LlavaVideoModel
from llava_video.model.processing import LlavaVideoProcessor

__all__ = [
    "LlavaVideoConfig",
    "LlavaVideoForConditionalGeneration",
    "LlavaVideoModel",
    "LlavaVideoProcessor",
    "load",
]

AutoConfig.register(LlavaVideoConfig.model_type, LlavaVideoConfig, exist_ok=True)
AutoModel.register(LlavaVideoConfig, LlavaVideoModel, exist_ok=True)
AutoModelForImageTextToText.register(
    LlavaVideoConfig, LlavaVideoForConditionalGeneration, exist_ok=True
)
AutoProcessor.register(LlavaVideoConfig, LlavaVideoProcessor, exist_ok=True)
