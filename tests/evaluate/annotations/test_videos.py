"""From names in annotations to files, however a benchmark was unpacked."""

from pathlib import Path

import pytest

from llava_video.errors import InputError, VideoError
from llava_video.evaluate.annotations.videos import VideoFolder


@pytest.fixture
def folder(tmp_path: Path) -> VideoFolder:
    for name in ("0101/41.mp4", "tvqa/frames/castle_1/00001.jpg", "left/7.webm", "right/7.mp4",
                 "v_1a.b.MKV", "notes.txt"):  # fmt: skip
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return VideoFolder(tmp_path)


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("41", "0101/41.mp4"),
        ("0101/41.mp4", "0101/41.mp4"),
        ("/data/x/41.webm", "0101/41.mp4"),
        ("v_1a.b", "v_1a.b.MKV"),
        ("/elsewhere/right/7.mp4", "right/7.mp4"),
        ("left/7", "left/7.webm"),
    ],
)
def test_a_name_finds_its_file(folder: VideoFolder, name: str, file: str) -> None:
    assert folder.find(name) == folder.root / file


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("42", "no such video below"),
        ("7", "2 videos have this name"),
        ("/x/castle_1", "a folder of pictures, not a video; make one of it"),
        ("notes.txt.mp4", "no such video below"),
    ],
)
def test_what_is_not_one_video_is_an_error(folder: VideoFolder, name: str, message: str) -> None:
    with pytest.raises(VideoError, match=message):
        folder.find(name)


def test_a_missing_folder_says_which_option(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="give --videos DIR"):
        VideoFolder(tmp_path / "none")
