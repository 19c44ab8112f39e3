"""How much memory a training run takes on each device, from shapes alone.

The largest batch of the run is read, so that its tokens, frames and supervised tokens are exact; no
weight is loaded. Two moments are compared: the end of the forward pass, and the backward pass, with
what the forward pass kept. An update takes nothing more, on a GPU because AdamW is fused there.
What the device's libraries and its allocator take for themselves is not in it.
benchmarks/memory_plans/training.py holds the sums against measured peaks.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch

from llava_video.model import LlavaVideoConfig, LlavaVideoForConditionalGeneration
from llava_video.model.modeling import FRAMES_PER_VISION_CHUNK
from llava_video.train.adapters import add_lora
from llava_video.train.parameters import part_of, set_trainable
from llava_video.train.recipe import Lora, Recipe

TRAINED_BYTES = 4
"""Weights that are trained, their gradients and each moment of AdamW are in float32."""

LOGIT_BYTES = 16
"""Logits, their logarithms and two gradients, beside those in the dtype of the computation."""


@dataclass(frozen=True, slots=True)
class Batch:
    """The sizes of a batch that memory depends on.

    Attributes:
        num_tokens: of all its rows, padding included.
        num_frames: frames and tiles.
        num_video_tokens: what they become.
        num_logits: positions that something is asked of.
        num_mask: numbers in the mask of attention; without preferences there is none.
    """

    num_tokens: int
    num_frames: int
    num_video_tokens: int
    num_logits: int
    num_mask: int = 0

    @classmethod
    def of(cls, inputs: dict[str, Any], config: LlavaVideoConfig) -> Batch:
        """The sizes of what a collator makes."""
        ids: Any = inputs["input_ids"]
        labels: Any = inputs["answers" if "answers" in inputs else "labels"]
        kinds = ("pixel_values_videos", "pixel_values")
        pixels = [inputs[name] for name in kinds if name in inputs]
        return cls(
            num_tokens=ids.numel(),
            num_frames=sum(len(several) for several in pixels),
            num_video_tokens=int((ids == config.video_token_id).sum()),
            num_logits=len(ids) * int((labels[:, 1:] >= 0).any(0).sum()),
            num_mask=ids.numel() * ids.shape[1] if "branches" in inputs else 0,
        )


@dataclass(frozen=True, slots=True)
class TrainingMemory:
    """Bytes on one device.

    Attributes:
        weights: those that stay in the recipe's dtype, those that are trained in float32.
        copies: trained weights in the recipe's dtype, which the forward pass computes with.
        copies_backward: those that the backward pass holds at once; of one layer, where layers are
            computed again.
        gradients: in float32, with the buffers of their exchange between devices.
        optimizer: both moments of AdamW.
        activations: what the forward pass keeps for the backward pass.
        layer: activations of the layer that is computed again, and their gradients.
        logits: of supervised tokens, and their gradients.
        mask: of attention, where answers share a video.
    """

    weights: int
    copies: int
    copies_backward: int
    gradients: int
    optimizer: int
    activations: int
    layer: int
    logits: int
    mask: int

    @property
    def peak(self) -> int:
        """The most that is held at once."""
        always = self.weights + self.gradients + self.optimizer
        kept = self.activations + self.mask
        forward = kept + self.copies
        backward = kept + self.copies_backward + max(self.layer, self.logits)
        return always + max(forward, backward)

    def to_dict(self) -> dict[str, int]:
        """Plain values, with the peak."""
        return {**asdict(self), "peak": self.peak}


def estimate_memory(
    recipe: Recipe, config: LlavaVideoConfig, batch: Batch, num_devices: int, device_type: str
) -> TrainingMemory:
    """Memory that a run takes on each device.

    Args:
        recipe: what is trained, and how.
        config: of the model.
        batch: the largest one.
        num_devices: that the run is shared among.
        device_type: ``"cuda"`` or ``"cpu"``; their dropout works differently.
    """
    width = getattr(torch, recipe.dtype).itemsize
    splits = recipe.shard and num_devices > 1
    trained: dict[str, int] = {"vision_encoder": 0, "projector": 0, "language_model": 0}
    num_frozen = 0
    for name, parameter in _outline(recipe, config).named_parameters():
        if parameter.requires_grad:
            trained[part_of(name)] += parameter.numel()
        else:
            num_frozen += parameter.numel()
    num_trained = sum(trained.values())
    share = num_devices if splits else 1
    exchanged = 2 if num_devices > 1 and not splits else 1
    kept, layer = _activations(recipe, config, batch, trained, width, device_type)
    text = config.text
    copies = 0 if width == TRAINED_BYTES or splits else num_trained * width
    per_layer = max(trained.values()) // text.num_hidden_layers
    largest = max(per_layer, text.vocab_size * text.hidden_size) * width
    return TrainingMemory(
        weights=(num_trained * TRAINED_BYTES + num_frozen * (4 if splits else width)) // share,
        copies=copies,
        copies_backward=min(copies, largest) if recipe.gradient_checkpointing else copies,
        gradients=exchanged * num_trained * TRAINED_BYTES // share,
        optimizer=2 * num_trained * TRAINED_BYTES // share,
        activations=kept,
        layer=layer,
        logits=batch.num_logits * text.vocab_size * (width + LOGIT_BYTES),
        mask=batch.num_mask * width,
    )


def _outline(recipe: Recipe, config: LlavaVideoConfig) -> Any:
    """The model as it is trained, without memory."""
    with torch.device("meta"):
        model: Any = LlavaVideoForConditionalGeneration(config)
        if recipe.lora is not None:
            model = add_lora(model, recipe.lora, recipe.model)
    set_trainable(model, recipe)
    return model


def _activations(
    recipe: Recipe,
    config: LlavaVideoConfig,
    batch: Batch,
    trained: dict[str, int],
    width: int,
    device_type: str,
) -> tuple[int, int]:
    """Bytes that the forward pass keeps, and bytes of the layer that is computed again."""
    vision = config.vision
    text = config.text
    num_patches = batch.num_frames * config.grid_side**2
    chunk_share = min(1.0, FRAMES_PER_VISION_CHUNK / max(1, batch.num_frames))
    text_layer = batch.num_tokens * _text_layer_bytes(recipe, text, width, device_type)
    # Queries, keys, values, their attention, both normalised inputs, both sides of the activation.
    vision_layer = num_patches * width * (7 * vision.hidden_size + 2 * vision.intermediate_size)
    if recipe.lora is not None and "vision_encoder" in recipe.lora.parts:
        inputs = 5 * vision.hidden_size + vision.intermediate_size
        vision_layer += num_patches * inputs * _adapter_bytes(recipe.lora, width, device_type)
    learns = recipe.learning_rates.language_model is not None
    text_input = batch.num_tokens * text.hidden_size * (TRAINED_BYTES if learns else width)
    vision_input = num_patches * vision.hidden_size * width

    kept = batch.num_frames * 3 * vision.image_size**2 * 4  # pixels
    sees = bool(trained["vision_encoder"])
    if sees:
        each = vision_input if recipe.gradient_checkpointing else vision_layer
        kept += vision.num_hidden_layers * each
    if sees or trained["projector"]:
        # Features, both sides of the activation, and the pooled input of the second layer.
        kept += vision_input + width * text.hidden_size * (2 * num_patches + batch.num_video_tokens)
    each = text_input if recipe.gradient_checkpointing else text_layer
    kept += text.num_hidden_layers * each
    kept += 2 * text_input  # the embedded prompt, and the last norm
    again = text_layer if recipe.gradient_checkpointing else 0
    again += batch.num_tokens * text.intermediate_size * _temporary_bytes(recipe, width)
    return kept, max(again, int(vision_layer * chunk_share) if sees else 0)


def _text_layer_bytes(recipe: Recipe, text: Any, width: int, device_type: str) -> int:
    """What one layer of the language model keeps for each token."""
    hidden, inner = text.hidden_size, text.intermediate_size
    shared = text.num_key_value_heads * (hidden // text.num_attention_heads)
    learns = recipe.learning_rates.language_model is not None
    # Inputs of both norms, in float32; normalised also where weights are to learn from them.
    norms = 2 * hidden * (TRAINED_BYTES + (width if learns else 0))
    # Queries, keys and values after rotation, and what they attend to.
    attention = width * (2 * hidden + 2 * shared)
    # Both sides of the activation, and the other branch.
    gated = width * 3 * inner
    return int(norms + attention + gated + _linear_inputs_bytes(recipe, text, width, device_type))


def _linear_inputs_bytes(recipe: Recipe, text: Any, width: int, device_type: str) -> int:
    """What the linear layers of one layer keep of their inputs, to learn from them."""
    hidden, inner = int(text.hidden_size), int(text.intermediate_size)
    if recipe.lora is not None and "language_model" in recipe.lora.parts:
        if recipe.lora.dropout:  # each layer drops values of its own
            return (6 * hidden + inner) * _adapter_bytes(recipe.lora, width, device_type)
        return (2 * hidden + inner) * width
    if recipe.learning_rates.language_model is None:
        return 0
    # Autocast casts the input of each layer anew, but for what attention gives in its dtype.
    casts = 5 if width < TRAINED_BYTES else 2
    return (casts * hidden + inner) * width


def _adapter_bytes(lora: Lora, width: int, device_type: str) -> int:
    """What an adapter keeps for each value of its input: itself, and whether it was dropped."""
    dropped = width if device_type == "cpu" else 1
    return width + (dropped if lora.dropout else 0)


def _temporary_bytes(recipe: Recipe, width: int) -> int:
    """What the last product of a layer holds for each value, when all else is there."""
    if recipe.lora is None or "language_model" not in recipe.lora.parts:
        return 2 * width  # gradients of both factors; that of the product takes its place
    return width  # the same, when the adapter's own input is not needed any more
