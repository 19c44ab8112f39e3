"""Directories that are not a checkpoint: what they are, and that the advice works."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import SiglipConfig, SiglipModel

import llava_video as lv
from llava_video.checkpoints.convert import convert_checkpoint
from llava_video.checkpoints.load import load, load_config
from llava_video.errors import CheckpointError
from llava_video.train.run import merge
from tests.checkpoints.on_disk import change_config
from tests.model.small import random_frames


@pytest.fixture(scope="module")
def released_once(small_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("diagnosis") / "released"
    convert_checkpoint(small_checkpoint, directory)
    return directory


@pytest.fixture
def released(released_once: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(released_once, tmp_path / "released"))


def advice(error: pytest.ExceptionInfo[CheckpointError]) -> list[str]:
    """The command that a message tells to run, with its words."""
    _, _, command = str(error.value).partition("llava-video ")
    return command.rstrip(".").rstrip("'").split("'")[0].split()


def follow(words: list[str], new: Path, model: Path | None = None) -> None:
    """Run an advice: ``convert DIR NEW`` or ``merge DIR NEW --model MODEL``."""
    if words[0] == "convert":
        assert words[2:] == ["NEW"]
        convert_checkpoint(words[1], new)
    else:
        assert words[2:] == ["NEW", "--model", "MODEL"]
        merge(Path(words[1]), new, str(model))


def assert_answers(directory: Path) -> None:
    model, processor = lv.load(directory)
    model.generate(**processor("What?", random_frames(2)), max_new_tokens=1)


@pytest.mark.parametrize("num_shards", [1, 2])
def test_pickles_become_safetensors(num_shards: int, released: Path, tmp_path: Path) -> None:
    expected = load(released)[0].state_dict()
    weights = load_file(released / "model.safetensors")
    (released / "model.safetensors").unlink()
    names = sorted(weights)
    for number in range(num_shards):
        shard = {name: weights[name] for name in names[number::num_shards]}
        name = f"pytorch_model-{number + 1:05d}-of-{num_shards:05d}.bin"
        torch.save(shard, released / ("pytorch_model.bin" if num_shards == 1 else name))
    with pytest.raises(CheckpointError, match="is a pickle, which can run code") as error:
        load(released)
    follow(advice(error), tmp_path / "new")
    assert_answers(tmp_path / "new")
    found = load(tmp_path / "new")[0].state_dict()
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
    convert_checkpoint(released, tmp_path / "same", "released")
    again = {
        n: t for f in (tmp_path / "same").glob("*.safetensors") for n, t in load_file(f).items()
    }
    assert all(torch.equal(again[name], tensor) for name, tensor in weights.items())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "released", "same"]


def test_one_shard_of_several_pickles(released: Path, tmp_path: Path) -> None:
    (released / "model.safetensors").unlink()
    torch.save({"lm_head.weight": torch.zeros(3)}, released / "pytorch_model-00002-of-00003.bin")
    for read in (load, lambda path: convert_checkpoint(path, tmp_path / "new")):
        with pytest.raises(CheckpointError, match=r"pytorch_model-00001-of-00003\.bin is missing"):
            read(released)
    assert not (tmp_path / "new").exists()


def test_shards_without_their_index(released: Path) -> None:
    (released / "model.safetensors").rename(released / "model-00001-of-00002.safetensors")
    with pytest.raises(CheckpointError, match=r"several shards, and model\.safetensors\.index"):
        load(released)


@pytest.mark.parametrize("has_config", [False, True])
@pytest.mark.parametrize("name", ["mm_projector.bin", "non_lora_trainables.bin"])
def test_parts_of_a_model(name: str, has_config: bool, released: Path, tmp_path: Path) -> None:
    whole = Path(shutil.copytree(released, tmp_path / "whole"))
    parts = {
        key: tensor + 1
        for key, tensor in load_file(released / "model.safetensors").items()
        if "projector" in key
    }
    for file in released.iterdir():
        if not has_config or file.name != "config.json":
            file.unlink()
    torch.save(parts, released / name)
    with pytest.raises(CheckpointError, match=f"{name} is ") as error:
        load(released)
    follow(advice(error), tmp_path / "new", whole)
    assert_answers(tmp_path / "new")
    before, after = load(whole)[0].state_dict(), load(tmp_path / "new")[0].state_dict()
    changed = {key for key in after if not torch.equal(before[key], after[key])}
    assert len(changed) == len(parts) == 4


def test_a_frozen_vision_encoder_is_put_in(released: Path, tmp_path: Path) -> None:
    file = released / "model.safetensors"
    weights = load_file(file)
    save_file({n: t for n, t in weights.items() if "vision_tower" not in n}, file, {"format": "pt"})
    with pytest.raises(CheckpointError, match="no tensors of a vision encoder") as error:
        load(released)
    with pytest.raises(
        CheckpointError, match=r"put SigLIP's files into .*siglip-so400m"
    ) as lacking:
        follow(advice(error), tmp_path / "new")

    place = Path(str(lacking.value).rpartition("into ")[2])  # as the message says
    vision = load_config(released, with_vision=False).vision.to_dict()
    siglip = SiglipModel(
        SiglipConfig(
            vision_config={**vision, "num_hidden_layers": 3, "vision_use_head": True},
            text_config={"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2},
        )
    )
    siglip.save_pretrained(place)
    follow(advice(error), tmp_path / "new")
    assert_answers(tmp_path / "new")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {
                "architectures": ["LlavaLlamaForCausalLM"],
                "mm_vision_tower": "openai/clip-vit-large-patch14-336",
            },
            r"LlavaLlamaForCausalLM and the vision encoder openai/clip.*: another language model",
        ),
        (
            {"architectures": ["LlavaMistralForCausalLM"]},
            "LlavaMistralForCausalLM and the vision encoder google/siglip.* than Qwen2",
        ),
        ({"architectures": ["LlavaQwenMoeForCausalLM"]}, "LlavaQwenMoeForCausalLM"),
        ({"architectures": None, "model_type": "llava_llama"}, "llava_llama and"),
        (
            {"mm_vision_tower": "openai/clip-vit-large-patch14-336", "vision_config": None},
            "names the vision encoder 'openai/clip.*only SigLIP exists here",
        ),
        ({"mm_resampler_type": "spatial_pool"}, "asks for mm_resampler_type = 'spatial_pool'"),
        ({"mm_use_im_start_end": True}, "asks for mm_use_im_start_end = True"),
        ({"s2": True}, "asks for s2 = True"),
        ({"quantization_config": {"quant_method": "awq"}}, "is quantized"),
    ],
)
def test_other_networks_of_the_official_code(
    changes: dict[str, Any], message: str, released: Path
) -> None:
    change_config(released, **changes)
    with pytest.raises(CheckpointError, match=rf"config\.json .*{message}"):
        load(released)


def test_other_networks_say_which_work(released: Path) -> None:
    change_config(released, architectures=["LlavaLlamaForCausalLM"])
    for file in released.glob("*.safetensors"):
        file.rename(released / "other-00001-of-00001.safetensors")
    with pytest.raises(CheckpointError, match="lmms-lab/LLaVA-Video-7B-Qwen2"):
        load(released)  # also where the weights are not as ours


def test_an_encoder_of_unknown_sizes_takes_them_from_vision_config(released: Path) -> None:
    sizes = json.loads((released / "config.json").read_text())["vision_config"]
    change_config(released, vision_config=None, mm_vision_tower="google/siglip-base-patch16-224")
    with pytest.raises(CheckpointError, match="give them under 'vision_config': hidden_size"):
        load(released)
    change_config(released, vision_config=sizes)  # as the message says
    assert_answers(released)


@pytest.mark.parametrize("inside", ["model", "checkpoint-500"])
def test_a_directory_around_a_checkpoint(inside: str, released: Path, tmp_path: Path) -> None:
    outer = tmp_path / "run"
    outer.mkdir()
    released.rename(outer / inside)
    with pytest.raises(CheckpointError, match=f"not a checkpoint itself, .*{inside} in it is"):
        load(outer)
    assert_answers(outer / inside)


def test_files_of_other_programs(released: Path) -> None:
    (released / "model.safetensors").rename(released / "model.gguf")
    with pytest.raises(CheckpointError, match=r"model\.gguf is a file for llama\.cpp"):
        load(released)
    (released / "model.gguf").rename(released / "adapter_model.safetensors")
    with pytest.raises(CheckpointError, match=r"its adapter_config\.json is missing"):
        load(released)
    (released / "adapter_model.safetensors").rename(released / "consolidated.00.pth")
    with pytest.raises(CheckpointError, match=r"consolidated\.00\.pth is a pickle"):
        load(released)
