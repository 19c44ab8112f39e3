"""What a directory holds that is not a checkpoint, and what can be done with it."""

from __future__ import annotations

import re
from pathlib import Path

from llava_video.checkpoints.files.json_files import refuse_pointer
from llava_video.checkpoints.safetensors_files import INDEX_FILE, SINGLE_FILE
from llava_video.errors import CheckpointError

ADAPTER_CONFIG = "adapter_config.json"
PROJECTOR_FILE = "mm_projector.bin"
NON_LORA_FILE = "non_lora_trainables.bin"

PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")
_SHARD = re.compile(r".+-(\d{5})-of-(\d{5})\.(bin|safetensors)")
_INSIDE = ("model", "checkpoint-*", "checkpoints/checkpoint-*", "adapter")


def has_weights(directory: Path) -> bool:
    """Whether there are safetensors files under the names of a whole model."""
    return any((directory / name).is_file() for name in (SINGLE_FILE, INDEX_FILE))


def pickled_weights(directory: Path) -> list[Path]:
    """Files of a whole model that is pickled: one, or the shards that are there."""
    single = directory / "pytorch_model.bin"
    return [single] if single.is_file() else sorted(directory.glob("pytorch_model-*-of-*.bin"))


def refuse_what_is_no_checkpoint(directory: Path) -> None:
    """Say what a directory holds in place of a whole model, and what to do with it.

    Raises:
        CheckpointError: there is no whole model, or it is an adapter.
    """
    if (directory / ADAPTER_CONFIG).is_file():
        raise CheckpointError(
            f"{directory} holds an adapter and not a model ({ADAPTER_CONFIG}); make a model of "
            f"both: llava-video merge {directory} NEW --model MODEL"
        )
    if has_weights(directory):
        return
    for name, what in (
        (PROJECTOR_FILE, "the projector alone, as the first stage of training writes it"),
        (NON_LORA_FILE, "what was trained beside an adapter, without the adapter"),
    ):
        if (directory / name).is_file():
            raise CheckpointError(
                f"{directory / name} is {what}; put it into a whole model: "
                f"llava-video merge {directory} NEW --model MODEL"
            )
    _refuse_pickles(directory)
    shards = sorted(directory.glob("model-*-of-*.safetensors"))
    if shards:
        raise CheckpointError(
            f"{shards[0]} is one of several shards, and {INDEX_FILE} is missing; download the "
            "index and all shards into one directory"
        )
    adapter = directory / "adapter_model.safetensors"
    if adapter.is_file():
        raise CheckpointError(
            f"{adapter} is an adapter, and its {ADAPTER_CONFIG} is missing; copy that beside it"
        )
    quantized = sorted(directory.glob("*.gguf"))
    if quantized:
        raise CheckpointError(
            f"{quantized[0]} is a file for llama.cpp; take the checkpoint that it was made from"
        )
    for pattern in _INSIDE:
        for inside in sorted(directory.glob(pattern)):
            if has_weights(inside) or (inside / ADAPTER_CONFIG).is_file():
                raise CheckpointError(
                    f"{directory} is not a checkpoint itself, {inside} in it is one; give that"
                )


def _refuse_pickles(directory: Path) -> None:
    pickles = pickled_weights(directory)
    others = sorted(path for pattern in PICKLES for path in directory.glob(pattern))
    if not pickles and not others:
        return
    first = (pickles or others)[0]
    refuse_pointer(first)
    if not pickles:
        raise CheckpointError(
            f"{first} is a pickle, which can run code when it is read, and not a file of a whole "
            f"model, which is called {SINGLE_FILE}; download the model's own files"
        )
    missing = missing_shards(pickles)
    if missing:
        raise CheckpointError(
            f"{first} is one of several shards, and {missing[0]} is missing; download all of them"
        )
    raise CheckpointError(
        f"{first} is a pickle, which can run code when it is read; only safetensors are loaded. "
        f"Write it as such, which reads tensors and nothing else: llava-video convert {directory} "
        "NEW"
    )


def missing_shards(files: list[Path]) -> list[str]:
    """Names of the shards that are not among files like ``pytorch_model-00001-of-00002.bin``."""
    match = _SHARD.fullmatch(files[0].name)
    if match is None:
        return []
    found = {file.name for file in files}
    start = files[0].name[: match.start(1)]
    names = (f"{start}{n:05d}-of-{match[2]}.{match[3]}" for n in range(1, int(match[2]) + 1))
    return [name for name in names if name not in found]
