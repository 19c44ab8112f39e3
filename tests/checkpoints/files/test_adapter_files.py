"""Adapters of the official training code: merged with every tensor in its place, or refused."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file

import llava_video as lv
from llava_video.checkpoints.convert import convert_checkpoint
from llava_video.checkpoints.layouts import released_name
from llava_video.checkpoints.load import load_model
from llava_video.errors import CheckpointError
from llava_video.train.lora_targets import LORA_TARGETS
from llava_video.train.run import merge
from tests.checkpoints.on_disk import change_config
from tests.model.small import random_frames

WRAPPED = "base_model.model."
OFFICIAL_TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
LAYER = "model.layers.1.self_attn.q_proj"


@pytest.fixture(scope="module")
def base(small_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model that adapters are for, in the released layout."""
    directory = tmp_path_factory.mktemp("base") / "released"
    convert_checkpoint(small_checkpoint, directory)
    return directory


@pytest.fixture(scope="module")
def trained(base: Path) -> tuple[Any, dict[str, torch.Tensor]]:
    """A model with an adapter whose values are random, and the weights of both merged."""
    torch.manual_seed(1)
    part = LORA_TARGETS["language_model"]
    model = get_peft_model(load_model(base), LoraConfig(r=2, lora_alpha=8, target_modules=part))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.normal_(std=0.1)
            elif "projector" in name or name.endswith("newline"):
                parameter.add_(0.25)
    merged = {n: t.clone() for n, t in copy_of(model, base).merge_and_unload().state_dict().items()}
    return model, merged


def copy_of(model: Any, base: Path) -> Any:
    """The same adapter and weights in another model, as merging changes a model."""
    config = LoraConfig(r=2, lora_alpha=8, target_modules=LORA_TARGETS["language_model"])
    copy = get_peft_model(load_model(base), config)
    copy.load_state_dict(model.state_dict())
    return copy


def official_name(name: str) -> str:
    """A name of ours as the official code has it, inside of peft."""
    return WRAPPED + released_name(name.removeprefix(WRAPPED).replace(".base_layer", ""))


def write_official(model: Any, base: Path, folder: Path, *, pickled: bool = False) -> Path:
    """The folder that the official code writes at the end of a run with ``--lora_enable``."""
    model.save_pretrained(folder)
    file = folder / "adapter_model.safetensors"
    tensors = {official_name(name): tensor for name, tensor in load_file(file).items()}
    file.unlink()
    if pickled:  # peft to 0.5
        torch.save(tensors, folder / "adapter_model.bin")
    else:
        save_file(tensors, file, {"format": "pt"})
    beside = {
        official_name(name): parameter.detach().clone()
        for name, parameter in model.named_parameters()
        if "projector" in name or name.endswith("newline")
    }
    torch.save(beside, folder / "non_lora_trainables.bin")
    change_adapter(
        folder,
        target_modules=OFFICIAL_TARGETS,
        base_model_name_or_path=str(base),
        task_type="CAUSAL_LM",
    )
    shutil.copy(base / "config.json", folder)
    return folder


def change_adapter(folder: Path, **changes: object) -> None:
    file = folder / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def change_tensors(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    file = folder / "adapter_model.safetensors"
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file, {"format": "pt"})


@pytest.fixture
def official(trained: Any, base: Path, tmp_path: Path) -> Path:
    return write_official(trained[0], base, tmp_path / "official")


@pytest.mark.parametrize("pickled", [False, True])
def test_an_official_adapter_is_merged_with_what_was_trained_beside_it(
    pickled: bool, trained: Any, base: Path, tmp_path: Path
) -> None:
    model, expected = trained
    folder = write_official(model, base, tmp_path / "official", pickled=pickled)
    change_config(folder, mm_newline_position="frame", add_time_instruction=False)
    merge(folder, tmp_path / "merged")
    merged, processor = lv.load(tmp_path / "merged")
    found, before = merged.state_dict(), load_model(base).state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.allclose(found[name], expected[name], atol=1e-6) for name in found)
    changed = {name for name in found if not torch.equal(found[name], before[name])}
    assert len(changed) == 2 * len(OFFICIAL_TARGETS) + 5  # layers, projector, newline
    assert merged.config.representation.newline == "frame"
    assert not processor.add_time_instruction


def test_the_model_can_be_given(official: Path, base: Path, tmp_path: Path) -> None:
    change_adapter(official, base_model_name_or_path=None)
    with pytest.raises(CheckpointError, match=r"does not name the model .* give it as --model"):
        merge(official, tmp_path / "merged")
    merge(official, tmp_path / "merged", str(base))
    assert load_model(tmp_path / "merged").config.representation.newline == "grid"


def test_adapters_of_the_vision_encoder_and_dora(base: Path, tmp_path: Path) -> None:
    targets = f"{LORA_TARGETS['language_model']}|{LORA_TARGETS['vision_encoder']}"
    model = get_peft_model(load_model(base), LoraConfig(r=2, use_dora=True, target_modules=targets))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.1)
    folder = write_official(model, base, tmp_path / "official")
    inputs = lv.load(base)[1]("What?", random_frames(3))
    with torch.no_grad():
        expected = model(**inputs).logits
        merge(folder, tmp_path / "merged")
        found = load_model(tmp_path / "merged")(**inputs).logits
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_patterns_of_ranks_and_alphas_follow_their_layers(base: Path, tmp_path: Path) -> None:
    ours = "model.language_model.layers.1.self_attn.q_proj"
    config = LoraConfig(
        r=2,
        target_modules=LORA_TARGETS["language_model"],
        rank_pattern={ours: 3},
        alpha_pattern={ours: 64},
    )
    model = get_peft_model(load_model(base), config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.1)
    folder = write_official(model, base, tmp_path / "official")
    change_adapter(folder, rank_pattern={LAYER: 3}, alpha_pattern={LAYER: 64})
    merge(folder, tmp_path / "merged")
    expected = model.merge_and_unload().state_dict()
    for name, tensor in load_model(tmp_path / "merged").state_dict().items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-5, atol=1e-6)
    change_adapter(folder, alpha_pattern={"model.layers.7.self_attn.q_proj": 64})
    with pytest.raises(CheckpointError, match=r"alpha_pattern names .*layers\.7"):
        merge(folder, tmp_path / "other")


def test_whole_modules_in_the_file_of_an_adapter(base: Path, tmp_path: Path) -> None:
    config = LoraConfig(
        r=2, target_modules=LORA_TARGETS["language_model"], modules_to_save=["projector"]
    )
    model = get_peft_model(load_model(base), config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "modules_to_save" in name:
                parameter.add_(0.5)
    model.save_pretrained(tmp_path / "adapter")  # peft's own, under our names
    merge(tmp_path / "adapter", tmp_path / "merged", str(base))
    found, before = load_model(tmp_path / "merged"), load_model(base)
    weight = before.model.projector.linear_1.weight
    torch.testing.assert_close(found.model.projector.linear_1.weight, weight + 0.5)
    change_tensors(
        tmp_path / "adapter", lambda t: [t.pop(name) for name in list(t) if "projector" in name]
    )
    with pytest.raises(CheckpointError, match="lacks the weights of projector"):
        merge(tmp_path / "adapter", tmp_path / "other", str(base))


def rename(old: str, new: str) -> Callable[[dict[str, torch.Tensor]], object]:
    def change(tensors: dict[str, torch.Tensor]) -> None:
        for name in list(tensors):
            tensors[name.replace(old, new)] = tensors.pop(name)

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (rename("model.layers.1.", "model.layers.9."), r"no adapter for .*layers\.1"),
        (rename("self_attn.q_proj", "self_attn.w_q"), r"it has no model.*w_q"),
        (rename("model.model.", "model.transformer."), "it has no|not found"),
        (lambda t: t.pop(f"{WRAPPED}{LAYER}.lora_B.weight"), r"adapter lacks .*q_proj\.lora_B"),
        (
            lambda t: [t.pop(f"{WRAPPED}{LAYER}.lora_{side}.weight") for side in "AB"],
            r"no adapter for model\.language_model\.layers\.1\.self_attn\.q_proj",
        ),
        (
            lambda t: t.update({f"{WRAPPED}{LAYER}.lora_A.weight": torch.zeros(2, 7)}),
            "does not fit",
        ),
        (lambda t: t.update({f"{WRAPPED}model.other.weight": torch.zeros(2)}), "it has no model"),
    ],
)
def test_tensors_without_a_place_are_an_error_and_nothing_is_written(
    change: Callable[[dict[str, torch.Tensor]], object],
    message: str,
    official: Path,
    tmp_path: Path,
) -> None:
    change_tensors(official, change)
    with pytest.raises(CheckpointError, match=message):
        merge(official, tmp_path / "merged")
    assert [path.name for path in tmp_path.iterdir()] == ["official"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"peft_type": "IA3"}, "only LoRA and DoRA can"),
        ({"peft_type": "NEW"}, "only LoRA and DoRA can"),
        ({"use_something_new": True}, "does not know 'use_something_new'; upgrade it"),
        ({"layer_replication": [[0, 2]]}, "says layer_replication"),
        ({"base_model_name_or_path": "/nowhere"}, "no such directory"),
        ({"modules_to_save": ["lm_head"]}, "lacks the weights of lm_head"),
    ],
)
def test_settings_that_peft_would_leave_out(
    changes: dict[str, object], message: str, official: Path, tmp_path: Path
) -> None:
    change_adapter(official, **changes)
    with pytest.raises(CheckpointError, match=message):
        merge(official, tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


def test_another_model_is_named_by_what_does_not_fit(official: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"does not fit tiny \(hidden_size of its text model"):
        merge(official, tmp_path / "merged", "tiny")
    (official / "config.json").unlink()
    with pytest.raises(CheckpointError, match=r"does not fit tiny .*--model"):
        merge(official, tmp_path / "merged", "tiny")


def test_pickles_are_read_as_tensors_alone(official: Path, tmp_path: Path) -> None:
    class Code:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "ran",)

    torch.save({"model.image_newline": Code()}, official / "non_lora_trainables.bin")
    with pytest.raises(CheckpointError, match=r"non_lora_trainables\.bin .*it asks to run code"):
        merge(official, tmp_path / "merged")
    torch.save([1], official / "non_lora_trainables.bin")
    with pytest.raises(CheckpointError, match="does not hold named tensors"):
        merge(official, tmp_path / "merged")
    (official / "non_lora_trainables.bin").write_bytes(b"PK\x03\x04cut")
    with pytest.raises(CheckpointError, match="it is damaged"):
        merge(official, tmp_path / "merged")
    assert not (tmp_path / "ran").exists()


def test_a_projector_alone_is_put_into_a_model(trained: Any, base: Path, tmp_path: Path) -> None:
    folder = tmp_path / "stage1"
    folder.mkdir()
    names = {n: p for n, p in trained[0].named_parameters() if "projector" in n}
    tensors = {released_name(n.removeprefix(WRAPPED)): p.detach() for n, p in names.items()}
    torch.save(tensors, folder / "mm_projector.bin")
    with pytest.raises(CheckpointError, match=r"mm_projector\.bin is the projector alone"):
        load_model(folder)
    merge(folder, tmp_path / "merged", str(base))  # as that message says
    found = load_model(tmp_path / "merged").state_dict()
    assert all(torch.equal(found[n.removeprefix(WRAPPED)], p) for n, p in names.items())
    del tensors["model.mm_projector.0.bias"]
    torch.save(tensors, folder / "mm_projector.bin")
    with pytest.raises(CheckpointError, match=r"lacks the tensor model\.projector\.linear_1\.bias"):
        merge(folder, tmp_path / "other", str(base))


def test_an_adapter_is_no_model_and_says_how_it_becomes_one(
    official: Path, base: Path, tmp_path: Path
) -> None:
    for read in (load_model, lambda path: convert_checkpoint(path, tmp_path / "x")):
        with pytest.raises(CheckpointError, match=r"llava-video merge .*official NEW --model M"):
            read(official)
    merge(official, tmp_path / "merged", str(base))
