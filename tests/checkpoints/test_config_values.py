"""Values of config.json that transformers would only warn of, or fail at much later."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoModelForImageTextToText, Qwen2Config

from llava_video.checkpoints.config_values import read_rope
from llava_video.checkpoints.convert import convert_checkpoint
from llava_video.checkpoints.load import load_config
from llava_video.errors import CheckpointError
from llava_video.model import LlavaVideoConfig, LlavaVideoForConditionalGeneration
from tests.checkpoints.on_disk import change_config


@pytest.fixture(scope="module")
def released_once(small_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("values") / "released"
    convert_checkpoint(small_checkpoint, directory)
    return directory


@pytest.fixture(params=["native", "released"])
def checkpoint(
    request: pytest.FixtureRequest, small_checkpoint: Path, released_once: Path, tmp_path: Path
) -> Path:
    source = {"native": small_checkpoint, "released": released_once}[request.param]
    return Path(shutil.copytree(source, tmp_path / request.param))


def change_text(directory: Path, **changes: object) -> None:
    """Values of the language model, which lie at different places in the layouts."""
    values = json.loads((directory / "config.json").read_text())
    text = values.get("text_config", values)
    if "rope_scaling" in changes:
        text.pop("rope_parameters", None)
    text.update(changes)
    (directory / "config.json").write_text(json.dumps(values))


@pytest.mark.parametrize("key", ["rope_scaling", "rope_parameters"])
@pytest.mark.parametrize("spelling", ["type", "rope_type"])
@pytest.mark.parametrize("kind", ["linear", "dynamic", "yarn"])
def test_all_spellings_of_scaled_positions_are_those_of_transformers(
    kind: str, spelling: str, key: str
) -> None:
    scaling = {spelling: kind, "factor": 4.0}
    theirs = Qwen2Config(**{key: {**scaling, "rope_theta": 1e6}}).rope_parameters
    ours = read_rope({key: scaling, "rope_theta": 1e6}, 1e4, "there")
    found = Qwen2Config(rope_parameters=ours).rope_parameters
    assert {**theirs, "type": None} == {**found, "type": None}


@pytest.mark.parametrize("spelling", ["type", "rope_type"])
def test_both_layouts_scale_with_either_spelling(spelling: str, checkpoint: Path) -> None:
    change_text(checkpoint, rope_scaling={spelling: "yarn", "factor": 4.0})
    found = load_config(checkpoint).text.rope_parameters
    assert (found["rope_type"], found["factor"]) == ("yarn", 4.0)


@pytest.mark.parametrize(
    ("scaling", "message"),
    [
        ({"type": "yarn", "rope_type": "linear", "factor": 4.0}, "does not say one rope_type"),
        ({"factor": 4.0}, "does not say one rope_type"),
        ({"type": "su", "factor": 4.0}, "rope_type 'su' is not known"),
        ({"type": "yarn"}, "needs a factor of at least 1, not None"),
        ({"type": "yarn", "factor": "4"}, "needs a factor of at least 1, not 4"),
        ({"type": "linear", "factor": 0.5}, "needs a factor of at least 1"),
        ({"type": "linear", "factor": 2.0, "facto": 3}, "has no 'facto'"),
        ({"type": "default", "factor": 2.0}, "has no 'factor'"),
        ("yarn", "give an object"),
    ],
)
def test_scaled_positions_that_say_nothing_definite(
    scaling: Any, message: str, checkpoint: Path
) -> None:
    change_text(checkpoint, rope_scaling=scaling)
    with pytest.raises(CheckpointError, match=rf"config\.json: .*{message}"):
        load_config(checkpoint)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_attention_heads": 5}, "num_attention_heads 5 does not divide hidden_size 48"),
        ({"num_attention_heads": 0}, "num_attention_heads 0"),
        ({"num_key_value_heads": 3}, "num_key_value_heads 3 does not divide"),
        ({"hidden_act": "siluu"}, "hidden_act 'siluu' of the text model is not known"),
        ({"hidden_size": "48"}, "cannot be followed .*hidden_size.*correct the value"),
        ({"rms_norm_eps": "small"}, "cannot be followed .*rms_norm_eps"),
        ({"max_position_embeddings": [1]}, "cannot be followed .*max_position_embeddings"),
    ],
)
def test_sizes_of_which_no_network_is_made(
    changes: dict[str, Any], message: str, checkpoint: Path
) -> None:
    change_text(checkpoint, **changes)
    with pytest.raises(CheckpointError, match=rf"config\.json:? {message}"):
        load_config(checkpoint)


@pytest.mark.parametrize("key", ["torch_dtype", "dtype"])
@pytest.mark.parametrize("value", ["fp8", "float8_e4m3fn", "int8", "bf16", 16])
def test_dtypes_that_models_are_not_run_in(key: str, value: object, checkpoint: Path) -> None:
    change_config(checkpoint, **{key: value})
    with pytest.raises(CheckpointError, match=rf"{key} {value!r} is not one of float32, bfloat16"):
        load_config(checkpoint)
    change_config(checkpoint, dtype=None, torch_dtype="float32")  # as the message says
    load_config(checkpoint)


def test_tensors_of_few_bits(checkpoint: Path) -> None:
    file = checkpoint / "model.safetensors"
    weights = load_file(file)
    weights["lm_head.weight"] = weights["lm_head.weight"].to(torch.float8_e4m3fn)
    save_file(weights, file, {"format": "pt"})
    with pytest.raises(
        CheckpointError, match=r"lm_head\.weight is stored as F8_E4M3, so .*quantiz"
    ):
        load_config(checkpoint)


@pytest.mark.parametrize("auto", [AutoModelForImageTextToText, LlavaVideoForConditionalGeneration])
def test_what_transformers_only_warns_of_is_an_error(
    auto: Any, small_checkpoint: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(small_checkpoint, tmp_path / "copy"))
    whole = load_file(copy / "model.safetensors")
    for change, message in (
        ({"model.newline": None}, r"lacks the tensor model\.newline"),
        ({"extra": torch.zeros(1)}, "does not know: extra"),
        ({"model.newline": torch.zeros(7)}, r"another shape .*model\.newline"),
    ):
        weights = {n: t for n, t in {**whole, **change}.items() if t is not None}
        save_file(weights, copy / "model.safetensors", {"format": "pt"})
        with pytest.raises(CheckpointError, match=message):
            auto.from_pretrained(copy)
        auto.from_pretrained(copy, output_loading_info=True, ignore_mismatched_sizes=True)
    save_file(whole, copy / "model.safetensors", {"format": "pt"})
    AutoModel.from_pretrained(copy)  # without the output layer, which is no fault of the file


def test_configurations_of_other_models_are_not_read_as_ours(released_once: Path) -> None:
    with pytest.raises(CheckpointError, match=r"is of a 'llava' model.*llava_video\.load"):
        LlavaVideoConfig.from_pretrained(released_once)
