"""The latency of an answer, from its work and the rates of a device.

Work comes from the configuration alone: floating point operations of the vision encoder, of the
projector and of the prompt, and bytes that each new token reads (weights of the language model, and
the key/value cache). Rates are measured on the device with layers of the model's own shapes, or
given. Left out are reading the video and loading the weights.

benchmarks/end_to_end.py holds these times against measured ones.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn
from transformers import Qwen2Config, Qwen2Model, SiglipVisionConfig, SiglipVisionModel

from llava_video.errors import InputError
from llava_video.model.configuration import LlavaVideoConfig
from llava_video.model.grouped_attention import GROUPED
from llava_video.model.outputs import CACHE

PROBE_TOKENS = 1024
"""Length of the prompt that rates are measured with."""

PROBE_BYTES = 1 << 28
"""Weights that decoding is measured with, at least: more than caches hold."""

PROBE_ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Rates:
    """Work per second of a device with one model.

    Attributes:
        vision_flops: floating point operations of the vision encoder, per second.
        prefill_flops: those of projector and language model over a prompt.
        decode_bytes: bytes of weights and cache that decoding reads, per second.
        source: where these figures come from.
    """

    vision_flops: float
    prefill_flops: float
    decode_bytes: float
    source: str

    def __post_init__(self) -> None:
        for rate in (self.vision_flops, self.prefill_flops, self.decode_bytes):
            if not 0 < rate < math.inf:
                raise InputError(f"a device cannot work at a rate of {rate}; give what it sustains")

    def to_dict(self) -> dict[str, Any]:
        """The attributes as JSON-compatible values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Work:
    """The work of one answer.

    Attributes:
        vision_flops: of the vision encoder, over all frames.
        prefill_flops: of projector and language model, up to the first token.
        decode_bytes: read for all tokens of the answer after the first.
    """

    vision_flops: float
    prefill_flops: float
    decode_bytes: float

    def at(self, rates: Rates) -> Latency:
        """The latency of this work at these rates."""
        return Latency(
            self.vision_flops / rates.vision_flops,
            self.prefill_flops / rates.prefill_flops,
            self.decode_bytes / rates.decode_bytes,
        )


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds until frames are encoded, then until the first token, then until the last one."""

    vision_seconds: float
    prefill_seconds: float
    decode_seconds: float

    @property
    def total_seconds(self) -> float:
        """From the frames to the end of the answer."""
        return self.vision_seconds + self.prefill_seconds + self.decode_seconds

    def to_dict(self) -> dict[str, float]:
        """The three stages and their sum."""
        return {**asdict(self), "total_seconds": self.total_seconds}


def count_work(
    config: LlavaVideoConfig,
    dtype: torch.dtype,
    *,
    num_frames: int,
    num_video_tokens: int,
    num_prompt_tokens: int,
    num_new_tokens: int,
) -> Work:
    """The work of one answer about one video: matrix products and bytes; what is small is left out.

    Args:
        config: the model.
        dtype: of its weights.
        num_frames: T.
        num_video_tokens: that the frames are packed into, before a selection among them.
        num_prompt_tokens: tokens of the prompt, video tokens included.
        num_new_tokens: the longest answer.
    """
    vision = config.vision
    text = config.text
    num_frame_tokens = num_frames * config.grid_side**2
    projector = 2 * num_frame_tokens * vision.hidden_size * text.hidden_size
    projector += 2 * num_video_tokens * text.hidden_size**2
    output_values = text.vocab_size * text.hidden_size
    num_layer_values = text.num_hidden_layers * text_layer_values(text)
    # A token attends to those before it: half of the square.
    attention = 2 * num_prompt_tokens**2 * text.hidden_size * text.num_hidden_layers
    head_width = text.hidden_size // text.num_attention_heads
    cache_values = 2 * text.num_hidden_layers * text.num_key_value_heads * head_width
    num_cached = num_prompt_tokens + num_new_tokens / 2
    return Work(
        vision_flops=num_frames * _vision_flops(config),
        prefill_flops=projector
        + attention
        + 2 * (num_layer_values * num_prompt_tokens + output_values),
        decode_bytes=(num_new_tokens - 1)
        * dtype.itemsize
        * (num_layer_values + output_values + cache_values * num_cached),
    )


def _vision_flops(config: LlavaVideoConfig) -> int:
    """Floating-point operations of the vision encoder for one frame."""
    vision = config.vision
    width, num_tokens = vision.hidden_size, config.grid_side**2
    layer = 2 * num_tokens * vision_layer_values(vision)
    layer += 4 * num_tokens**2 * width
    patches = 2 * num_tokens * 3 * vision.patch_size**2 * width
    return int(vision.num_hidden_layers * layer + patches)


def vision_layer_values(vision: SiglipVisionConfig) -> int:
    """Weights of one layer of the vision encoder, biases left out."""
    return int(4 * vision.hidden_size**2 + 2 * vision.hidden_size * vision.intermediate_size)


def text_layer_values(text: Qwen2Config) -> int:
    """Weights of one layer of the language model, biases left out."""
    width = text.hidden_size
    key_value_width = width // text.num_attention_heads * text.num_key_value_heads
    return int(2 * width * (width + key_value_width) + 3 * width * text.intermediate_size)


@torch.inference_mode()
def measure_rates(
    config: LlavaVideoConfig,
    dtype: torch.dtype,
    device: torch.device,
    *,
    num_tokens: int = PROBE_TOKENS,
) -> Rates:
    """Rates of a device, from random layers of the model's shapes; takes seconds.

    Args:
        config: the model.
        dtype: of its weights.
        device: where it is to run.
        num_tokens: length of the prompt to measure with.

    Raises:
        InputError: not even these layers fit into the device's memory.
    """
    try:
        vision_flops = _measure_vision(config, dtype, device)
        prefill_flops, decode_bytes = _measure_text(config, dtype, device, num_tokens)
    except torch.OutOfMemoryError as error:
        raise InputError(f"{device} has too little free memory to measure its rates") from error
    return Rates(vision_flops, prefill_flops, decode_bytes, f"measured on {device} just now")


def _measure_vision(config: LlavaVideoConfig, dtype: torch.dtype, device: torch.device) -> float:
    vision = config.vision
    one_layer = LlavaVideoConfig(vision_config={**vision.to_dict(), "num_hidden_layers": 1})
    with torch.device("meta"):
        model = SiglipVisionModel._from_config(one_layer.vision)
    model = _filled(model, dtype, device)
    num_frames = 8 if device.type == "cuda" else 1
    side = config.tile_size
    pixels = torch.zeros(num_frames, 3, side, side, dtype=dtype, device=device)
    # Positions are counted, not learned; to_empty() left them undefined.
    model.embeddings.position_ids = torch.arange(config.grid_side**2, device=device)[None]
    seconds = _fastest(lambda: model.encoder(inputs_embeds=model.embeddings(pixels)), device)
    return num_frames * _vision_flops(one_layer) / seconds


def _measure_text(
    config: LlavaVideoConfig, dtype: torch.dtype, device: torch.device, num_tokens: int
) -> tuple[float, float]:
    text = config.text
    layer_values = text_layer_values(text)
    num_layers = math.ceil(PROBE_BYTES / dtype.itemsize / layer_values)
    num_layers = min(text.num_hidden_layers, num_layers)
    values = {**text.to_dict(), "num_hidden_layers": num_layers, "layer_types": None}
    no_words = {"vocab_size": 1} | dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id"))
    few_layers = LlavaVideoConfig(text_config={**values, **no_words})
    with torch.device("meta"):
        model = Qwen2Model._from_config(few_layers.text)
    model = _filled(model, dtype, device)
    model.rotary_emb = type(model.rotary_emb)(few_layers.text).to(device)
    if device.type == "cpu":
        model.set_attn_implementation(GROUPED)
    num_tokens = min(num_tokens, text.max_position_embeddings // 2)
    prompt = torch.zeros(1, num_tokens, text.hidden_size, dtype=dtype, device=device)
    work = count_work(
        few_layers,
        dtype,
        num_frames=0,
        num_video_tokens=0,
        num_prompt_tokens=num_tokens,
        num_new_tokens=2,
    )
    prefill_seconds = _fastest(lambda: model(inputs_embeds=prompt, use_cache=True), device)
    cache = model(inputs_embeds=prompt, use_cache=True)[CACHE]
    decode_seconds = _fastest(
        lambda: model(inputs_embeds=prompt[:, :1], **{CACHE: cache}, use_cache=True), device
    )
    return work.prefill_flops / prefill_seconds, work.decode_bytes / decode_seconds


def _filled(model: nn.Module, dtype: torch.dtype, device: torch.device) -> Any:
    """The model with some finite weights; which ones has no influence on its rates."""
    model = model.to(dtype).to_empty(device=device).eval()
    for weight in model.parameters():
        weight.fill_(0.02)
    return model


def _fastest(work: Callable[[], Any], device: torch.device) -> float:
    """Seconds of the fastest of a few rounds, after a warm-up."""
    seconds = []
    for _ in range(PROBE_ROUNDS + 1):
        start = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - start)
    return min(seconds[1:])
