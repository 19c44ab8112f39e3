"""The recipes on toyworld run from random weights to a model, and on from there."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch.optim import SGD
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader

from llava_video.checkpoints.load import load
from llava_video.errors import InputError
from llava_video.recipes import load_recipe
from llava_video.tiny import objectives
from llava_video.tiny.batches import NumberStream, TextCollator
from llava_video.tiny.train import TinyRecipe, check_tiny, train_tiny
from llava_video.train.checkpoints import newest_checkpoint
from llava_video.train.devices import make_accelerator
from llava_video.train.log import LOG_FILE, Log
from llava_video.train.loop import Loop

SMALL = ["num_clips=2", "watching_steps=2", "reading_steps=1", "workers=0", "batch=2", "threads=1"]


def recipe_of(name: str, *changes: str) -> TinyRecipe:
    return load_recipe(TinyRecipe, name, [*SMALL, *changes])


def weights_of(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "model" / "model.safetensors")


def test_a_model_of_all_representations_goes_on_with_one_of_them(tmp_path: Path) -> None:
    base = tmp_path / "base"
    of_one = '{"grid_side": 8, "max_frames": 3, "pool_stride": 4}'
    of_other = '{"grid_side": 8, "max_frames": 4, "slow_stride": 2, "pool_stride": 4}'
    clips = f"clips={tmp_path}"
    train_tiny(
        recipe_of("toyworld-base", f"out={base}", clips, f"representations=[{of_one},{of_other}]")
    )
    assert load(base / "model")[0].config.representation.max_frames == 3
    assert (tmp_path / "features-3").is_dir() and (tmp_path / "features-4").is_dir()

    ends = []
    for seed in (0, 1):
        out = tmp_path / f"seed{seed}"
        changes = [f"out={out}", clips, f"start_from={base}", f"seed={seed}"]
        recipe = recipe_of("toyworld-table4/80x4", *changes, f"representations=[{of_other}]")
        train_tiny(recipe)
        assert load(out / "model")[0].config.representation.max_frames == 4
        assert {path.name for path in out.iterdir()} == {"recipe.yaml", "watching", "model"}
        with pytest.raises(InputError, match="holds a finished run"):
            check_tiny(recipe)
        ends.append(weights_of(out))
    begin = weights_of(base)
    for name, weight in begin.items():
        is_taken = "vision_encoder" in name
        assert is_taken == torch.equal(weight, ends[0][name]), name
        assert is_taken == torch.equal(ends[0][name], ends[1][name]), name


def test_the_weights_of_the_package_are_trained_on(tmp_path: Path) -> None:
    out = tmp_path / "again"
    train_tiny(recipe_of("tiny", f"out={out}", "start_from=tiny", "options_after=0"))
    before, after = load("tiny", dtype=torch.bfloat16)[0].state_dict(), weights_of(out)
    seen = [name for name in after if "vision_encoder" in name]
    assert seen and all(torch.equal(before[name], after[name]) for name in seen)
    # One step with a small learning rate: near to what they were, which random weights are not.
    name = "model.language_model.layers.0.mlp.up_proj.weight"
    changed = (before[name].float() - after[name].float()).norm() / before[name].float().norm()
    assert 0 < changed < 0.2


@pytest.mark.parametrize(("found", "ends"), [(-1.0, 3), (1.0, 5)])
def test_reading_ends_as_soon_as_letters_are_surely_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, found: float, ends: int
) -> None:
    monkeypatch.setattr(objectives, "_LETTER_ACCURACY", found)
    monkeypatch.setattr(objectives, "_LETTER_WINDOW_STEPS", 3)
    model, processor = load("tiny", dtype=torch.float32)
    teacher = objectives.TextObjective()
    optimizer = SGD(model.parameters(), lr=0.0)
    accelerator = make_accelerator()
    with Log(tmp_path, accelerator, bar=False) as log:
        loop = Loop(
            accelerator, model, teacher, optimizer, LambdaLR(optimizer, lambda _: 1.0), log,
            folder=tmp_path, num_steps=5, log_steps=1,
        )  # fmt: skip
        collate = TextCollator(processor, ["simple"])
        loop.run(DataLoader(NumberStream(0), batch_size=1, collate_fn=collate))
    assert loop.step == ends
    assert newest_checkpoint(tmp_path) == tmp_path / f"checkpoint-{ends}"
    lines = [json.loads(line) for line in (tmp_path / LOG_FILE).read_text().splitlines()]
    assert all(0 <= line["right_letters"] <= 1 for line in lines if "loss" in line)
