"""The models of the tables on toyworld: which runs they need, and where `eval` finds them."""

from pathlib import Path

import pytest

from llava_video.evaluate.table_recipe import TableRecipe
from llava_video.recipes import load_recipe
from llava_video.representation import VideoRepresentation
from llava_video.tiny.accuracy import is_correct
from llava_video.tiny.recipe import TinyRecipe
from llava_video.tiny.tables import RECIPES, name_of, train_models
from llava_video.toyworld import generate_script, make_questions


def finish(recipe: TinyRecipe) -> None:
    """Leave what a finished run leaves, as far as the tables look at it."""
    recipe.keep_in(recipe.out)
    (recipe.out / "model").mkdir()


def finish_all(out: Path, table: str, seeds: list[int]) -> None:
    base, clips = out / "base", f"clips={out}"
    finish(load_recipe(TinyRecipe, "toyworld-base", [f"out={base}", clips]))
    for name in RECIPES[table]:
        for seed in seeds:
            changes = [f"seed={seed}", f"start_from={base}", clips]
            recipe = load_recipe(TinyRecipe, name, [f"out={out}/x", *changes])
            own = VideoRepresentation.from_dict(recipe.representations[0])
            run = out / name_of(own) / f"seed{seed}"
            finish(load_recipe(TinyRecipe, name, [f"out={run}", *changes]))


@pytest.mark.parametrize("table", RECIPES)
def test_finished_runs_are_not_trained_again_and_are_those_that_eval_compares(
    tmp_path: Path, table: str
) -> None:
    finish_all(tmp_path, table, [3, 4])
    found = list(train_models(table, tmp_path, [3, 4]))
    changes = [f"out={tmp_path}/t", f"runs={tmp_path}", "seeds=[3, 4]"]
    recipe = load_recipe(TableRecipe, f"toyworld-table{table}", changes)
    compared = {model for row in recipe.rows for model in recipe.models_of(row)}
    assert compared == set(map(str, found))


def test_an_answer_is_right_by_its_letter_or_by_its_word() -> None:
    questions = make_questions(generate_script(seed=5, level="simple"), seed=5)
    for question in questions:
        right = f"{question.answer_letter}." if question.options else f" {question.answer.title()}."
        assert is_correct(question, right)
        assert not is_correct(question, "nothing of it")
