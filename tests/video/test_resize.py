"""Resizing agrees with PIL."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from llava_video.video import read_video
from llava_video.video.resize import resize

from .media import draw, write_video

sides = st.integers(1, 300)


@st.composite
def pictures(draw_value):
    height, width = draw_value(sides), draw_value(sides)
    levels = draw_value(st.sampled_from([[0, 255], [0, 64, 128, 255], list(range(256))]))
    generator = np.random.default_rng(draw_value(st.integers(0, 1000)))
    return generator.choice(np.array(levels, np.uint8), (height, width, 3))


def resize_with_pil(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    image = Image.fromarray(picture)
    return np.asarray(image.resize((size[1], size[0]), Image.Resampling.BICUBIC))


@settings(max_examples=150, deadline=None)
@given(pictures(), st.integers(1, 120), st.integers(1, 120))
def test_any_picture_is_within_one_level_of_pil(picture, height, width):
    ours = resize(picture, (height, width)).astype(int)
    assert np.abs(ours - resize_with_pil(picture, (height, width))).max() <= 1


@settings(max_examples=30, deadline=None)
@given(pictures(), st.integers(1, 120), st.integers(1, 120))
def test_exact_resizing_equals_pil(picture, height, width):
    ours = resize(picture, (height, width), exact=True)
    assert np.array_equal(ours, resize_with_pil(picture, (height, width)))


def test_reading_at_a_size_is_reading_and_resizing(tmp_path):
    path = write_video(
        tmp_path / "video.mp4", num_frames=8, picture=lambda index: draw(index, 320, 180)
    )
    whole = read_video(path, num_frames=8).pixels
    by_pil = np.stack([resize_with_pil(picture, (48, 64)) for picture in whole])
    exact = read_video(path, num_frames=8, size=(48, 64), exact_resize=True).pixels
    fast = read_video(path, num_frames=8, size=(48, 64)).pixels
    assert np.array_equal(exact, by_pil)
    assert np.abs(fast.astype(int) - by_pil).max() <= 1
    assert read_video(path, num_frames=1, size=50).pixels.shape == (1, 50, 50, 3)
