"""Outputs of the model."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from transformers.modeling_outputs import BaseModelOutputWithPast, CausalLMOutputWithPast

CACHE = "cache" if "cache" in BaseModelOutputWithPast.__dataclass_fields__ else "past_key_values"
"""transformers' name for the cache of keys and values, which changed in version 5.24."""


@dataclass
class LlavaVideoModelOutput(BaseModelOutputWithPast):
    """Last hidden states, and the V x D tokens of each video and image, in order."""

    video_tokens: tuple[Tensor, ...] | None = None
    image_tokens: tuple[Tensor, ...] | None = None


@dataclass
class LlavaVideoOutput(CausalLMOutputWithPast):
    """Logits and loss, and the V x D tokens of each video and image, in order."""

    video_tokens: tuple[Tensor, ...] | None = None
    image_tokens: tuple[Tensor, ...] | None = None
