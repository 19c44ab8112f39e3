"""Safetensors files as bytes: what the library wrote is found, and what is written it reads."""

import json
import struct
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from llava_video.checkpoints.safetensors_files import (
    INDEX_FILE,
    read_header,
    read_headers,
    write_shards,
)
from llava_video.errors import CheckpointError


@pytest.fixture
def weights() -> dict[str, torch.Tensor]:
    return {
        "odd": torch.arange(7, dtype=torch.uint8),
        "scalar": torch.tensor(3.5),
        "half": torch.randn(3, 5).to(torch.bfloat16),
        "none": torch.empty(0, 4),
    }


def test_what_the_library_wrote_is_found(tmp_path: Path, weights: dict[str, torch.Tensor]) -> None:
    save_file(weights, tmp_path / "model.safetensors")
    (shard,) = read_headers(tmp_path)
    content = (tmp_path / "model.safetensors").read_bytes()
    assert {tensor.name for tensor in shard} == set(weights)
    for tensor in shard:
        expected = weights[tensor.name]
        assert tensor.shape == tuple(expected.shape)
        assert tensor.num_values == expected.numel()
        stored = content[tensor.offset : tensor.offset + tensor.num_bytes]
        assert stored == bytes(expected.flatten().view(torch.uint8).numpy())


def test_what_is_written_the_library_reads(
    tmp_path: Path, weights: dict[str, torch.Tensor]
) -> None:
    save_file(weights, tmp_path / "model.safetensors")
    (shard,) = read_headers(tmp_path)
    target = tmp_path / "target"
    target.mkdir()
    counted: list[int] = []
    write_shards(
        target, [[(f"new.{t.name}", t) for t in shard[:2]], [("x", shard[2])]], counted.append
    )
    assert sum(counted) == sum(tensor.num_bytes for tensor in shard[:3])
    first = load_file(target / "model-00001-of-00002.safetensors")
    for tensor in shard[:2]:
        assert torch.equal(first[f"new.{tensor.name}"], weights[tensor.name])
    with safe_open(target / "model-00002-of-00002.safetensors", "pt") as file:
        assert file.metadata() == {"format": "pt"}
        assert list(file.keys()) == ["x"]
    assert [[t.name for t in s] for s in read_headers(target)][1] == ["x"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"abc",
        struct.pack("<Q", 1 << 60),
        struct.pack("<Q", 4) + b"[{}]",
        struct.pack("<Q", 9) + b'{"a": {}}',
    ],
)
def test_what_is_no_such_file(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(content)
    with pytest.raises(CheckpointError, match="not a safetensors file"):
        read_header(file)


def test_missing_files_and_broken_indexes(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="weights are missing"):
        read_headers(tmp_path)
    (tmp_path / INDEX_FILE).write_text("{}")
    with pytest.raises(CheckpointError, match="not an index of shards"):
        read_headers(tmp_path)
    (tmp_path / INDEX_FILE).write_text(json.dumps({"weight_map": {"a": "a.safetensors"}}))
    with pytest.raises(CheckpointError, match="is missing, though the index names it"):
        read_headers(tmp_path)
