"""Checkpoints that transformers wrote: read under both spellings, and the same logits."""

import json
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import LlavaOnevisionConfig, LlavaOnevisionForConditionalGeneration

import llava_video as lv
from llava_video.budget.planner import read_config
from llava_video.chat.local_model import LocalModel
from llava_video.chat.protocol import AnswerOptions, Sampling, answer_one
from llava_video.checkpoints.convert import convert_checkpoint
from llava_video.checkpoints.load import load_config, load_model
from llava_video.checkpoints.parity import check_parity, first_difference
from llava_video.errors import CheckpointError, InputError
from tests.checkpoints.on_disk import change_config
from tests.model.small import random_frames, small_config, small_processor

VIDEO = str(files("llava_video") / "assets" / "samples" / "two_movers.mp4")
OLD_NAMES = {  # transformers before 4.52, and the files of llava-hf
    r"^lm_head\.": "language_model.lm_head.",
    r"^model\.language_model\.": "language_model.model.",
    r"^model\.vision_tower\.": "vision_tower.vision_model.",
    r"^model\.multi_modal_projector\.": "multi_modal_projector.",
    r"^model\.image_newline$": "image_newline",
}
NEW_NAMES = {r"^model\.vision_tower\.": "model.vision_tower.vision_model."}  # 4.52 to 4.57
SPELLINGS = {"now": {}, "new": NEW_NAMES, "old": OLD_NAMES}


def write_onevision(directory: Path, spelling: str = "now", *, tied: bool = False) -> Path:
    """A small LlavaOnevision of random weights with a tokenizer, as transformers saves it."""
    torch.manual_seed(0)
    config = small_config()
    processor = small_processor()
    text = {**config.text_config.to_dict(), "tie_word_embeddings": tied}
    theirs = LlavaOnevisionConfig(
        text_config=text,
        vision_config=config.vision_config.to_dict(),
        image_token_index=processor.video_token_id,
        video_token_index=processor.video_token_id + 1,
        image_grid_pinpoints=[[64, 64], [64, 128], [128, 64]],
    )
    model = LlavaOnevisionForConditionalGeneration(theirs)
    model.save_pretrained(directory, save_original_format=False)
    processor.tokenizer.save_pretrained(directory)
    file = directory / "model.safetensors"
    tensors = {}
    for name, tensor in load_file(file).items():
        spelled = name
        for pattern, other in SPELLINGS[spelling].items():
            spelled = re.sub(pattern, other, spelled)
        tensors[spelled] = tensor
    save_file(tensors, file, {"format": "pt"})
    if spelling == "old":
        as_of_transformers_4(directory)
    return directory


def as_of_transformers_4(directory: Path) -> None:
    """config.json in the words of llava-hf: what is default is left out."""
    values = json.loads((directory / "config.json").read_text())
    text = values["text_config"]
    text["rope_theta"] = text.pop("rope_parameters")["rope_theta"]
    text["torch_dtype"] = text.pop("dtype", "float32")
    for name in ("layer_types", "rms_norm_eps", "hidden_act"):
        text.pop(name, None)
    values["torch_dtype"] = values.pop("dtype", "float32")
    values["tie_word_embeddings"] = False  # 0.5b says so, though its text_config ties them
    values["use_image_newline_parameter"] = True
    (directory / "config.json").write_text(json.dumps(values))


@torch.no_grad()
def theirs_of(directory: Path, inputs: dict[str, Any]) -> torch.Tensor:
    model = LlavaOnevisionForConditionalGeneration.from_pretrained(directory)
    ids = inputs["input_ids"]
    ids = ids.masked_fill(ids == model.config.image_token_id, model.config.video_token_id)
    frames = inputs["pixel_values_videos"][None]
    return model(input_ids=ids, pixel_values_videos=frames).logits


@torch.no_grad()
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_logits_are_those_of_transformers(spelling: str, tied: bool, tmp_path: Path) -> None:
    directory = write_onevision(tmp_path / "there", spelling, tied=tied)
    model, processor = lv.load(directory)
    assert str(model.config.representation.pooling) == "bilinear"
    assert model.config.representation.newline == "end"
    assert model.config.tie_word_embeddings == tied
    inputs = processor("What colour is it?", random_frames(5))
    reference = write_onevision(tmp_path / "now", tied=tied)
    torch.testing.assert_close(
        model(**inputs).logits, theirs_of(reference, inputs), rtol=1e-5, atol=1e-6
    )
    assert not processor.add_time_instruction


@torch.no_grad()
def test_images_are_those_of_transformers(tmp_path: Path) -> None:
    directory = write_onevision(tmp_path / "there")
    model, processor = lv.load(directory)
    picture = random_frames(1, size=(60, 130)).pixels[0]
    inputs = processor("What?", images=picture)
    theirs = LlavaOnevisionForConditionalGeneration.from_pretrained(directory)
    logits = theirs(
        input_ids=inputs["input_ids"],
        pixel_values=inputs["pixel_values"][None],
        image_sizes=inputs["image_sizes"],
    ).logits
    torch.testing.assert_close(model(**inputs).logits, logits, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_command_reads_it(spelling: str, tmp_path: Path) -> None:
    directory = write_onevision(tmp_path / "there", spelling)
    shown = {"type": "video", "video": VIDEO}
    asked = [{"role": "user", "content": [shown, {"type": "text", "text": "What?"}]}]
    options = AnswerOptions(max_new_tokens=2, sampling=Sampling(num_frames=3))
    answer = answer_one(LocalModel.load(directory), asked, options)
    assert answer.videos[0].num_tokens == 3 * 16 + 1
    planned, loaded = read_config(directory), load_config(directory)
    assert planned.representation == loaded.representation
    assert first_difference(check_parity(directory, VIDEO, num_frames=3)) is None
    expected = load_model(directory).state_dict()
    for layout in ("native", "released"):
        done = convert_checkpoint(directory, tmp_path / layout, layout)  # type: ignore[arg-type]
        assert (done.source_layout, done.layout) == ("llava-onevision", layout)
        found, processor = lv.load(tmp_path / layout)
        assert all(torch.equal(expected[name], t) for name, t in found.state_dict().items())
        assert found.config.representation == loaded.representation
        assert found.config.images == loaded.images
        assert not processor.add_time_instruction
        assert not (tmp_path / layout / "preprocessor_config.json").exists()


def test_configurations_alone_are_enough_for_a_plan(tmp_path: Path) -> None:
    directory = write_onevision(tmp_path / "there", "old")
    loaded = load_config(directory)
    (directory / "model.safetensors").unlink()
    assert read_config(directory).to_dict() == loaded.to_dict()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vision_feature_layer": -2}, "vision_feature_layer = -2 is another network"),
        ({"vision_feature_select_strategy": "default"}, "strategy = 'default' is another"),
        ({"projector_hidden_act": "relu"}, "projector_hidden_act = 'relu'"),
        ({"multimodal_projector_bias": False}, "multimodal_projector_bias = False"),
        ({"text_config": {"model_type": "llama"}}, "language model 'llama' .*LLaVA-Video-7B-Qwen2"),
        ({"vision_config": {"model_type": "clip_vision_model"}}, "encoder 'clip_vision_model'"),
        ({"quantization_config": {"quant_method": "awq"}}, "is quantized"),
        ({"image_grid_pinpoints": [[65, 64]]}, "not multiples of the vision encoder's 64 pixels"),
        ({"model_type": "llava_next_video"}, "describes a 'llava_next_video' model .*SigLIP work"),
    ],
)
def test_other_networks_are_named(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    directory = write_onevision(tmp_path)
    values = json.loads((directory / "config.json").read_text())
    for key in ("text_config", "vision_config"):
        if key in changes:
            changes[key] = {**values[key], **changes[key]}
    change_config(directory, **changes)
    with pytest.raises(CheckpointError, match=message):
        load_config(directory)


def test_other_ways_to_cut_images_refuse_images_alone(tmp_path: Path) -> None:
    directory = write_onevision(tmp_path)
    change_config(directory, vision_aspect_ratio="anyres")
    model, processor = lv.load(directory)
    model.generate(**processor("What?", random_frames(2)), max_new_tokens=1)
    with pytest.raises(InputError, match="vision_aspect_ratio = 'anyres'"):
        processor("What?", images=random_frames(1).pixels[0])
