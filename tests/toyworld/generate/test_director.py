"""Story levels stay within their bounds."""

from collections import Counter

import pytest

from llava_video.errors import InputError
from llava_video.toyworld import LEVELS, generate_script
from llava_video.toyworld.generate.director import STORY_LEVELS

NO_DEEDS = ("cut", "stand", "pan", "zoom")


@pytest.mark.parametrize("name", STORY_LEVELS)
def test_length_shots_and_deeds_are_those_of_the_level(name):
    level = STORY_LEVELS[name]
    for seed in range(60):
        script = generate_script(seed, name)
        assert level.seconds[0] <= script.duration_seconds <= level.seconds[1]
        assert 1 <= len(script.of("scene", "cut")) <= level.shots[1]
        assert 1 <= sum(event.what not in NO_DEEDS for event in script.events) <= 12


def test_all_verbs_of_the_language_are_used():
    verbs = Counter(e.what for seed in range(150) for e in generate_script(seed, "long").events)
    from llava_video.toyworld.script import VERBS

    assert set(verbs) == set(VERBS)


@pytest.mark.parametrize("name", LEVELS)
@pytest.mark.parametrize("aspect", [0.4, 0.5625, 1.0, 16 / 9, 2.5])
def test_a_length_and_an_aspect_can_be_asked_for(name, aspect):
    for seconds in (5.0, 61.5, 120.0):
        script = generate_script(1, name, aspect=aspect, seconds=seconds)
        assert script.duration_seconds == seconds
        assert script.aspect == pytest.approx(aspect, abs=1e-3)


def test_what_cannot_be_made_is_an_error():
    for wrong in ({"seconds": 4.0}, {"seconds": 121.0}, {"aspect": 3.0}, {"level": "hard"}):
        with pytest.raises(InputError, match=r"use|last"):
            generate_script(0, **wrong)


def test_nobody_ever_looks_like_somebody_else():
    for seed in range(100):
        script = generate_script(seed, "crowded")
        looks = [(a.shape, a.colour) for a in script.actors]
        for actor in script.actors:
            colours = {e.value for e in script.of(actor.name, "recolour", "flash")}
            looks += [(actor.shape, colour) for colour in colours]
        initial = {(a.shape, a.colour) for a in script.actors}
        assert len(initial) == len(script.actors)
        assert not initial & set(looks[len(script.actors) :])
