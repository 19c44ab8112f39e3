"""Low-rank adapters: adding, saving and merging them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from llava_video.budget.inference_memory import dtype_of
from llava_video.checkpoints.diagnosis import ADAPTER_CONFIG
from llava_video.checkpoints.files.adapter_files import (
    BESIDE_FILE,
    WRAPPED,
    AdapterFiles,
    read_adapter,
    refuse_partial,
)
from llava_video.checkpoints.files.json_files import read_json
from llava_video.checkpoints.load import (
    find_checkpoint,
    fit_representation,
    load_config,
    load_model,
    load_processor,
    translate,
)
from llava_video.errors import CheckpointError, InputError, install
from llava_video.model import LlavaVideoConfig, LlavaVideoForConditionalGeneration
from llava_video.records.files import writing
from llava_video.train.lora_targets import LORA_TARGETS
from llava_video.train.recipe import Lora


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
        raise InputError(f"lora needs peft; {install('train')}") from error
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
        name.removeprefix(WRAPPED).replace(".base_layer.", "."): parameter.detach().contiguous()
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and "lora_" not in name
    }
    if beside:
        save_file(beside, folder / BESIDE_FILE)


def merge_adapter(source: Path, target: Path, model: str | None = None) -> None:
    """Merge an adapter into the model that it was trained on, and write the result.

    The merge is in float32 and then rounded, as at the end of a run. Adapters of peft, ours, and
    those of the official training code are read, and what was trained beside them; without an
    adapter, what was trained alone is put into the model.

    Args:
        source: the folder of the adapter.
        target: where the model is written.
        model: the model that it was trained on; default: the one that it names.

    Raises:
        CheckpointError: something of it does not fit the model; nothing is written.
    """
    name = model or _named_model(source)
    directory = find_checkpoint(name)
    config = load_config(directory)
    with _fitting(source, name):
        adapter = read_adapter(source, weight_names(config))
        dtype = dtype_of(config)
        if (source / CONFIG_FILE).is_file():  # peft alone writes none
            # The official code says nothing of the vision encoder's sizes: they are the model's.
            values = {"vision_config": config.vision.to_dict(), **read_json(source / CONFIG_FILE)}
            meant = translate(values, weight_names(config) | set(adapter.beside), source)
            _follow(config, meant)
            dtype = dtype_of(meant)
        base = load_model(directory, config, dtype=torch.float32)
        _put(adapter.beside, base)
        merged = _with_adapter(base, adapter) if adapter.config else base
    write_model(merged, load_processor(directory, config), target, dtype)


CONFIG_FILE = "config.json"

_SIZES = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")


def _named_model(source: Path) -> str:
    """The model that an adapter says it was trained on."""
    file = source / ADAPTER_CONFIG
    name = read_json(file).get("base_model_name_or_path") if file.is_file() else None
    if not name:
        raise CheckpointError(
            f"{source} does not name the model that it was trained on; give it as --model"
        )
    return str(name)


@contextmanager
def _fitting(source: Path, name: str) -> Iterator[None]:
    """Say of whatever does not fit that another model may.

    Raises:
        CheckpointError: something does not fit.
    """
    try:
        yield
    except (RuntimeError, ValueError, TypeError, KeyError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise CheckpointError(
            f"{source} does not fit {name} ({reason}); give the model that it was trained on as "
            "--model"
        ) from error


def weight_names(config: LlavaVideoConfig) -> set[str]:
    """Names of all weights of a model."""
    with torch.device("meta"):
        return set(LlavaVideoForConditionalGeneration(config).state_dict())


def _follow(config: LlavaVideoConfig, meant: LlavaVideoConfig) -> None:
    """Take over what training may have changed beside the weights.

    Raises:
        ValueError: the configurations are of models of different sizes.
    """
    for part in ("text", "vision"):
        for key in _SIZES:
            ours, theirs = getattr(getattr(config, part), key), getattr(getattr(meant, part), key)
            if ours != theirs:
                raise ValueError(f"{key} of its {part} model is {theirs}, not {ours}")
    config.representation = fit_representation(meant.representation, config)
    config.image_representation = meant.image_representation
    config.add_time_instruction = meant.add_time_instruction
    config.text.rope_parameters = meant.text.rope_parameters


def _with_adapter(base: Any, adapter: AdapterFiles) -> Any:
    """A model with an adapter merged into it.

    Raises:
        ValueError: tensors have no place in the model, or places have no tensor.
    """
    from peft import get_peft_model, set_peft_model_state_dict
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

    kinds: dict[Any, Any] = dict(PEFT_TYPE_TO_CONFIG_MAPPING)
    kind = kinds.get(adapter.config.get("peft_type"))
    if kind is None:
        raise ValueError(f"peft knows no type {adapter.config.get('peft_type')!r}")
    known = {entry.name for entry in fields(kind)}
    unknown = sorted(key for key, value in adapter.config.items() if key not in known and value)
    if unknown:
        raise ValueError(f"this version of peft does not know {unknown[0]!r}; upgrade it")
    values = {key: value for key, value in adapter.config.items() if key in known}
    refuse_partial(adapter, (name for name, _ in base.named_modules()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what they would say is checked below
        wrapped = get_peft_model(base, kind(**values))
        result: Any = set_peft_model_state_dict(wrapped, adapter.tensors)
    if result.unexpected_keys:
        raise ValueError(f"it has no {_plain(result.unexpected_keys)}")
    missing = [name for name in result.missing_keys if ".default" in name]
    if missing:
        raise ValueError(f"the adapter lacks {_plain(missing)}")
    return wrapped.merge_and_unload()


def _plain(names: Sequence[str]) -> str:
    first = min(names).removeprefix(WRAPPED).replace(".default", "")
    return first + (f" and {len(names) - 1} more" if len(names) > 1 else "")


def _put(weights: dict[str, Tensor], model: nn.Module) -> None:
    """Replace some of a model's weights.

    Raises:
        ValueError: the model has no weight of such a name.
        RuntimeError: a weight has another shape.
    """
    unknown = model.load_state_dict(weights, strict=False).unexpected_keys
    if unknown:
        raise ValueError(f"it has no {_plain(unknown)}")


MODEL = "model"
"""The folder of the trained model, in the run folder."""


def write_model(model: Any, processor: Any, target: Path, dtype: torch.dtype) -> None:
    """Write a model and its processor; the folder appears when it is whole."""
    with writing(target) as unfinished:
        model.to(dtype).save_pretrained(unfinished)
        processor.save_pretrained(unfinished)
