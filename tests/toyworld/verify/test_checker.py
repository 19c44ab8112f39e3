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
            for option in question.options:
                if option != question.answer:
                    assert checker.check(replace(question, answer=option)) != ""
                    num_objections += 1
    assert num_objections > 50
