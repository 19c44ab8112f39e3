"""Level "simple": its distribution is frozen, because a model was trained on it."""

import hashlib
import itertools

import pytest

from llava_video.toyworld import describe, generate_script, make_questions

# Changes with any change of the level's scripts, questions or descriptions. A model trained on it
# would no longer be tested on what it has learned: put new things in other levels.
FROZEN = "8eafe73c429d6cbda856f575a5d4361f8b6528ff5785947786edd0eda3a86c18"


def test_scripts_questions_and_descriptions_stay_as_they_are():
    digest = hashlib.sha256()
    for seed in range(200):
        script = generate_script(seed, "simple")
        digest.update(str(script).encode())
        digest.update(describe(script, 0.0, 10.0, seed).encode())
        for question in make_questions(script):
            asked = (question.kind, question.question, question.answer)
            digest.update(repr((*asked, question.options, question.answer_letter)).encode())
    assert digest.hexdigest() == FROZEN


@pytest.mark.parametrize("seed", range(40))
def test_one_to_four_shapes_do_at_most_one_thing_each(seed):
    script = generate_script(seed, "simple")
    assert 1 <= len(script.actors) <= 4
    assert 5.0 <= script.duration_seconds <= 10.0
    for actor in script.actors:
        assert len(script.of(actor.name, "move", "enter", "leave")) <= 1


def test_movements_start_well_apart():
    for seed in range(100):
        script = generate_script(seed, "simple")
        starts = [e.start_seconds for e in script.events if e.what in ("move", "enter", "leave")]
        assert all(b - a >= 0.89 for a, b in itertools.pairwise(starts))
