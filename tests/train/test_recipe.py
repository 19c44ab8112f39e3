"""A recipe is checked before anything is spent."""

from pathlib import Path

import pytest

from llava_video.errors import InputError
from llava_video.recipes import bundled_recipes
from llava_video.train.recipe import Recipe, load_recipe

NEEDED = ["model=tiny", "mixture=mix.yaml", "out=run"]


@pytest.mark.parametrize("name", bundled_recipes(Recipe))
def test_every_recipe_of_the_package_needs_only_a_model_data_and_a_folder(name: str) -> None:
    recipe = load_recipe(name, NEEDED)
    assert recipe.model == "tiny"
    assert any(recipe.learning_rates.model_dump().values())


def test_a_resolved_recipe_reads_back_as_itself(tmp_path: Path) -> None:
    recipe = load_recipe("lora", [*NEEDED, "lora.rank=8", "epochs=0.5"])
    path = tmp_path / "recipe.yaml"
    path.write_text(recipe.to_yaml())
    assert load_recipe(str(path)) == recipe
    assert recipe.lora is not None
    assert recipe.lora.rank == 8


def test_numbers_are_read_however_they_are_written() -> None:
    recipe = load_recipe("projector", [*NEEDED, "learning_rates.projector=1e-5", "lora="])
    assert recipe.learning_rates.projector == 1e-5
    assert recipe.lora is None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ([*NEEDED, "num_frame=3"], "no key 'num_frame'; did you mean 'num_frames'"),
        ([*NEEDED, "lora.rang=3"], "no key 'lora.rang'; did you mean 'lora.rank'"),
        ([*NEEDED, "device=cpu"], "no key 'device'; known are attention, .*dpo, .*, workers$"),
        (["model=tiny"], "mixture is missing"),
        ([*NEEDED, "num_frames=many"], "num_frames: .*not 'many'"),
        ([*NEEDED, "labels=some"], "labels: "),
        (["nonsense"], "key=value"),
        ([*NEEDED, "num_frames=3", "fps=1"], "num_frames or fps, not both; .*: num_frames="),
        ([*NEEDED, "learning_rates={}", "lora="], "nothing is trained; give learning_rates"),
    ],
)
def test_a_wrong_value_is_one_line(changes: list[str], said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        load_recipe("lora", changes)
    assert "\n" not in str(caught.value)


def test_an_unknown_recipe_names_those_there_are() -> None:
    with pytest.raises(InputError, match="lora, projector, video-sft"):
        load_recipe("sft")


def test_a_run_of_an_earlier_version_goes_on_with_its_recipe(tmp_path: Path) -> None:
    recipe = load_recipe("lora", [*NEEDED, f"out={tmp_path}", "trackers=[tensorboard]"])
    recipe.keep_in(tmp_path)
    path = tmp_path / "recipe.yaml"
    earlier = path.read_text().replace("trackers:\n- tensorboard\n", "tensorboard: true\n")
    assert earlier != path.read_text()
    path.write_text(earlier)
    assert load_recipe(str(path)) == recipe
    recipe.check_folder(tmp_path)
    path.write_text(earlier.replace("tensorboard: true", "tensorboard: false"))
    assert load_recipe(str(path)).trackers == ()
    with pytest.raises(InputError, match="another recipe"):
        recipe.check_folder(tmp_path)
