"""Parity: a sound checkpoint agrees in every stage, a fault is named by the first it touches."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import pytest
import torch

import llava_video as lv
from llava_video.checkpoints import load as loading
from llava_video.checkpoints import released as translation
from llava_video.checkpoints.convert import convert_checkpoint
from llava_video.checkpoints.parity import (
    ONE_LEVEL,
    Recording,
    Stage,
    check_parity,
    compare,
    first_difference,
    record,
)
from llava_video.model import pixels
from llava_video.representation import VideoRepresentation
from tests.checkpoints.on_disk import ONEVISION, change_config, save_native

VIDEO = str(files("llava_video") / "assets" / "samples" / "two_movers.mp4")
NUM_FRAMES = 5


@pytest.fixture(scope="module")
def released(small_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("parity") / "released"
    convert_checkpoint(small_checkpoint, directory)
    return directory


def names_of(stages: list[Stage]) -> list[str]:
    return [stage.name for stage in stages if stage.difference is not None]


def test_both_layouts_agree_in_every_stage(small_checkpoint: Path, released: Path) -> None:
    for directory in (small_checkpoint, released):
        stages = check_parity(directory, VIDEO, num_frames=NUM_FRAMES)
        assert first_difference(stages) is None
        assert names_of(stages) == ["frames", "pixels", "features", "layout", "logits"]
        assert stages[-1].note.startswith("not compared: it has no slow and fast frames")


def test_llava_onevision_is_run_where_it_is_the_same(tmp_path: Path) -> None:
    source = save_native(tmp_path / "native", ONEVISION)
    stages = check_parity(source, VIDEO, num_frames=NUM_FRAMES)
    assert first_difference(stages) is None
    assert names_of(stages)[-1] == "llava-onevision"


def test_bfloat16_agrees_within_its_rounding(small_checkpoint: Path) -> None:
    stages = check_parity(small_checkpoint, VIDEO, num_frames=2, dtype=torch.bfloat16)
    assert first_difference(stages) is None


Damage = Callable[[lv.LlavaVideoForConditionalGeneration], object]


@pytest.mark.parametrize(
    ("damage", "stage"),
    [
        (
            lambda m: m.model.vision_encoder.embeddings.position_embedding.weight.mul_(1.1),
            "features",
        ),
        (lambda m: m.model.projector.linear_1.bias.add_(0.1), "layout"),
        (lambda m: m.model.newline.mul_(2), "layout"),
        (lambda m: setattr(m.config, "representation", swapped(m)), "layout"),
        (lambda m: m.model.language_model.layers[1].mlp.up_proj.weight.mul_(1.1), "logits"),
        (lambda m: m.lm_head.weight.mul_(1.001), "logits"),
    ],
)
def test_the_damaged_stage_is_named(damage: Damage, stage: str, small_checkpoint: Path) -> None:
    model, processor = lv.load(small_checkpoint)
    with torch.no_grad():
        damage(model)
    stages = compare(
        record(model, processor, VIDEO, NUM_FRAMES), processor, small_checkpoint, VIDEO
    )
    found = first_difference(stages)
    assert found is not None
    assert found.name == stage


def swapped(model: lv.LlavaVideoForConditionalGeneration) -> VideoRepresentation:
    """As many tokens, pooled otherwise."""
    return replace(model.config.representation, pooling="max")


def test_other_pixels_and_other_frames_are_named(
    small_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, processor = lv.load(small_checkpoint)
    sound = record(model, processor, VIDEO, NUM_FRAMES)
    late = record(model, processor, VIDEO, NUM_FRAMES + 1)
    others = Recording(
        **{
            **{name: getattr(sound, name) for name in Recording.__dataclass_fields__},
            "full_frames": lv.Frames(
                late.full_frames.pixels[1:],
                late.full_frames.timestamps_seconds[1:],
                late.full_frames.indices[1:],
                late.full_frames.duration_seconds,
            ),
        }
    )
    found = first_difference(compare(others, processor, small_checkpoint, VIDEO))
    assert found is not None
    assert found.name == "frames"
    assert "were read, the reference reads [0," in found.note
    monkeypatch.setattr(pixels, "PIXEL_MEAN", 0.48)  # CLIP's
    found = first_difference(check_parity(small_checkpoint, VIDEO, num_frames=NUM_FRAMES))
    assert found is not None
    assert found.name == "pixels"
    assert found.difference is not None
    assert found.difference > ONE_LEVEL


@pytest.mark.parametrize("spelling", ["type", "rope_type"])
def test_scaled_positions_are_compared_with_transformers_own_reading(
    spelling: str, released: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scaled = Path(shutil.copytree(released, tmp_path / "scaled"))
    change_config(scaled, rope_scaling={spelling: "yarn", "factor": 4.0})
    assert first_difference(check_parity(scaled, VIDEO, num_frames=NUM_FRAMES)) is None
    plain = {"rope_type": "default", "rope_theta": 1e6}
    monkeypatch.setattr(translation, "read_rope", lambda *values: plain)
    found = first_difference(check_parity(scaled, VIDEO, num_frames=NUM_FRAMES))
    assert found is not None
    assert found.name == "logits"


def test_a_window_of_attention_is_that_of_transformers(
    released: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    narrow = Path(shutil.copytree(released, tmp_path / "narrow"))
    change_config(narrow, use_sliding_window=True, sliding_window=16, max_window_layers=1)
    config = loading.load_config(narrow)
    assert config.text.layer_types == ["full_attention", "sliding_attention"]
    assert first_difference(check_parity(narrow, VIDEO, num_frames=NUM_FRAMES)) is None
    convert_checkpoint(narrow, tmp_path / "native")
    assert first_difference(check_parity(tmp_path / "native", VIDEO, num_frames=NUM_FRAMES)) is None
    convert_checkpoint(tmp_path / "native", tmp_path / "back")
    assert loading.load_config(tmp_path / "back").text.to_dict() == config.text.to_dict()
    monkeypatch.setattr(translation, "WINDOW_KEYS", ())
    found = first_difference(check_parity(narrow, VIDEO, num_frames=NUM_FRAMES))
    assert found is not None
    assert found.name == "logits"


def test_another_reading_of_the_tokens_is_named(
    released: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(translation.NEWLINES, "grid", "frame")
    found = first_difference(check_parity(released, VIDEO, num_frames=NUM_FRAMES))
    assert found is not None
    assert found.name == "layout"
