"""Safetensors files as bytes: which tensors lie where, and copying them under other names.

The library of that name writes a file from tensors that are all in memory. Here they go from file
to file through one small buffer, so that a checkpoint of any size can be renamed, bit for bit.

A file is eight bytes of header length, a JSON header, and the tensors one after the other.
"""

from __future__ import annotations

import json
import math
import os
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from llava_video.checkpoints.files.json_files import refuse_pointer
from llava_video.errors import CheckpointError

SINGLE_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"

BUFFER_BYTES = 1 << 20
_LENGTH = struct.Struct("<Q")
_LONGEST_HEADER_BYTES = 100_000_000  # the limit of the safetensors library


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor in a file.

    Attributes:
        name: what it is called there.
        dtype: as safetensors writes it, such as ``BF16``.
        shape: its shape.
        file: where it lies.
        offset: its first byte, counted from the start of the file.
        num_bytes: its length.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    file: Path
    offset: int
    num_bytes: int

    @property
    def num_values(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)


def list_files(directory: Path) -> list[Path]:
    """The weight files of a checkpoint, in order: those that the index names, or the only one.

    Raises:
        CheckpointError: there are none, or the index cannot be read.
    """
    index = directory / INDEX_FILE
    if index.is_file():
        refuse_pointer(index)
        try:
            names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
            return [directory / name for name in sorted(names)]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CheckpointError(
                f"{index} is not an index of shards; download it again"
            ) from error
    if (directory / SINGLE_FILE).is_file():
        return [directory / SINGLE_FILE]
    raise CheckpointError(f"{directory} has no {SINGLE_FILE}; the weights are missing")


def stored_bytes(directory: Path) -> int:
    """Bytes of all safetensors files of a directory, read or not."""
    return sum(file.stat().st_size for file in directory.glob("*.safetensors"))


def read_header(file: Path) -> list[StoredTensor]:
    """The tensors of a file, in the order of their bytes.

    Raises:
        CheckpointError: the file is missing, is truncated, or is not a safetensors file.
    """
    if not file.is_file():
        raise CheckpointError(f"{file} is missing, though the index names it; download it again")
    refuse_pointer(file)
    try:
        with file.open("rb") as stream:
            (length,) = _LENGTH.unpack(stream.read(_LENGTH.size))
            if length > _LONGEST_HEADER_BYTES:
                raise ValueError("an impossible header")
            entries = json.loads(stream.read(length))
        start = _LENGTH.size + length
        tensors = [
            StoredTensor(
                name,
                str(entry["dtype"]),
                tuple(int(side) for side in entry["shape"]),
                file,
                start + int(entry["data_offsets"][0]),
                int(entry["data_offsets"][1]) - int(entry["data_offsets"][0]),
            )
            for name, entry in entries.items()
            if name != "__metadata__"
        ]
    except (struct.error, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise CheckpointError(f"{file} is not a safetensors file; download it again") from error
    end = max((tensor.offset + tensor.num_bytes for tensor in tensors), default=start)
    size = file.stat().st_size
    if size < end:
        raise CheckpointError(f"{file} is cut short: {size} of {end} bytes; download it again")
    return sorted(tensors, key=lambda tensor: tensor.offset)


def read_headers(directory: Path) -> list[list[StoredTensor]]:
    """The tensors of each weight file of a checkpoint, checked against its index.

    Raises:
        CheckpointError: a file is missing or broken, or the index says something else.
    """
    shards = [read_header(file) for file in list_files(directory)]
    index = directory / INDEX_FILE
    if index.is_file():
        listed = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        found = {tensor.name: tensor.file.name for shard in shards for tensor in shard}
        for name in sorted(set(listed) | set(found)):
            if listed.get(name) != found.get(name):
                raise CheckpointError(
                    f"{index} and the shards disagree about the tensor {name}: the index says "
                    f"{listed.get(name)}, it lies in {found.get(name)}; download both again"
                )
    return shards


def write_shards(
    directory: Path,
    shards: Sequence[Sequence[tuple[str, StoredTensor]]],
    on_bytes: Callable[[int], None],
) -> None:
    """Write tensors under new names, one file per shard, and an index if there are several.

    Args:
        directory: where to write.
        shards: for each file, new names and the tensors that get them.
        on_bytes: called with the bytes written so far, after every buffer.
    """
    weight_map: dict[str, str] = {}
    for number, shard in enumerate(shards, start=1):
        file_name = SINGLE_FILE
        if len(shards) > 1:
            file_name = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        _write_file(directory / file_name, shard, on_bytes)
        weight_map |= {name: file_name for name, _ in shard}
    if len(shards) > 1:
        total = sum(tensor.num_bytes for shard in shards for _, tensor in shard)
        write_index(directory, weight_map, total)


def write_index(directory: Path, weight_map: dict[str, str], num_bytes: int) -> None:
    """Write which file holds which tensor.

    Args:
        directory: of the files.
        weight_map: name of the file of each tensor.
        num_bytes: of all tensors.
    """
    index = {
        "metadata": {"total_size": num_bytes},
        "weight_map": dict(sorted(weight_map.items())),
    }
    (directory / INDEX_FILE).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")


def _write_file(
    file: Path, tensors: Sequence[tuple[str, StoredTensor]], on_bytes: Callable[[int], None]
) -> None:
    entries: dict[str, object] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name, tensor in tensors:
        entries[name] = {
            "dtype": tensor.dtype,
            "shape": list(tensor.shape),
            "data_offsets": [offset, offset + tensor.num_bytes],
        }
        offset += tensor.num_bytes
    header = json.dumps(entries, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)  # the tensors begin at a multiple of eight
    with file.open("xb") as target:
        target.write(_LENGTH.pack(len(header)) + header)
        for _, tensor in tensors:
            with tensor.file.open("rb") as source:
                source.seek(tensor.offset)
                _copy(source, target, tensor, on_bytes)
        target.flush()
        os.fsync(target.fileno())


def _copy(
    source: BinaryIO, target: BinaryIO, tensor: StoredTensor, on_bytes: Callable[[int], None]
) -> None:
    remaining = tensor.num_bytes
    while remaining:
        piece = source.read(min(remaining, BUFFER_BYTES))
        if not piece:
            raise CheckpointError(f"{tensor.file} became shorter while it was read; start again")
        target.write(piece)
        remaining -= len(piece)
        on_bytes(len(piece))
