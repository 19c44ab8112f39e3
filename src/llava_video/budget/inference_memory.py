"""The memory of an answer, from the configuration alone.

Every term is a shape times a width in bytes, for one conversation (batch of one) with one video.
Four moments are compared, because what one of them holds another has freed::

    vision    weights, pixels, features of all frames twice (in chunks, then joined), or once with
              the activations of one chunk
    pack      weights, pixels, features, one window of projected frames, video tokens
    prefill   weights, pixels, video tokens, embedded prompt, key/value cache, activations
    decode    the same without activations, with the cache of the whole answer

benchmarks/memory_plans/inference.py holds these sums against measured peaks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from llava_video.budget.latency import text_layer_values, vision_layer_values
from llava_video.model.configuration import LlavaVideoConfig
from llava_video.model.modeling import (
    FRAMES_PER_VISION_CHUNK,
    LlavaVideoForConditionalGeneration,
)
from llava_video.representation.packing import FRAMES_PER_WINDOW

PIXEL_BYTES = 4
"""Pixels reach the model in float32, whatever its dtype."""

COPIES_OF_PROMPT = 2
"""``generate`` of transformers works on a copy of the embedded prompt."""

LOGIT_BYTES = 4
"""Logits of the last position are sampled from in float32."""


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """Bytes of everything that is alive at some moment, and which moment needs most.

    Attributes:
        weights: parameters of all three parts.
        pixels: frames as the vision encoder takes them.
        features: output of the vision encoder for all frames.
        vision_activations: of the frames that go through the vision encoder at a time.
        projector_activations: of the frames that go through the projector at a time.
        video_tokens: what the language model gets of the video.
        embeddings: the embedded prompt, video tokens included.
        prefill_activations: of one layer of the language model over the whole prompt.
        key_value_cache: keys and values of prompt and answer.
        logits: of one position.
    """

    weights: int
    pixels: int
    features: int
    vision_activations: int
    projector_activations: int
    video_tokens: int
    embeddings: int
    prefill_activations: int
    key_value_cache: int
    logits: int

    @property
    def moments(self) -> dict[str, int]:
        """Bytes that are alive at once, by moment."""
        inputs = self.weights + self.pixels
        prompt = inputs + self.video_tokens + self.embeddings + self.key_value_cache
        return {
            "vision": inputs + self.features + max(self.features, self.vision_activations),
            "pack": inputs + self.features + self.projector_activations + self.video_tokens,
            "prefill": prompt + max(self.prefill_activations, self.logits),
            "decode": prompt + self.logits,
        }

    @property
    def peak(self) -> int:
        """The most that is alive at once."""
        return max(self.moments.values())

    @property
    def activations(self) -> int:
        """What the peak holds beyond weights and key/value cache."""
        return self.peak - self.weights - self.key_value_cache

    def to_dict(self) -> dict[str, Any]:
        """The terms, the moments and the peak as JSON-compatible values."""
        terms = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {**terms, "moments": self.moments, "peak": self.peak}


@dataclass(frozen=True, slots=True)
class MemoryModel:
    """Estimates for one model; made by `MemoryModel.of`.

    Attributes:
        config: the model; its weights are not needed.
        dtype: of weights and activations.
        num_parameters: of the whole model.
        device_type: ``"cuda"`` or ``"cpu"``; they project different numbers of frames at a time.
        int8: whether linear layers have int8 weights (`model.int8`); dtype is that of the rest.
    """

    config: LlavaVideoConfig
    dtype: torch.dtype
    num_parameters: int
    device_type: str
    int8: bool = False

    @classmethod
    def of(
        cls,
        config: LlavaVideoConfig,
        dtype: torch.dtype | None = None,
        device_type: str = "cuda",
        *,
        int8: bool = False,
    ) -> MemoryModel:
        """For a configuration, in its own dtype unless another is given."""
        dtype = torch.float32 if int8 else dtype or dtype_of(config)
        return cls(config, dtype, count_parameters(config), device_type, int8)

    @property
    def weight_bytes(self) -> int:
        """Bytes of all parameters; an output layer that is tied gets an int8 copy of its own."""
        if not self.int8:
            return int(self.num_parameters * self.dtype.itemsize)
        num_linear, num_head = count_linear_weights(self.config)
        num_tied = num_head if self.config.tie_word_embeddings else 0
        num_rest = self.num_parameters - (num_linear + num_head - num_tied)
        return int(num_linear + num_head + num_rest * self.dtype.itemsize)

    @property
    def key_value_bytes_per_token(self) -> int:
        """Keys and values of one position: 2 x layers x heads x width of a head x dtype."""
        text = self.config.text
        head_width = text.hidden_size // text.num_attention_heads
        values = 2 * text.num_hidden_layers * text.num_key_value_heads * head_width
        return int(values * self.dtype.itemsize)

    def estimate(
        self, *, num_frames: int, num_video_tokens: int, num_prompt_tokens: int, num_new_tokens: int
    ) -> MemoryEstimate:
        """Estimate the memory of one answer about one video.

        Args:
            num_frames: T, frames of the video.
            num_video_tokens: that the frames are packed into, before a selection among them.
            num_prompt_tokens: tokens of the prompt, video tokens included.
            num_new_tokens: the longest answer.
        """
        width = self.dtype.itemsize
        vision = self.config.vision
        text = self.config.text
        tokens_per_frame = self.config.grid_side**2
        chunk_tokens = min(num_frames, FRAMES_PER_VISION_CHUNK) * tokens_per_frame
        window_tokens = (
            min(num_frames, FRAMES_PER_WINDOW.get(self.device_type, 64)) * tokens_per_frame
        )
        # Both sides of the activation function, the residual and the normalised input.
        vision_width = 2 * vision.intermediate_size + 2 * vision.hidden_size
        # Gate, up and their product, the residual and the normalised input.
        prefill_width = 3 * text.intermediate_size + 2 * text.hidden_size
        num_positions = num_prompt_tokens + num_new_tokens
        return MemoryEstimate(
            weights=self.weight_bytes,
            pixels=num_frames * 3 * vision.image_size**2 * PIXEL_BYTES,
            features=num_frames * tokens_per_frame * vision.hidden_size * width,
            vision_activations=chunk_tokens * vision_width * width,
            projector_activations=window_tokens * 2 * text.hidden_size * width,
            video_tokens=num_video_tokens * text.hidden_size * width,
            embeddings=COPIES_OF_PROMPT * num_prompt_tokens * text.hidden_size * width,
            prefill_activations=num_prompt_tokens * prefill_width * width,
            key_value_cache=num_positions * self.key_value_bytes_per_token,
            logits=text.vocab_size * (width + LOGIT_BYTES),
        )


def dtype_of(config: LlavaVideoConfig) -> torch.dtype:
    """The dtype that a checkpoint is loaded in unless another is asked for."""
    if isinstance(config.dtype, torch.dtype):
        return config.dtype
    return torch.float32


def count_parameters(config: LlavaVideoConfig) -> int:
    """Parameters of the whole model, counted on the meta device: no memory is taken."""
    with torch.device("meta"):
        model = LlavaVideoForConditionalGeneration(config)
    text = config.text
    tied = text.vocab_size * text.hidden_size if config.tie_word_embeddings else 0
    return int(sum(tensor.numel() for tensor in model.state_dict().values()) - tied)


def count_linear_weights(config: LlavaVideoConfig) -> tuple[int, int]:
    """Weights of all linear layers but the output layer, and of the output layer."""
    vision, text = config.vision, config.text
    projector = (vision.hidden_size + text.hidden_size) * text.hidden_size
    num_linear = vision.num_hidden_layers * vision_layer_values(vision) + projector
    num_linear += text.num_hidden_layers * text_layer_values(text)
    return int(num_linear), int(text.vocab_size * text.hidden_size)
