"""Two routes to the truth agree: the script's list of events, and what is seen on stage."""

from dataclasses import replace

import pytest

from llava_video.toyworld import LEVELS, generate_script, make_questions
from llava_video.toyworld.verify.checker import Checker

NUM_VIDEOS = {"simple": 120, "standard": 100, "crowded": 40, "long": 25}


@pytest.mark.parametrize("level", LEVELS)
def test_every_answer_is_what_is_seen(level):
    for seed in range(NUM_VIDEOS[level]):
        script = generate_script(seed, level)
        checker = Checker(script)
        for question in make_questions(script):
            assert checker.check(question) == "", f"{level} {seed}\n{script}"


@pytest.mark.parametrize("level", LEVELS)
def test_every_wrong_option_is_objected_to(level):
    num_objections = 0
    for seed in range(10):
        script = generate_script(seed, level)
        checker = Checker(script)
        for question in make_questions(script):
            for letter, option in zip("ABCD", question.options, strict=False):
                if option != question.answer:
                    wrong = replace(question, answer=option, answer_letter=letter)
                    assert checker.check(wrong) != ""
                    num_objections += 1
    assert num_objections > 50


def test_a_right_answer_under_a_wrong_letter_is_objected_to():
    script = generate_script(1, "simple")
    question = next(q for q in make_questions(script) if len(q.options) == 4)
    letter = "A" if question.answer_letter != "A" else "B"
    assert Checker(script).check(replace(question, answer_letter=letter)) != ""
