"""Registers the model with the Auto classes of transformers; imported when it is first needed."""

from __future__ import annotations

from transformers import AutoModel, AutoModelForImageTextToText

from llava_video.model.configuration import LlavaVideoConfig
from llava_video.model.modeling import LlavaVideoForConditionalGeneration, LlavaVideoModel

AutoModel.register(LlavaVideoConfig, LlavaVideoModel, exist_ok=True)
AutoModelForImageTextToText.register(
    LlavaVideoConfig, LlavaVideoForConditionalGeneration, exist_ok=True
)
