"""Labels of patches and tokens are what the frames show, whatever the camera does."""

from dataclasses import replace

import numpy as np
import pytest

from llava_video.errors import RepresentationError
from llava_video.representation import VideoRepresentation, make_layout
from llava_video.tiny.dense_labels import (
    CAMERA_MOVES,
    DEEDS,
    KINDS,
    PATCH_CLASSES,
    TOKEN_CLASSES,
    patch_labels,
    token_labels,
)
from llava_video.toyworld import COLOURS, DIRECTIONS, SHAPES, generate_script, render_at
from llava_video.toyworld.script import CAMERA
from llava_video.toyworld.words import PERSON, SCENES

LAYOUT = make_layout(
    VideoRepresentation(max_frames=12, grid_side=8, slow_stride=3, pool_stride=2), 12
)
SIDE = 16
FULL = [KINDS.index(shape) + 1 for shape in ("circle", "square", "cross")]
"""Shapes that have their colour in the middle."""


def test_tokens_that_are_selected_have_no_labels() -> None:
    script = generate_script(seed=0, level="simple")
    layout = make_layout(replace(LAYOUT.representation, selection="evs", keep_ratio=0.5), 12)
    with pytest.raises(RepresentationError, match="train without a selection"):
        token_labels(script, np.linspace(0.0, 1.0, 12), layout)


@pytest.mark.parametrize("level", ["simple", "standard", "crowded"])
def test_a_patch_in_the_middle_of_a_shape_has_the_colour_of_its_label(level) -> None:
    distances = []
    for seed in range(12):
        script = generate_script(seed=seed, level=level)
        times = np.linspace(0.0, script.duration_seconds - 0.1, 8)
        pictures = render_at(script, times, 8 * SIDE)
        labels = patch_labels(script, times, SIDE)
        colour, shape, letter, _ = np.moveaxis(labels.classes, -1, 0)
        way = np.hypot(labels.measures[..., 0], labels.measures[..., 1])
        sure = np.isin(shape, FULL) & (letter == 0) & (way < 0.2 * labels.measures[..., 2])
        patches = pictures.reshape(8, SIDE, 8, SIDE, 8, 3)[:, :, 3:5, :, 3:5].mean(axis=(2, 4))
        shown = patches.reshape(8, SIDE * SIDE, 3)[sure]
        named = np.array(list(COLOURS.values()))[colour[sure] - 1]
        distances += np.abs(shown - named).mean(axis=-1).tolist()
    assert len(distances) > 100
    assert np.median(distances) < 12
    assert np.mean(np.array(distances) > 60) < 0.08  # occluded, or fading


def test_the_camera_is_followed() -> None:
    scripts = (generate_script(seed=seed, level="standard") for seed in range(200))
    script = next(script for script in scripts if script.of(CAMERA, "zoom"))
    (zoom,) = script.of(CAMERA, "zoom")
    times = np.array([zoom.start_seconds, zoom.end_seconds - 1e-6])
    labels = patch_labels(script, times, SIDE)
    before, after = (
        {tuple(name[:2]): measure[2] for name, measure in zip(names, measures, strict=True)}
        for names, measures in zip(labels.classes, labels.measures, strict=True)
    )
    factor = zoom.amount if zoom.value == "in" else 1 / zoom.amount
    ratios = [after[name] / size for name, size in before.items() if size and name in after]
    assert ratios
    assert np.median(ratios) == pytest.approx(factor, rel=0.01)
    assert token_labels(script, np.linspace(*times, 12), LAYOUT)[-1, 5] == (
        CAMERA_MOVES.index(zoom.value) + 1
    )


@pytest.mark.parametrize("level", ["simple", "standard"])
def test_tokens_are_labelled_with_actors_and_deeds(level) -> None:
    num_moved = 0
    for seed in range(20):
        script = generate_script(seed=seed, level=level)
        times_seconds = np.linspace(0.0, script.duration_seconds, 12)
        labels = token_labels(script, times_seconds, LAYOUT)
        assert labels.shape == (LAYOUT.num_tokens, len(TOKEN_CLASSES))
        assert (labels.max(axis=0) <= np.array(list(TOKEN_CLASSES.values()))).all()
        empty = labels[:, 0] == 0
        assert (labels[empty, :4] == 0).all()
        assert {KINDS[number - 1] for number in labels[~empty, 1]} <= {
            actor.shape for actor in script.actors
        }
        assert (labels[: LAYOUT.tokens_per_block(slow=True), 2] == 0).all(), "nothing moved yet"
        done = {event.what for event in script.events}
        assert {DEEDS[number - 1] for number in labels[:, 3] if number} <= done
        cuts = {event.value for event in script.events if event.what == "cut"}
        assert {list(SCENES)[number - 1] for number in labels[:, 4]} <= cuts
        if level == "simple":
            went = {event.value for event in script.events if event.value in DIRECTIONS}
            shown_ways = {list(DIRECTIONS)[number - 1] for number in labels[:, 2] if number}
            assert shown_ways <= went
            num_moved += len(shown_ways)
    assert level == "standard" or num_moved >= 10


def test_numbers_follow_the_words() -> None:
    assert (*SHAPES, PERSON) == KINDS
    assert list(PATCH_CLASSES.values()) == [8, 7, 8, 8]
