"""Videos and images in memory and as folders of pictures; what is neither is one line."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from llava_video.errors import InputError, LlavaVideoError, VideoError
from llava_video.processing.frames_folder import FRAMES_FOLDER_FPS, choose_pictures, list_pictures
from llava_video.processing.media import (
    local_file,
    name_of,
    picture_size,
    read_frames,
    read_picture,
    sample_folder_times,
)

SIZE = (8, 8)
PIXELS = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)


def frames_of(video: object, **options: object) -> np.ndarray:
    asked = {"num_frames": None, "fps": None, "max_frames": 4, "size": SIZE, **options}
    return read_frames(video, **asked).pixels  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "video",
    [
        PIXELS,
        np.moveaxis(PIXELS, -1, 1),
        torch.tensor(PIXELS),
        torch.tensor(PIXELS).permute(0, 3, 1, 2),
        list(PIXELS),
        tuple(torch.tensor(PIXELS)),
        [Image.fromarray(picture) for picture in PIXELS],
        [np.moveaxis(picture, -1, 0) for picture in PIXELS],
    ],
)
def test_pictures_in_memory_are_the_same_frames(video: object) -> None:
    assert np.array_equal(frames_of(video), PIXELS)
    assert np.array_equal(frames_of(video, num_frames=3), PIXELS[[0, 2, 4]])


def test_pictures_whose_height_is_3_keep_their_channels_last() -> None:
    flat = PIXELS[:, :3]
    assert np.array_equal(frames_of(flat), flat)


@pytest.mark.parametrize(
    ("video", "said"),
    [
        ([], "empty list of frames"),
        ([[PIXELS[0]]], "a list of lists"),
        (PIXELS[None], r"got uint8 \(1, 5, 8, 8, 3\); give each video or image alone"),
        (PIXELS[0], r"frames must be uint8 of shape \(T, H, W, 3\) or \(T, 3, H, W\)"),
        (torch.rand(5, 3, 8, 8), "got float32 .*; bring 0..1 to 0..255"),
        (torch.zeros(5, 3, 8, 8, dtype=torch.bfloat16), "got bfloat16"),
        (PIXELS[..., :1], r"got uint8 \(5, 8, 8, 1\)"),
        (PIXELS.astype(np.int64), "got int64"),
        (PIXELS[:0], "no frames"),
        ([torch.tensor(PIXELS)], "an image must be uint8"),
        ({"path": "a.mp4"}, "a dict is not a video"),
        (b"....", "a bytes is not a video"),
        (3, "a int is not a video"),
        ("", "is no name of a file"),
        ("x" * 300, "is no name of a file"),
        ("a/" * 5000, "is no name of a file"),
        ("a\0b", "is no name of a file"),
    ],
)
def test_what_is_no_video_is_one_line(video: object, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        frames_of(video)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("picture", ["x" * 300, "", "a\0b", "/9j/" + "A" * 9000])
def test_what_is_no_image_is_one_line(picture: str) -> None:
    with pytest.raises(InputError, match="is no name of a file") as caught:
        read_picture(picture)
    assert len(str(caught.value)) < 400


def test_long_names_are_cut_in_messages() -> None:
    assert name_of("a.mp4") == "a.mp4"
    assert name_of("data:image/png;base64,AAAA") == "data:image/png;base64,..."
    assert len(name_of("x" * 1000)) < 200


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Frames 1 to 12 of a video, each with its number as its colour, of two sizes."""
    folder = tmp_path / "shareVideoGPTV" / "v_1"
    folder.mkdir(parents=True)
    for number in range(1, 13):
        Image.new("RGB", (10 + number % 2, 6), (number * 20, 0, 0)).save(folder / f"{number}.png")
    (folder / ".hidden.png").write_bytes(b"")
    (folder / "notes.txt").write_text("no picture")
    return folder


def test_a_folder_of_pictures_is_read_as_the_official_code_does(folder: Path) -> None:
    """The first to the last, spread, 2 a second (train.py, shareVideoGPTV)."""
    frames = read_frames(str(folder), num_frames=4, fps=None, max_frames=4, size=SIZE)
    chosen = np.linspace(0, 11, 4, dtype=int)
    assert frames.pixels[:, 0, 0, 0].tolist() == [20 * (index + 1) for index in chosen]
    assert frames.timestamps_seconds.tolist() == [index / 2 for index in chosen]
    assert frames.duration_seconds == 6.0
    assert frames.source == str(folder)
    assert "2 a second" in frames.warnings[0]
    for options in ({"num_frames": 4, "fps": None}, {"num_frames": None, "fps": 1.0}):
        sampled = read_frames(folder, max_frames=4, size=SIZE, **options)
        most = None if options["fps"] is None else 4
        times, duration = sample_folder_times(folder, max_frames=most, **options)
        assert times.tolist() == sampled.timestamps_seconds.tolist()
        assert duration == sampled.duration_seconds


def test_a_rate_is_relative_to_that_of_the_folder() -> None:
    assert choose_pictures(12, None, FRAMES_FOLDER_FPS / 2, 64).tolist() == [0, 2, 4, 6, 8, 10]
    assert choose_pictures(12, None, 10.0, 64).tolist() == list(range(12))
    assert choose_pictures(1, 3, None, None).tolist() == [0, 0, 0]


def test_numbers_in_names_count(folder: Path) -> None:
    assert [picture.stem for picture in list_pictures(folder)] == [str(n) for n in range(1, 13)]


def test_a_folder_that_is_no_video_says_so(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"")
    with pytest.raises(VideoError, match="is a folder without pictures"):
        frames_of(tmp_path)
    (folder / "12.png").write_bytes(b"broken")
    for read in (
        lambda: frames_of(folder),
        lambda: sample_folder_times(folder, num_frames=4, fps=None, max_frames=None),
    ):
        with pytest.raises(LlavaVideoError, match=r"12\.png: cannot be read as an image"):
            read()
    with local_file(folder.as_uri()) as same, pytest.raises(InputError, match="cannot be read"):
        picture_size(same)


def test_grey_of_16_bits_is_seen_as_grey(tmp_path: Path) -> None:
    levels = np.linspace(0, 65535, 64 * 64).astype(np.uint16).reshape(64, 64)
    Image.fromarray(levels).save(tmp_path / "depth.png")
    for picture in (tmp_path / "depth.png", Image.fromarray(levels)):
        found = read_picture(picture)
        assert np.array_equal(found, np.repeat((levels >> 8).astype(np.uint8)[..., None], 3, -1))
