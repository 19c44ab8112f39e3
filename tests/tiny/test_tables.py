"""The tables of models on toyworld: which runs they need, and what is printed of them."""

import json
from pathlib import Path

import pytest

from llava_video.recipes import load_recipe
from llava_video.representation import VideoRepresentation
from llava_video.tiny.accuracy import is_correct
from llava_video.tiny.recipe import TinyRecipe
from llava_video.tiny.tables import ALL, KINDS, ROWS, make_table, mean_and_interval, name_of
from llava_video.toyworld import generate_script, make_questions


def finish(recipe: TinyRecipe) -> None:
    """Leave what a finished run leaves, as far as the tables look at it."""
    recipe.keep_in(recipe.out)
    (recipe.out / "model").mkdir()


def test_finished_runs_are_neither_trained_nor_asked_again(tmp_path: Path) -> None:
    base, clips = tmp_path / "base", f"clips={tmp_path}"
    finish(load_recipe(TinyRecipe, "toyworld-base", [f"out={base}", clips]))
    for name, asked_with in ROWS["5"]:
        for seed in (3, 4):
            changes = [f"seed={seed}", f"start_from={base}", clips]
            recipe = load_recipe(TinyRecipe, name, [f"out={tmp_path}/x", *changes])
            own = VideoRepresentation.from_dict(recipe.representations[0])
            run = tmp_path / name_of(own) / f"seed{seed}"
            if not run.exists():
                finish(load_recipe(TinyRecipe, name, [f"out={run}", *changes]))
            share = 0.5 if asked_with is None else 0.75
            known = run / f"right-with-{name_of(asked_with or own)}-of-7.json"
            known.write_text(json.dumps(dict.fromkeys((ALL, *KINDS), share)))
    notices: list[str] = []
    one, both = make_table("5", tmp_path, [3, 4], num_videos=7, notice=notices.append)
    assert len(notices) == 2 * len(ROWS["5"])
    *_, first = one.splitlines()
    *_, last = both.splitlines()
    assert first.split(" | ")[3:5] == ["0.250", "0.750"]
    assert last.split(" | ")[3:5] == ["0.250 ± 0.000", "0.750 ± 0.000"]
    assert last.split(" | ")[2] == "96", "what Table 5 compares has one budget"


@pytest.mark.parametrize(
    ("values", "said"),
    # Half of the interval: t (12.71 and 4.30) times s / sqrt(n).
    [([0.5], "0.500"), ([0.4, 0.6], "0.500 ± 1.271"), ([0.4, 0.5, 0.6], "0.500 ± 0.248")],
)
def test_an_interval_is_students(values: list[float], said: str) -> None:
    assert mean_and_interval(values) == said


def test_an_answer_is_right_by_its_letter_or_by_its_word() -> None:
    questions = make_questions(generate_script(seed=5, level="simple"), seed=5)
    for question in questions:
        right = f"{question.answer_letter}." if question.options else f" {question.answer.title()}."
        assert is_correct(question, right)
        assert not is_correct(question, "nothing of it")
        for text in ("A bird, I would guess.", "Because I saw it.", "Certainly.", "Doubtful."):
            assert not is_correct(question, text)
