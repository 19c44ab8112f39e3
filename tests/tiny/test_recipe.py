"""The recipes of tiny and of its tables are checked before anything is spent."""

import json
from pathlib import Path

import pytest
import torch

from llava_video.checkpoints.load import load
from llava_video.errors import InputError, LlavaVideoError
from llava_video.model import LlavaVideoConfig, LlavaVideoForConditionalGeneration
from llava_video.recipes import bundled_recipes, load_recipe
from llava_video.representation import VideoRepresentation, make_layout
from llava_video.tiny.recipe import TinyRecipe
from llava_video.tiny.train import check_tiny
from llava_video.train.adapters import write_model

BUNDLED = bundled_recipes(TinyRecipe)
COMPARED = [name for name in BUNDLED if name.startswith("toyworld-table")]


@pytest.mark.parametrize("name", BUNDLED)
def test_every_recipe_on_toyworld_needs_only_a_folder(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(TinyRecipe, name, [f"out={tmp_path}"])
    representations = [VideoRepresentation.from_dict(own) for own in recipe.representations]
    num_tokens = make_layout(representations[0], representations[0].max_frames).num_tokens
    if name == "toyworld-base":
        compared = [load_recipe(TinyRecipe, other, ["out=run"]) for other in COMPARED]
        assert {*representations} == {
            VideoRepresentation.from_dict(other.representations[0]) for other in compared
        }
    elif name.startswith("toyworld-table4/"):
        num_frames, tokens_per_frame = map(int, name.split("/")[1].split("x"))
        assert num_tokens == num_frames * tokens_per_frame
    else:
        assert num_tokens == 96, "what Table 5 compares has one budget"


def test_a_run_folder_keeps_the_recipe_that_it_began_with(tmp_path: Path) -> None:
    recipe = load_recipe(TinyRecipe, "tiny", [f"out={tmp_path}"])
    recipe.keep_in(tmp_path)
    recipe.keep_in(tmp_path)
    kept = str(tmp_path / "recipe.yaml")
    assert load_recipe(TinyRecipe, kept) == recipe
    other = load_recipe(TinyRecipe, "tiny", [f"out={tmp_path}", "seed=1"])
    elsewhere = load_recipe(TinyRecipe, "tiny", [f"out={tmp_path.parent / 'x' / '..'}"])
    elsewhere.check_folder(tmp_path)  # a folder has many names
    with pytest.raises(InputError, match=r"another recipe \(seed=0\); give another folder"):
        other.keep_in(tmp_path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("levels=[]", "levels: .*at least 1 item"),
        ("levels=[simple, hard]", "no 'hard'; use some of simple, standard, crowded, long"),
    ],
)
def test_levels_are_some_of_toyworld(tmp_path: Path, change: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        load_recipe(TinyRecipe, "tiny", [f"out={tmp_path}", change])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (["vision_from={folder}/none"], "none"),
        (["vision_from={folder}/other"], "hidden_size.*64.*128.*take a model that `tiny train`"),
        (["out={folder}/done"], "holds a finished run; give another folder"),
        (
            ["start_from={folder}"],
            "holds no finished run of tiny; make one with .*tiny train toyworld-base",
        ),
        (["start_from={folder}/done", "vision_from=tiny"], "not both"),
    ],
)
def test_a_dry_run_on_toyworld_finds_what_would_stop_it(
    tmp_path: Path, changes: list[str], said: str
) -> None:
    (tmp_path / "done" / "model").mkdir(parents=True)
    model, processor = load("tiny")
    config = model.config.to_dict()
    config["vision_config"] |= {"hidden_size": 64, "intermediate_size": 128}
    other = LlavaVideoForConditionalGeneration(LlavaVideoConfig(**config))
    write_model(other, processor, tmp_path / "other", torch.bfloat16)
    written = [change.format(folder=tmp_path) for change in changes]
    with pytest.raises(LlavaVideoError, match=said):
        check_tiny(load_recipe(TinyRecipe, "tiny", [f"out={tmp_path}/new", *written]))
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "values", [{"grid_side": 27}, {"newline": "grid"}, {"selection": "evs", "keep_ratio": 0.5},
               {"separator": True}, {"max_frames": 0}],
)  # fmt: skip
def test_representations_are_some_that_tiny_can_have(tmp_path: Path, values: dict) -> None:
    written = json.dumps([{"grid_side": 8, **values}])
    with pytest.raises(InputError, match="representations"):
        load_recipe(TinyRecipe, "tiny", [f"out={tmp_path}", f"representations={written}"])
