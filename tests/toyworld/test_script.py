"""The script language: values that check themselves, print, and parse back."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llava_video.errors import InputError
from llava_video.toyworld import (
    LEVELS,
    Actor,
    Event,
    Script,
    format_script,
    generate_script,
    parse_script,
    script_path_of,
)

CUT = Event(0.0, 0.0, "scene", "cut", "meadow")
STAR = Actor("red", "star", 0.2)
STAND = Event(0.0, 0.0, "red star", "stand", place=(0.5, 0.5))


def make(*events, actors=(STAR,)):
    return Script("hand", 0, 10.0, 1.0, 0.0, actors, (CUT, *events))


@settings(max_examples=60, deadline=None)
@given(st.integers(-(2**40), 2**40), st.sampled_from(LEVELS))
def test_every_script_prints_and_parses_back_to_itself(seed, level):
    script = generate_script(seed, level)
    assert parse_script(format_script(script)) == script


def test_a_script_reads_like_stage_directions():
    script = make(
        STAND,
        Event(1.0, 2.0, "red star", "move", "up-left", 0.3),
        Event(2.0, 2.4, "red star", "recolour", "blue", why="green cross"),
        Event(3.0, 4.2, "red star", "blink", amount=3),
        actors=(STAR, Actor("green", "cross", 0.2)),
    )
    assert format_script(script).splitlines()[-4:] == [
        "  0.00          red star: stand at 0.500,0.500",
        "  1.00-2.00     red star: move up-left by 0.300",
        "  2.00-2.40     red star: recolour to blue, because of green cross",
        "  3.00-4.20     red star: blink 3 times",
    ]


@pytest.mark.parametrize(
    ("event", "problem"),
    [
        (Event(1.0, 2.0, "red ring", "vanish"), "only actor can do that"),
        (Event(1.0, 2.0, "red star", "explode"), "is not a verb"),
        (Event(1.0, 2.0, "red star", "move", "north", 0.1), "cannot be followed by 'north'"),
        (Event(1.0, 2.0, "red star", "move", "up"), "wrong arguments"),
        (Event(1.0, 2.0, "red star", "appear"), "wrong arguments"),
        (Event(1.0, 2.0, "red star", "vanish", why="blue ring"), "is not an actor"),
        (Event(9.0, 11.0, "red star", "vanish"), "not inside the video"),
        (Event(1.0, 2.0, "camera", "vanish"), "only actor can do that"),
    ],
)
def test_what_cannot_happen_is_refused(event, problem):
    with pytest.raises(InputError, match=problem):
        make(STAND, event)


def test_events_are_in_order_and_the_first_is_a_cut():
    late = Event(5.0, 6.0, "red star", "vanish")
    with pytest.raises(InputError, match="order of their start"):
        make(late, STAND)
    with pytest.raises(InputError, match="first event must be a cut"):
        Script("hand", 0, 10.0, 1.0, 0.0, (STAR,), (STAND,))


@pytest.mark.parametrize(
    ("line", "number"),
    [("  1.00 red star explodes", 6), ("  soon red star: vanish", 6), ("curtain", 6)],
)
def test_a_line_that_cannot_be_read_is_named(line, number):
    text = format_script(make()) + line + "\n"
    with pytest.raises(InputError, match=f"line {number}"):
        parse_script(text)


def test_other_text_is_no_script():
    with pytest.raises(InputError, match="this is not a toyworld script"):
        parse_script("WEBVTT\n")


def test_the_script_lies_beside_the_video():
    assert script_path_of("clips/a.mp4") == Path("clips/a.script.txt")
