"""What training a known model takes on devices that are stated: memory, days, dollars.

Memory is that of `train.memory`, for a batch of like samples. Time is FLOPs over a utilization that
is given, as it can only be measured; docs/gpu.md has such measurements. FLOPs are those of the
model, whatever is computed again: two for each weight and token forward, and as many for the
gradient of the input and for that of the weight, where it is needed.
"""

from __future__ import annotations

from dataclasses import dataclass

from llava_video.budget.latency import text_layer_values, vision_layer_values
from llava_video.errors import InputError
from llava_video.model import LlavaVideoConfig
from llava_video.representation import make_layout
from llava_video.train.memory import Batch, TrainingMemory, estimate_memory
from llava_video.train.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Work:
    """What is trained on: like samples, each with one video.

    Attributes:
        num_samples: of all passes together.
        num_frames: of each video.
        num_text_tokens: of each sample, beside its video.
        num_answer_tokens: of them, those that are supervised.
    """

    num_samples: int
    num_frames: int
    num_text_tokens: int = 400
    num_answer_tokens: int = 200


@dataclass(frozen=True, slots=True)
class Hardware:
    """Devices of one kind.

    Attributes:
        num_devices: how many.
        flops: per second that the datasheet promises for the dtype.
        utilization: the share of it that the model's FLOPs reach (MFU).
        memory_bytes: of each.
        usd_per_hour: of each.
    """

    num_devices: int
    flops: float = 989e12
    utilization: float = 0.35
    memory_bytes: int = 80 * 10**9
    usd_per_hour: float = 2.5


@dataclass(frozen=True, slots=True)
class TrainingCost:
    """What a run takes.

    Attributes:
        tokens_per_sample: video tokens included.
        flops_per_sample: forward and backward.
        memory: on each device.
        fits: whether the devices have as much.
        tokens_per_second: of all devices.
        seconds: of the run.
        device_hours: of all devices together.
        usd: of the run.
    """

    tokens_per_sample: int
    flops_per_sample: float
    memory: TrainingMemory
    fits: bool
    tokens_per_second: float
    seconds: float
    device_hours: float
    usd: float


def training_cost(
    recipe: Recipe, config: LlavaVideoConfig, work: Work, hardware: Hardware
) -> TrainingCost:
    """Memory, time and dollars of a run.

    Args:
        recipe: what is trained, and how.
        config: of the model, with the representation.
        work: what it is trained on.
        hardware: where.

    Raises:
        InputError: more frames than the representation takes.
    """
    representation = config.representation
    if work.num_frames > representation.max_frames:
        raise InputError(
            f"{work.num_frames} frames are more than T = {representation.max_frames} of the "
            "representation; set representation=T,M,s,p with a larger T"
        )
    num_video_tokens = make_layout(representation, work.num_frames).num_tokens
    num_tokens = num_video_tokens + work.num_text_tokens
    rows = recipe.rows_per_step
    batch = Batch(
        num_tokens=rows * num_tokens,
        num_frames=rows * work.num_frames,
        num_video_tokens=rows * num_video_tokens,
        num_logits=rows * work.num_answer_tokens,
    )
    memory = estimate_memory(recipe, config, batch, hardware.num_devices, "cuda")
    flops = sample_flops(recipe, config, work, num_video_tokens)
    rate = hardware.num_devices * hardware.flops * hardware.utilization / flops
    seconds = work.num_samples / rate
    hours = hardware.num_devices * seconds / 3600
    return TrainingCost(
        tokens_per_sample=num_tokens,
        flops_per_sample=flops,
        memory=memory,
        fits=memory.peak <= hardware.memory_bytes,
        tokens_per_second=rate * num_tokens,
        seconds=seconds,
        device_hours=hours,
        usd=hours * hardware.usd_per_hour,
    )


def sample_flops(
    recipe: Recipe, config: LlavaVideoConfig, work: Work, num_video_tokens: int
) -> float:
    """FLOPs of one sample: forward, and what the recipe needs backward."""
    text, vision, rates = config.text, config.vision, recipe.learning_rates
    num_tokens = num_video_tokens + work.num_text_tokens
    num_patches = work.num_frames * config.grid_side**2
    full = rates.language_model is not None
    sees, projects = rates.vision_encoder is not None, rates.projector is not None
    learns = full or recipe.lora is not None or projects or sees

    language = 2.0 * num_tokens * text.num_hidden_layers * text_layer_values(text)
    language *= 1 + full + learns
    pairs = num_tokens * (num_tokens + 1) / 2
    language += 4 * pairs * text.hidden_size * text.num_hidden_layers * (1 + 2 * learns)
    output = 2.0 * work.num_answer_tokens * text.hidden_size * text.vocab_size * (1 + full + learns)
    projector = 2.0 * num_patches * vision.hidden_size * text.hidden_size * (1 + projects + sees)
    projector += 2.0 * num_video_tokens * text.hidden_size**2 * (1 + 2 * (projects or sees))
    encoder = 2.0 * num_patches * vision.num_hidden_layers * vision_layer_values(vision)
    encoder += 4 * num_patches * config.grid_side**2 * vision.hidden_size * vision.num_hidden_layers
    return float(language + output + projector + encoder * (1 + 2 * sees))
