"""Animated WebP is a video."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from llava_video.errors import VideoError
from llava_video.video import probe_video, read_video, sample_times

from .media import draw

NUM_PICTURES = 12


@pytest.fixture
def animation(tmp_path: Path) -> Path:
    pictures = [Image.fromarray(draw(place)) for place in range(NUM_PICTURES)]
    path = tmp_path / "animation.webp"
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=100, lossless=True)
    return path


@pytest.mark.parametrize("num_frames", [1, 5, 12, 20])
def test_pictures_are_those_that_were_written(animation, num_frames):
    frames = read_video(animation, num_frames=num_frames)
    expected = np.linspace(0, NUM_PICTURES - 1, num_frames, dtype=int)
    assert frames.indices.tolist() == expected.tolist()
    assert np.array_equal(frames.pixels, np.stack([draw(int(place)) for place in expected]))
    assert frames.timestamps_seconds == pytest.approx(expected / 10)


def test_it_is_sampled_and_resized_as_any_video(animation):
    frames = read_video(animation, fps=2, start_seconds=0.5, size=32)
    assert frames.indices.tolist() == [5, 10]
    assert frames.pixels.shape == (2, 32, 32, 3)
    assert sample_times(animation, fps=2)[0].tolist() == [0.0, 0.5, 1.0]
    info = probe_video(animation)
    assert (info.container, info.codec, info.num_frames) == ("webp", "webp", NUM_PICTURES)
    assert (info.width, info.height, info.average_fps) == (96, 64, 10)


def test_transparent_pixels_lie_over_black(tmp_path):
    rgba = np.full((16, 16, 4), 200, np.uint8)
    rgba[:8, :, 3], rgba[8:, :, 3] = 0, 255
    still = Image.fromarray(rgba)
    path = tmp_path / "still.webp"
    still.save(path, lossless=True, exact=True)
    picture = read_video(path, num_frames=1).pixels[0]
    assert picture[0].max() == 0
    assert picture[15].min() == 200


def test_what_is_no_webp_inside_is_refused(tmp_path):
    path = tmp_path / "broken.webp"
    path.write_bytes(b"RIFF\x00\x10\x00\x00WEBPVP8 " + b"x" * 400)
    with pytest.raises(VideoError, match=r"broken\.webp.*; check that it is complete"):
        read_video(path)
