"""transformers' Auto classes on checkpoints that say ``model_type: llava``: released or not."""

import json
from pathlib import Path

import pytest
import torch
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForImageTextToText,
    AutoProcessor,
    LlavaConfig,
    LlavaForConditionalGeneration,
    pipeline,
)

from llava_video.checkpoints.convert import convert_checkpoint
from llava_video.checkpoints.load import load
from llava_video.errors import CheckpointError
from llava_video.model import LlavaVideoConfig, LlavaVideoForConditionalGeneration, LlavaVideoModel
from llava_video.processing.processor import LlavaVideoProcessor
from tests.checkpoints.on_disk import change_config
from tests.model.small import random_frames


@pytest.fixture
def released(small_checkpoint: Path, tmp_path: Path) -> Path:
    """The released layout with the files that come with it, none of which names a processor."""
    directory = tmp_path / "released"
    convert_checkpoint(small_checkpoint, directory, "released")
    settings = directory / "tokenizer_config.json"
    values = json.loads(settings.read_text())
    values.pop("processor_class", None)
    settings.write_text(json.dumps(values))
    siglip = {"image_processor_type": "SiglipImageProcessor", "size": {"height": 384, "width": 384}}
    (directory / "preprocessor_config.json").write_text(json.dumps(siglip))
    assert not (directory / "processor_config.json").exists()
    return directory


@pytest.mark.parametrize("model_type", ["llava", "llava_qwen"])
def test_auto_classes_load_the_released_layout_as_load_does(
    released: Path, model_type: str
) -> None:
    change_config(released, model_type=model_type)
    model, processor = load(released)
    config = AutoConfig.from_pretrained(released)
    assert type(config) is LlavaVideoConfig
    assert config.representation == model.config.representation
    auto_model = AutoModelForImageTextToText.from_pretrained(released)
    assert type(auto_model) is LlavaVideoForConditionalGeneration
    loaded, auto_loaded = model.state_dict(), auto_model.state_dict()
    assert loaded.keys() == auto_loaded.keys()
    assert all(torch.equal(loaded[name], auto_loaded[name]) for name in loaded)
    auto_processor = AutoProcessor.from_pretrained(released)
    assert type(auto_processor) is LlavaVideoProcessor
    assert auto_processor.to_dict() == processor.to_dict()


def test_the_model_without_its_output_layer(released: Path) -> None:
    model = AutoModel.from_pretrained(released)
    assert type(model) is LlavaVideoModel
    assert torch.equal(model.newline, load(released)[0].model.newline)


def test_a_pipeline_of_the_released_layout_answers(released: Path) -> None:
    pipe = pipeline("image-text-to-text", model=str(released))
    parts = [{"type": "video", "video": random_frames(2)}, {"type": "text", "text": "What?"}]
    said = pipe(text=[{"role": "user", "content": parts}], max_new_tokens=2, return_full_text=False)
    assert isinstance(said[0]["generated_text"], str)


def test_options_reach_the_configuration(released: Path) -> None:
    config, rest = AutoConfig.from_pretrained(
        released, tie_word_embeddings=True, unknown=1, return_unused_kwargs=True
    )
    assert config.tie_word_embeddings
    assert rest["unknown"] == 1
    model = AutoModelForImageTextToText.from_pretrained(
        released, dtype=torch.bfloat16, attn_implementation="eager"
    )
    assert model.dtype == torch.bfloat16
    assert model.config.text_config._attn_implementation == "eager"


def test_a_config_alone_is_enough(released: Path) -> None:
    told_by_tensors = AutoConfig.from_pretrained(released)
    (released / "model.safetensors").unlink()
    assert AutoConfig.from_pretrained(released).to_dict() == told_by_tensors.to_dict()
    change_config(released, add_faster_video=False)
    assert not AutoConfig.from_pretrained(released).has_separator


def test_what_cannot_be_translated_says_so(released: Path) -> None:
    change_config(released, mm_projector_type="linear")
    with pytest.raises(CheckpointError, match="projector 'linear'"):
        AutoConfig.from_pretrained(released)


def test_llava_of_transformers_stays_what_it_is(tmp_path: Path) -> None:
    sizes = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1}
    config = LlavaConfig(
        text_config={"model_type": "llama", "num_attention_heads": 2, "vocab_size": 64, **sizes},
        vision_config={"model_type": "clip_vision_model", "num_attention_heads": 2, **sizes},
        image_token_index=63,
    )
    model = AutoModelForImageTextToText.from_config(config)
    assert type(model) is LlavaForConditionalGeneration
    model.save_pretrained(tmp_path)
    assert type(AutoConfig.from_pretrained(tmp_path)) is LlavaConfig
    assert type(AutoConfig.for_model("llava")) is LlavaConfig
    again = AutoModelForImageTextToText.from_pretrained(tmp_path)
    assert type(again) is LlavaForConditionalGeneration
    assert torch.equal(again.lm_head.weight, model.lm_head.weight)
