"""Descriptions tell what is seen: all of it, nothing else, and the same on every level."""

from collections import Counter

import pytest

from llava_video.toyworld import (
    VOCABULARY,
    WORD_PATTERN,
    describe,
    describe_levels,
    generate_script,
)
from llava_video.toyworld.captions.wordings import WORDINGS, find_deeds
from llava_video.toyworld.generate.director import STORY_LEVELS
from llava_video.toyworld.verify.checker import Checker
from llava_video.toyworld.words import PHRASES


@pytest.mark.parametrize("level", STORY_LEVELS)
def test_every_description_agrees_with_what_is_seen(level):
    for seed in range(15):
        script = generate_script(seed, level)
        checker = Checker(script)
        for description in describe_levels(script, seed):
            problem = checker.check_description(
                description.text, description.start_seconds, description.end_seconds
            )
            assert problem == "", f"{description}\n{script}"


def test_levels_are_consistent():
    for seed in range(25):
        script = generate_script(seed, "long")
        descriptions = describe_levels(script, seed)
        deeds = {
            level: [list(find_deeds(d.text)) for d in descriptions if d.level == level]
            for level in (1, 2, 3)
        }
        windows = deeds[1]
        assert [deed for window in windows for deed in window] == deeds[3][0]
        for number, so_far in enumerate(deeds[2], start=1):
            assert so_far == [deed for window in windows[: 3 * number] for deed in window]


def test_windows_are_those_of_the_paper():
    script = generate_script(0, "long", seconds=65.0)
    spans = [(d.level, d.start_seconds, d.end_seconds) for d in describe_levels(script)]
    assert spans == [
        *((1, start, min(start + 10.0, 65.0)) for start in range(0, 70, 10)),
        (2, 0.0, 30.0),
        (2, 0.0, 60.0),
        (3, 0.0, 65.0),
    ]


def test_a_missing_or_invented_deed_is_noticed():
    script = generate_script(2, "standard")
    checker = Checker(script)
    text = describe(script, 0.0, script.duration_seconds)
    sentences = text.split(". ")
    shortened = ". ".join(s for s in sentences if not list(find_deeds(s)))
    assert "not described" in checker.check_description(shortened, 0.0, script.duration_seconds)
    invented = f"{text} The red ring vanishes."
    assert "not seen" in checker.check_description(invented, 0.0, script.duration_seconds)


def test_all_wordings_are_read_back():
    assert set(WORDINGS) == set(PHRASES)
    values = {"move": "up-left", "walk": "left", "spin": "clockwise", "recolour": "blue"}
    values |= {"flash": "blue", "take": "red ring", "drop": "red ring", "hit": "red ring"}
    for verb, wordings in WORDINGS.items():
        who = "green person" if verb == "walk" else "green star"
        for wording in wordings:
            value = values.get(verb, "")
            text = f"Then the {who} {wording.format(value=value)} at once."
            assert list(find_deeds(text)) == [(who, verb, value)]


def test_wording_varies_with_the_seed_and_stays_in_the_vocabulary():
    script = generate_script(7, "long")
    texts = Counter(describe(script, 0.0, 200.0, seed) for seed in range(10))
    assert len(texts) > 5
    assert {word for text in texts for word in WORD_PATTERN.findall(text)} <= set(VOCABULARY)
