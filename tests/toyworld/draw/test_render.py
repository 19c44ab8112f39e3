"""Pictures: the same at every size, with or without a video file in between."""

import numpy as np
import pytest
from PIL import Image

from llava_video.errors import InputError
from llava_video.toyworld import LEVELS, Actor, Event, Script, generate_script, render, render_at
from llava_video.toyworld.dataset import write_video
from llava_video.toyworld.draw.render import num_frames_of, picture_shape
from llava_video.toyworld.draw.shapes import REACH
from llava_video.toyworld.words import PERSON, SCENES, SHAPES
from llava_video.video import read_video


def psnr(a, b):
    error = np.mean((a.astype(float) - b.astype(float)) ** 2)
    return 10 * np.log10(255**2 / error)


def scene_of(*actors, scene="studio", events=(), aspect=1.0):
    standing = [Event(0.0, 0.0, actor.name, "stand", place=(0.5 * aspect, 0.5)) for actor in actors]
    cut = Event(0.0, 0.0, "scene", "cut", scene)
    return Script("hand", 0, 6.0, aspect, 0.0, tuple(actors), (cut, *standing, *events))


@pytest.mark.parametrize("level", LEVELS)
def test_small_pictures_look_like_large_ones_made_small(level):
    for seed in range(3):
        script = generate_script(seed, level)
        small = render(script, 8, 64).pixels
        large = render(script, 8, 256).pixels.astype(float)
        assert psnr(small, large.reshape(8, 64, 4, 64, 4, 3).mean((2, 4))) > 34


@pytest.mark.parametrize("level", ["simple", "standard"])
def test_direct_frames_are_those_of_the_video_file(level, tmp_path):
    for seed in range(2):
        script = generate_script(seed, level, seconds=6.0)
        write_video(script, tmp_path / "video.mp4", (224, 224), 10.0)
        decoded = read_video(tmp_path / "video.mp4", num_frames=16)
        direct = render(script, 16, 64)
        np.testing.assert_array_equal(decoded.indices, direct.indices)
        np.testing.assert_allclose(decoded.timestamps_seconds, direct.timestamps_seconds)
        assert decoded.duration_seconds == pytest.approx(direct.duration_seconds)
        small = [
            np.asarray(Image.fromarray(picture).resize((64, 64), Image.Resampling.BICUBIC))
            for picture in decoded.pixels
        ]
        assert psnr(np.stack(small), direct.pixels) > 33


def test_sampling_is_uniform_over_the_video():
    script = generate_script(4, "standard")
    num_frames = num_frames_of(script, 10)
    whole = render(script, num_frames, 48)
    few = render(script, 7, 48)
    np.testing.assert_array_equal(few.indices, np.linspace(0, num_frames - 1, 7, dtype=int))
    np.testing.assert_array_equal(few.pixels, whole.pixels[few.indices])
    np.testing.assert_array_equal(few.timestamps_seconds, few.indices / 10)


def test_frames_can_be_drawn_in_pieces():
    script = generate_script(1, "long", seconds=30.0)
    numbers = np.arange(0, 300, 25)
    whole = render_at(script, numbers / 10, 64, frame_numbers=numbers)
    pieces = [render_at(script, n / 10, 64, frame_numbers=n) for n in np.split(numbers, 4)]
    np.testing.assert_array_equal(whole, np.concatenate(pieces))


def test_pictures_are_never_constant():
    frames = render(generate_script(3, "simple"), 4, 64).pixels.astype(int)
    assert (np.diff(frames, axis=0) != 0).mean() > 0.3


@pytest.mark.parametrize("shape", [*SHAPES, PERSON])
def test_a_shape_fills_its_circle_and_nothing_else(shape):
    empty = render_at(scene_of(), np.zeros(1), 200)[0].astype(int)
    drawn = render_at(scene_of(Actor("white", shape, 0.6)), np.zeros(1), 200)[0].astype(int)
    changed = np.argwhere((drawn != empty).any(axis=-1)) + 0.5 - 100
    distance = np.hypot(*changed.T)
    assert 45 <= distance.max() <= 60 * REACH + 1
    assert 0.15 < len(changed) / (np.pi * 60**2) < 0.95


def test_letters_are_told_apart():
    letters = "EHLNTVXZ"
    actors = [Actor("white", "square", 0.4, letter=letter) for letter in letters]
    pictures = [render_at(scene_of(a), np.zeros(1), 128)[0].astype(int) for a in actors]
    for i, one in enumerate(pictures):
        for other in pictures[i + 1 :]:
            assert (abs(one - other) > 100).any(axis=-1).sum() > 50


@pytest.mark.parametrize("scene", SCENES)
def test_a_moving_camera_shows_more_of_the_same_place(scene):
    pan = Event(1.0, 2.0, "camera", "pan", "right", 0.25)
    before, after = render_at(scene_of(scene=scene, events=[pan]), np.array([0.0, 3.0]), 128)
    assert psnr(before[:, 33:-1], after[:, 1:-33]) > 30
    zoom = Event(1.0, 2.0, "camera", "zoom", "in", 2.0)
    before, after = render_at(scene_of(scene=scene, events=[zoom]), np.array([0.0, 3.0]), 128)
    middle = Image.fromarray(before[32:96, 32:96]).resize((128, 128), Image.Resampling.BICUBIC)
    assert psnr(np.asarray(middle), after) > 24


def test_any_size_of_the_right_aspect():
    script = generate_script(0, "standard", aspect=16 / 9)
    assert render(script, 1, (320, 180)).pixels.shape == (1, 180, 320, 3)
    assert picture_shape(script, 90) == (90, 160)
    assert picture_shape(generate_script(0, "standard", aspect=0.5), 90) == (180, 90)
    with pytest.raises(InputError, match="use 356 x 200"):
        render(script, 1, (200, 200))
