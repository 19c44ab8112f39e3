"""Low-rank adapters: adding, saving and merging them."""

from __future__ import annotations

from copy import copy
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from llava_video.budget.inference_memory import dtype_of
from llava_video.checkpoints.load import find_checkpoint, load_config, load_model, load_processor
from llava_video.errors import CheckpointError, InputError
from llava_video.model import LlavaVideoConfig
from llava_video.records.files import writing
from llava_video.train.lora_targets import LORA_TARGETS
from llava_video.train.recipe import Lora

BESIDE_FILE = "trained_beside.safetensors"
"""In the folder of an adapter: weights of the model itself that were trained beside it."""

_WRAPPED = "base_model.model."


def add_lora(model: Any, lora: Lora, name: str) -> Any:
    """Add adapters to the linear layers of some parts of a model.

    Args:
        model: also changed in place.
        lora: parts and sizes.
        name: name or directory of the model, recorded in the adapter.
    """
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError as error:
        raise InputError("lora needs peft; pip install 'llava-video[train]'") from error
    wrapped = get_peft_model(
        model,
        LoraConfig(
            r=lora.rank,
            lora_alpha=lora.alpha,
            lora_dropout=lora.dropout,
            target_modules="|".join(LORA_TARGETS[part] for part in lora.parts),
        ),
    )
    wrapped.peft_config["default"].base_model_name_or_path = name
    return wrapped


def save_adapter(model: Any, folder: Path, dtype: torch.dtype) -> None:
    """Write the adapters of a model in peft's format, and its other trained weights.

    Args:
        model: with adapters.
        folder: where they are written.
        dtype: that the model is to have when they are merged into it.
    """
    model.save_pretrained(folder, save_embedding_layers=False)
    config = copy(model.config)
    config.dtype = dtype
    config.save_pretrained(folder)
    beside = {
        # peft puts a layer that has an adapter into another one.
        name.removeprefix(_WRAPPED).replace(".base_layer.", "."): parameter.detach().contiguous()
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and "lora_" not in name
    }
    if beside:
        save_file(beside, folder / BESIDE_FILE)


def merge_adapter(adapter: Path, target: Path, model: str | None = None) -> None:
    """Merge an adapter into the model that it was trained on, and write the result.

    The merge is in float32 and then rounded, as at the end of a run.

    Args:
        adapter: a folder that `save_adapter` or peft wrote.
        target: where the model is written.
        model: the model that it was trained on; default: the one that the adapter names.

    Raises:
        CheckpointError: it does not fit the model.
    """
    from peft import PeftConfig, PeftModel

    name = model or PeftConfig.from_pretrained(str(adapter)).base_model_name_or_path
    directory = find_checkpoint(name)
    config = load_config(directory)
    meant = config
    if (adapter / "config.json").is_file():  # peft alone writes none
        meant = LlavaVideoConfig.from_pretrained(str(adapter))
    try:
        config = load_config(directory, meant.representation)
        base = load_model(directory, config, dtype=torch.float32)
        if (adapter / BESIDE_FILE).is_file():
            _put(load_file(adapter / BESIDE_FILE), base)
        wrapped = PeftModel.from_pretrained(base, str(adapter))
    except (RuntimeError, ValueError) as error:
        raise CheckpointError(
            f"{adapter} does not fit {name} ({str(error).splitlines()[0]}); give the model that it "
            "was trained on as --model"
        ) from error
    processor = load_processor(directory, config)
    write_model(wrapped.merge_and_unload(), processor, target, dtype_of(meant))


def _put(weights: dict[str, Tensor], model: nn.Module) -> None:
    """Replace some of a model's weights.

    Raises:
        ValueError: the model has no weight of such a name.
    """
    unknown = model.load_state_dict(weights, strict=False).unexpected_keys
    if unknown:
        raise ValueError(f"it has no {unknown[0]}")


MODEL = "model"
"""The folder of the trained model, in the run folder."""


def write_model(model: Any, processor: Any, target: Path, dtype: torch.dtype) -> None:
    """Write a model and its processor; the folder appears when it is whole."""
    with writing(target) as unfinished:
        model.to(dtype).save_pretrained(unfinished)
        processor.save_pretrained(unfinished)
