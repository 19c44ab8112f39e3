"""The released 7B's layout: its names and shapes, and a narrow one of full depth in shards."""

from pathlib import Path

import pytest
import torch
from benchmarks.load_checkpoint import (
    NUM_TEXT_LAYERS,
    NUM_VISION_LAYERS,
    check_real_shapes,
    released_config,
    released_shapes,
    write_checkpoint,
)
from safetensors.torch import load_file

from llava_video.checkpoints.convert import convert_checkpoint
from llava_video.checkpoints.layouts import native_name
from llava_video.checkpoints.load import load_model
from llava_video.errors import CheckpointError


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("narrow")
    write_checkpoint(directory, released_config(56, 16) | {"vocab_size": 2048})
    return directory


def test_the_real_shapes_are_those_of_the_model() -> None:
    num_tensors, num_bytes = check_real_shapes()
    assert num_tensors == 8 + 12 * NUM_TEXT_LAYERS + 16 * NUM_VISION_LAYERS + 5
    assert num_bytes == pytest.approx(16.06e9, rel=1e-3)


def test_a_checkpoint_of_full_depth_loads_every_tensor(narrow: Path) -> None:
    """Loading refuses missing and unexpected names, so that they arrive is what is left to see."""
    loaded = load_model(narrow).state_dict()
    shapes = released_shapes(released_config(56, 16) | {"vocab_size": 2048})
    assert set(loaded) == {native_name(name) for name in shapes}
    for file in narrow.glob("*.safetensors"):
        for name, tensor in load_file(file).items():
            assert torch.equal(loaded[native_name(name)], tensor)
            assert tensor.dtype == torch.bfloat16


def test_and_converts_shard_by_shard(narrow: Path, tmp_path: Path) -> None:
    done = convert_checkpoint(narrow, tmp_path / "native")
    assert done.num_files == len(list(narrow.glob("*.safetensors"))) == 4
    loaded, again = load_model(narrow).state_dict(), load_model(tmp_path / "native").state_dict()
    assert all(torch.equal(loaded[name], again[name]) for name in loaded)


def test_a_missing_shard_is_named(narrow: Path, tmp_path: Path) -> None:
    for file in narrow.iterdir():
        (tmp_path / file.name).symlink_to(file)
    (tmp_path / "model-00003-of-00004.safetensors").unlink()
    for read in (load_model, lambda path: convert_checkpoint(path, tmp_path / "native")):
        with pytest.raises(CheckpointError, match=r"00003-of-00004\.safetensors is missing"):
            read(tmp_path)
