"""Tensors out of pickles, where a user asks for it: nothing but tensors is made of them."""

from __future__ import annotations

import contextlib
import pickle
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from llava_video.checkpoints.diagnosis import has_weights, missing_shards, pickled_weights
from llava_video.checkpoints.files.json_files import refuse_pointer
from llava_video.checkpoints.safetensors_files import SINGLE_FILE, read_header, write_index
from llava_video.errors import CheckpointError


def read_pickle(file: Path) -> dict[str, Tensor]:
    """The tensors of a pickle that PyTorch wrote, by name; any code in it is refused, not run.

    Raises:
        CheckpointError: it holds something else, or is damaged.
    """
    refuse_pointer(file)
    try:
        content: Any = torch.load(file, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError) as error:
        reason = "it asks to run code" if "weights_only" in str(error) else "it is damaged"
        raise CheckpointError(
            f"{file} cannot be read as tensors alone ({reason}); download it again, or save it as "
            "safetensors where you trust it"
        ) from error
    if not isinstance(content, dict) or not all(isinstance(v, Tensor) for v in content.values()):
        raise CheckpointError(f"{file} does not hold named tensors; it is not a file of weights")
    return content


@contextlib.contextmanager
def as_safetensors(directory: Path, scratch: Path) -> Iterator[Path]:
    """A checkpoint with its pickled weights as safetensors; others are yielded as they are.

    Args:
        directory: the checkpoint.
        scratch: a directory with room for its weights, where a copy lies for as long.

    Raises:
        CheckpointError: a shard is missing or cannot be read.
    """
    pickles = pickled_weights(directory)
    if has_weights(directory) or not pickles:
        yield directory
        return
    missing = missing_shards(pickles)
    if missing:
        raise CheckpointError(
            f"{directory / missing[0]} is missing, one of several shards; download all of them"
        )
    with tempfile.TemporaryDirectory(dir=scratch, prefix=".safetensors.") as folder:
        copy = Path(folder)
        for file in directory.iterdir():
            if file.is_file() and file not in pickles and ".bin" not in file.suffixes:
                shutil.copyfile(file, copy / file.name)
        weight_map: dict[str, str] = {}
        for number, file in enumerate(pickles, start=1):
            name = SINGLE_FILE
            if len(pickles) > 1:
                name = f"model-{number:05d}-of-{len(pickles):05d}.safetensors"
            # Cloned: tied tensors share their memory, which safetensors does not write.
            tensors = {key: value.clone() for key, value in read_pickle(file).items()}
            save_file(tensors, copy / name, {"format": "pt"})
            weight_map |= dict.fromkeys(tensors, name)
        if len(pickles) > 1:
            headers = map(read_header, copy.glob("*.safetensors"))
            total = sum(tensor.num_bytes for header in headers for tensor in header)
            write_index(copy, weight_map, total)
        yield copy
