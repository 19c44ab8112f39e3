"""Recipes: the paper's values, checked keys, values on top."""

import pytest

from llava_video.annotate.recipe import Recipe, load_recipe
from llava_video.errors import InputError
from llava_video.recipes import bundled_recipes


def test_defaults_are_the_papers():
    recipe = load_recipe("paper")
    rules = recipe.selection
    assert (rules.over_scenes, rules.max_scenes_per_second) == (2, 0.5)
    assert (rules.min_seconds, rules.max_seconds) == (5, 180)
    assert (rules.over_height, rules.per_category) == (480, 50)
    assert (recipe.describe.fps, recipe.describe.clip_seconds) == (1, 10)
    assert recipe.describe.clips_per_summary == 3
    assert len(recipe.ask.types) == 16


@pytest.mark.parametrize("name", bundled_recipes(Recipe))
def test_a_resolved_recipe_reads_back_as_itself(name, tmp_path):
    recipe = load_recipe(name)
    path = tmp_path / "recipe.yaml"
    path.write_text(recipe.to_yaml())
    assert load_recipe(path) == recipe


def test_a_source_has_rules_of_its_own(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text("sources:\n  ego4d: {over_height: 200}\n")
    recipe = load_recipe(path)
    assert recipe.selection_of("ego4d").over_height == 200
    assert recipe.selection_of("other").over_height == 480
    assert recipe.selection_of("ego4d").min_seconds == 5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("describe: {histroy: none}", "no key 'describe.histroy'; did you mean 'describe.history'"),
        ("descrbe: {}", "no key 'descrbe'; did you mean 'describe'"),
        ("describe: {fps: -1}", "describe.fps: .*greater than 0"),
        ("describe: {history: some}", "describe.history: .*'all_unsummarised'"),
        ("sources: {ego4d: {over_hight: 1}}", "sources.ego4d.*did you mean 'over_height'"),
        ("ask: {types: [temprol]}", "'temprol' is not a question type; did you mean 'temporal'"),
        ("- 1", "holds no 'key: value' lines"),
        ("a: [", "not valid YAML"),
    ],
)
def test_what_does_not_fit_is_named_with_the_nearest_known(text, message, tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        load_recipe(path)


def test_changes_go_on_top():
    recipe = load_recipe("paper", ["describe.history=none", "max_usd=1.5"])
    assert recipe.describe.history == "none"
    assert recipe.max_usd == 1.5


def test_an_unknown_recipe_lists_the_known_ones():
    with pytest.raises(InputError, match="open, paper, toyworld"):
        load_recipe("nothing")
