"""Files of an adapter, under our names: peft's own, ours, and those of the official training code.

peft warns of tensors that it cannot place, and of keys that it does not know; whoever merges such
an adapter gets the model without it. Here both are errors, found before anything is written.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor

from llava_video.checkpoints.diagnosis import ADAPTER_CONFIG, NON_LORA_FILE, PROJECTOR_FILE
from llava_video.checkpoints.files.json_files import read_json
from llava_video.checkpoints.files.pickles import read_pickle
from llava_video.checkpoints.layouts import native_name
from llava_video.checkpoints.safetensors_files import read_header
from llava_video.errors import CheckpointError

BESIDE_FILE = "trained_beside.safetensors"
"""In the folder of an adapter: weights of the model itself that were trained beside it."""

WRAPPED = "base_model.model."
"""How peft begins the names of an adapter's tensors."""

_ADAPTER_FILES = ("adapter_model.safetensors", "adapter_model.bin")
_BESIDE_FILES = (BESIDE_FILE, NON_LORA_FILE, PROJECTOR_FILE)
_PEFT_LEVELS = re.compile(r"\.(base_layer|modules_to_save(\.default)?)(?=\.)")
_PATTERNS = ("rank_pattern", "alpha_pattern")
_CHOICES = ("exclude_modules", "layers_to_transform", "layers_pattern")
_WITHOUT_PLACE = ("layer_replication", "trainable_token_indices")


@dataclass(frozen=True, slots=True)
class AdapterFiles:
    """What the folder of an adapter holds.

    Attributes:
        folder: where it is.
        config: values of adapter_config.json, for our names; empty where there is no adapter.
        tensors: of the adapter, named as peft names them, around our names of layers.
        beside: weights of the model itself, by our names.
        is_whole: whether every layer of a kind has to have an adapter, where any has.
    """

    folder: Path
    config: dict[str, Any] = field(default_factory=dict)
    tensors: dict[str, Tensor] = field(default_factory=dict)
    beside: dict[str, Tensor] = field(default_factory=dict)
    is_whole: bool = False


def holds_adapter(folder: Path) -> bool:
    """Whether a folder holds an adapter, or other trained parts of a model."""
    return any((folder / name).is_file() for name in (ADAPTER_CONFIG, *_BESIDE_FILES))


def read_adapter(folder: Path, weight_names: set[str]) -> AdapterFiles:
    """Read the folder of an adapter.

    Args:
        folder: of it.
        weight_names: our names of the weights of the model that it belongs to.

    Raises:
        CheckpointError: a file is missing, damaged, or has a key that cannot be followed.
    """
    stored: dict[str, Tensor] = {}
    for name in _BESIDE_FILES:
        if (folder / name).is_file():
            stored |= _read(folder / name)
    beside = {_our_name(name): tensor for name, tensor in stored.items()}
    if (folder / PROJECTOR_FILE).is_file():
        _refuse_missing(folder / PROJECTOR_FILE, set(beside), weight_names)
    if not (folder / ADAPTER_CONFIG).is_file():
        return AdapterFiles(folder, beside=beside)
    file = next((folder / name for name in _ADAPTER_FILES if (folder / name).is_file()), None)
    if file is None:
        raise CheckpointError(
            f"{folder} has no {_ADAPTER_FILES[0]}; copy the adapter's weights beside its "
            f"{ADAPTER_CONFIG}"
        )
    tensors: dict[str, Tensor] = {}
    stored = _read(file)
    for name, tensor in stored.items():
        ours = _our_name(name)
        if ours in weight_names:
            beside[ours] = tensor
        else:
            tensors[WRAPPED + native_name(_unwrapped(name))] = tensor
    is_renamed = any(name not in tensors for name in stored if _our_name(name) not in beside)
    values = read_json(folder / ADAPTER_CONFIG)
    config = _translate(values, tensors, folder) if is_renamed else dict(values)
    _settle_whole_weights(config, stored, beside, folder)
    is_whole = is_renamed and not values.get("layers_to_transform")
    return AdapterFiles(folder, config, tensors, beside, is_whole)


def refuse_partial(adapter: AdapterFiles, module_names: Iterable[str]) -> None:
    """Refuse an adapter that some layers of a kind have and others lack.

    Raises:
        CheckpointError: there is such a layer; tensors are missing.
    """
    if not adapter.is_whole:
        return
    adapted = set(adapter.config["target_modules"])
    kinds = {_kind(name) for name in adapted}
    lacking = sorted(n for n in module_names if _kind(n) in kinds and n not in adapted)
    if lacking:
        raise CheckpointError(
            f"{adapter.folder} has no adapter for {lacking[0]}, though it has for other layers of "
            "that kind; its file is not whole, or the model has more layers"
        )


def _kind(module_name: str) -> str:
    """The name of a layer without its number."""
    return re.sub(r"\.\d+\.", ".N.", module_name)


def _read(file: Path) -> dict[str, Tensor]:
    if file.suffix == ".bin":
        return read_pickle(file)
    read_header(file)  # says what is wrong with it
    tensors: dict[str, Tensor] = load_file(file)
    return tensors


def _unwrapped(name: str) -> str:
    """The name of a weight without the levels that peft and DeepSpeed put around it."""
    name = name.removeprefix("module.")
    if name.startswith("base_model."):
        name = name.removeprefix("base_model.").removeprefix("model.")
    elif name.startswith("model.model."):
        name = name.removeprefix("model.")
    return name


def _our_name(name: str) -> str:
    return native_name(_PEFT_LEVELS.sub("", _unwrapped(name)))


def _refuse_missing(file: Path, found: set[str], weight_names: set[str]) -> None:
    missing = {name for name in weight_names if name.startswith("model.projector.")} - found
    if missing:
        raise CheckpointError(f"{file} lacks the tensor {min(missing)}; download it again")


def _translate(values: dict[str, Any], tensors: dict[str, Tensor], folder: Path) -> dict[str, Any]:
    """adapter_config.json of another code for our names: each adapted layer is named in full."""
    file = folder / ADAPTER_CONFIG
    if values.get("peft_type") != "LORA":
        raise CheckpointError(
            f"{file}: an adapter of type {values.get('peft_type')} of another code cannot be "
            "merged, only LoRA and DoRA can"
        )
    for name in _WITHOUT_PLACE:
        if values.get(name):
            raise CheckpointError(
                f"{file} says {name}, which cannot be merged; merge it with the code that wrote it"
            )
    layers = sorted({name.removeprefix(WRAPPED).partition(".lora_")[0] for name in tensors})
    patterns = {
        key: {native_name(f"{name}.").removesuffix("."): v for name, v in values[key].items()}
        for key in _PATTERNS
        if values.get(key)
    }
    for key, pattern in patterns.items():
        for name in pattern:
            if not any(re.fullmatch(rf"(.*\.)?({name})", layer) for layer in layers):
                raise CheckpointError(f"{file}: {key} names {name}, which has no adapter")
    return {
        **values,
        **dict.fromkeys(_CHOICES),
        **patterns,
        "target_modules": layers,
        "task_type": None,
    }


def _settle_whole_weights(
    config: dict[str, Any], stored: dict[str, Tensor], beside: dict[str, Tensor], folder: Path
) -> None:
    """Whole weights in the file of an adapter are put into the model, not into its adapters."""
    for name in config.get("modules_to_save") or ():
        if not any(f".{name}." in f".{key}." and _our_name(key) in beside for key in stored):
            raise CheckpointError(
                f"{folder} lacks the weights of {name}, which {ADAPTER_CONFIG} says it saves; copy "
                "the adapter again"
            )
    config["modules_to_save"] = None
    if "bias" in config:
        config["bias"] = "none"
