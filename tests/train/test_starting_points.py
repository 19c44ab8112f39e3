"""Checkpoints that training starts from: other layouts, files that are missing or damaged."""

import json
import shutil
from pathlib import Path

import pytest

import llava_video as lv
from llava_video.errors import CheckpointError, InputError
from llava_video.train.plan import make_plan
from llava_video.train.recipe import Recipe, load_recipe
from llava_video.train.run import train
from tests.checkpoints.on_disk import change_config
from tests.checkpoints.test_onevision import write_onevision
from tests.model.small import random_frames


def recipe_for(checkpoint: Path, data: Path, out: Path, *more: str) -> Recipe:
    changes = (
        f"model={checkpoint}", f"mixture={data / 'mixture.yaml'}", f"video_folder={data}",
        f"out={out}", "num_frames=4", "max_tokens=900", "rows_per_update=1", "max_steps=1",
        "dtype=float32", "report_samples=0", "workers=0", *more,
    )  # fmt: skip
    return load_recipe("projector", changes)


@pytest.fixture
def copy(small_checkpoint: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(small_checkpoint, tmp_path / "copy"))


def test_transformers_layout_is_trained(toy_data: Path, tmp_path: Path) -> None:
    directory = write_onevision(tmp_path / "there", "old")
    model, processor = lv.load(train(recipe_for(directory, toy_data, tmp_path / "run"), bar=False))
    assert model.config.representation.newline == "end"
    model.generate(**processor("What?", random_frames(2)), max_new_tokens=1)


def test_a_tokenizer_without_a_padding_token_is_trained(
    copy: Path, toy_data: Path, tmp_path: Path
) -> None:
    file = copy / "tokenizer_config.json"
    values = json.loads(file.read_text())
    del values["pad_token"]
    file.write_text(json.dumps(values))
    assert train(recipe_for(copy, toy_data, tmp_path / "run", "rows_per_step=1"), bar=False)


@pytest.mark.parametrize(
    "name", ["tokenizer.json", "generation_config.json", "special_tokens_map.json"]
)
def test_a_dry_run_finds_files_that_the_run_could_not_read(
    name: str, copy: Path, toy_data: Path, tmp_path: Path
) -> None:
    (copy / name).write_text('{"version": "1.0", "cut')
    with pytest.raises(CheckpointError, match=f"{name} is not valid JSON"):
        make_plan(recipe_for(copy, toy_data, tmp_path / "run"))


def test_rows_longer_than_a_window_are_refused(copy: Path, toy_data: Path, tmp_path: Path) -> None:
    text = json.loads((copy / "config.json").read_text())["text_config"]
    del text["layer_types"]
    window = {"use_sliding_window": True, "sliding_window": 600, "max_window_layers": 0}
    change_config(copy, text_config={**text, **window})
    with pytest.raises(InputError, match="set max_tokens=600 or less"):
        make_plan(recipe_for(copy, toy_data, tmp_path / "run"))
    make_plan(recipe_for(copy, toy_data, tmp_path / "run", "max_tokens=600"))
