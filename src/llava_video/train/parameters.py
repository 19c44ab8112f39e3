"""The trainable parameters of a run: adapters, frozen parts, and the optimizer's groups."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn
from transformers.models.qwen2.modeling_qwen2 import Qwen2DecoderLayer
from transformers.models.siglip.modeling_siglip import SiglipEncoderLayer

from llava_video.checkpoints.load import load_model
from llava_video.model import LlavaVideoConfig
from llava_video.train.adapters import add_lora
from llava_video.train.recipe import Recipe


def build_model(
    recipe: Recipe, directory: Path, config: LlavaVideoConfig, frozen_dtype: torch.dtype
) -> Any:
    """The model at the start of a run: with adapters, its trainable weights in float32."""
    model: Any = load_model(directory, config, dtype=frozen_dtype)
    if recipe.lora is not None:
        model = add_lora(model, recipe.lora, recipe.model)
        if recipe.dtype == "bfloat16":
            _keep_inputs_narrow(model)
    set_trainable(model, recipe)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    return model


def _keep_inputs_narrow(model: nn.Module) -> None:
    """Leave the inputs of adapters in the dtype of the computation.

    peft turns them into float32, that of the adapters' weights, and autocast turns them back: two
    passes over the largest activations for nothing.
    """
    for module in model.modules():
        if isinstance(module, LoraLayer):
            module.cast_input_dtype_enabled = False


def compile_layers(model: nn.Module) -> None:
    """Compile the layers of both transformers when they are first called.

    Layers of one kind are compiled once for all of them, and for all lengths.
    """
    for module in model.modules():
        if isinstance(module, Qwen2DecoderLayer | SiglipEncoderLayer):
            module.compile(dynamic=True)


def checkpoint_activations(model: Any) -> None:
    """Recompute activations in the backward pass instead of keeping them."""
    model.config.get_text_config().use_cache = False  # transformers would say that it has to
    if hasattr(model, "activation_checkpointing_enable"):
        model.activation_checkpointing_enable({"use_reentrant": False})
    else:  # before transformers 5.24
        model.gradient_checkpointing_enable({"use_reentrant": False})
    # transformers makes embeddings require gradients, also those of patches. Only its reentrant way
    # needs that; it would send gradients through a frozen vision encoder, for nothing.
    if getattr(model, "_require_grads_hooks", None):
        model.disable_input_require_grads()


def part_of(name: str) -> str:
    """The part of the model that a parameter belongs to, as `LearningRates` names it."""
    if "vision_encoder" in name:
        return "vision_encoder"
    if any(word in name for word in ("projector", "newline", "separator")):
        return "projector"
    return "language_model"


def set_trainable(model: nn.Module, recipe: Recipe) -> None:
    """Freeze the parts without a learning rate; adapters are always trained."""
    rates = recipe.learning_rates.model_dump()
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("lora_" in name or rates[part_of(name)] is not None)


def parameter_groups(model: nn.Module, recipe: Recipe) -> list[dict[str, Any]]:
    """Trainable parameters by part, with and without weight decay (vectors have none)."""
    rates = recipe.learning_rates.model_dump()
    groups: dict[tuple[float, float], list[Tensor]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        is_adapter = "lora_" in name and recipe.lora is not None
        rate = recipe.lora.learning_rate if is_adapter and recipe.lora else rates[part_of(name)]
        decay = recipe.weight_decay if parameter.ndim > 1 else 0.0
        groups.setdefault((rate, decay), []).append(parameter)
    return [
        {"params": parameters, "lr": rate, "weight_decay": decay}
        for (rate, decay), parameters in groups.items()
    ]
