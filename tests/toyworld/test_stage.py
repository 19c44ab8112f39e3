"""What a performed script looks like, by hand-written scripts."""

import numpy as np
import pytest

from llava_video.toyworld import COLOURS, parse_script
from llava_video.toyworld.stage import perform

HEAD = """toyworld script 1
level hand, seed 0, 20.00 seconds, aspect 1.000, noise 0.0
actor red star, size 0.200
actor blue circle, size 0.200
actor green person, size 0.300
story
  0.00       scene: cut to room
  0.00       red star: stand at 0.500,0.500
  0.00       green person: stand at 0.200,0.500
"""
STAR, CIRCLE, PERSON = range(3)


def at(story, *times):
    return perform(parse_script(HEAD + story), np.array(times, dtype=float))


def test_a_move_is_straight_and_even():
    stage = at("  2.00-4.00  red star: move up-right by 0.200\n", 0, 2, 3, 4, 9)
    way = 0.2 * np.sqrt(0.5)
    np.testing.assert_allclose(stage.x[STAR], 0.5 + way * np.array([0, 0, 0.5, 1, 1]))
    np.testing.assert_allclose(stage.y[STAR], 0.5 - way * np.array([0, 0, 0.5, 1, 1]))


def test_who_enters_is_not_there_before_and_stands_at_its_place_after():
    story = "  2.00-4.00  blue circle: enter left by 0.700 at 0.600,0.300\n"
    stage = at(story, 1.9, 2, 3, 4, 5)
    np.testing.assert_array_equal(stage.opacity[CIRCLE], [0, 1, 1, 1, 1])
    np.testing.assert_allclose(stage.x[CIRCLE, 1:], [1.3, 0.95, 0.6, 0.6])
    np.testing.assert_allclose(stage.y[CIRCLE, 1:], 0.3)


def test_a_cut_clears_the_stage_and_moves_the_camera_home():
    story = (
        "  1.00-2.00  camera: pan right by 0.300\n"
        "  3.00-4.00  camera: zoom in by factor 2.00\n"
        "  5.00       scene: cut to night\n"
        "  5.00       blue circle: stand at 0.500,0.500\n"
    )
    stage = at(story, 0, 2.5, 4.5, 5)
    np.testing.assert_allclose(stage.camera_x, [0.5, 0.8, 0.8, 0.5])
    np.testing.assert_allclose(stage.zoom, [1, 1, 2, 1])
    np.testing.assert_array_equal(stage.opacity[:, -1], [0, 1, 0])
    np.testing.assert_array_equal(stage.shot, [0, 0, 0, 1])


def test_what_is_taken_goes_where_the_person_goes_until_it_is_put_down():
    story = (
        "  1.00-1.40  green person: take red star\n"
        "  2.00-3.00  green person: move down by 0.200\n"
        "  4.00-4.40  green person: drop red star\n"
        "  5.00-6.00  green person: move left by 0.100\n"
    )
    stage = at(story, 0, 1.5, 3, 4.5, 6)
    np.testing.assert_allclose(stage.y[STAR], [0.5, 0.45, 0.65, 0.7, 0.7])
    np.testing.assert_allclose(stage.x[STAR], 0.5)
    np.testing.assert_allclose(stage.x[PERSON], [0.2, 0.2, 0.2, 0.2, 0.1])


@pytest.mark.parametrize(
    ("event", "row", "attribute", "before", "after"),
    [
        ("red star: grow by factor 1.50", STAR, "size", 0.2, 0.3),
        ("red star: shrink by factor 2.00", STAR, "size", 0.2, 0.1),
        ("red star: spin clockwise by 180 degrees", STAR, "angle", 0.0, np.pi),
        ("red star: spin counterclockwise by 90 degrees", STAR, "angle", 0.0, -np.pi / 2),
        ("red star: spin back-and-forth by 120 degrees", STAR, "angle", 0.0, 0.0),
        ("red star: recolour to blue", STAR, "colour", COLOURS["red"], COLOURS["blue"]),
        ("red star: flash blue", STAR, "colour", COLOURS["red"], COLOURS["red"]),
        ("red star: vanish", STAR, "opacity", 1.0, 0.0),
        ("red star: blink 3 times", STAR, "opacity", 1.0, 1.0),
        ("green person: sit", PERSON, "crouch", 0.0, 1.0),
        ("green person: wave both 3 times", PERSON, "arms", (0, 0), (0, 0)),
    ],
)
def test_changes_leave_behind_what_they_say(event, row, attribute, before, after):
    stage = at(f"  2.00-3.00  {event}\n", 1.99, 3.0)
    values = getattr(stage, attribute)[row]
    np.testing.assert_allclose(values[0], before, atol=1e-9)
    np.testing.assert_allclose(values[1], after, atol=1e-9)


def test_moments_do_not_depend_on_each_other():
    script = parse_script(HEAD + "  2.00-4.00  red star: move left by 0.200\n")
    together = perform(script, np.array([1.0, 3.3, 5.0]))
    alone = perform(script, np.array([3.3]))
    np.testing.assert_array_equal(together.x[:, 1], alone.x[:, 0])
