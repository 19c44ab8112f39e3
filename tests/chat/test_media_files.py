"""Which names are videos, images, folders and patterns, and which are the same file."""

import shutil
from pathlib import Path

import pytest
from PIL import Image

from llava_video.chat.media_files import (
    find_videos,
    is_several,
    kind_of,
    refuse_repeated,
    same_files,
)
from llava_video.errors import InputError
from tests.video.media import write_video


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two videos, one of them twice, pictures of several formats, and a text."""
    folder = tmp_path_factory.mktemp("media")
    (folder / "sub").mkdir()
    write_video(folder / "b.mp4", num_frames=3)
    write_video(folder / "sub" / "a.MKV", num_frames=4)
    shutil.copy(folder / "b.mp4", folder / "copy.mp4")
    pictures = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    for suffix in ("png", "jpg", "webp", "gif"):
        pictures[0].save(folder / f"still.{suffix}")
    pictures[0].save(folder / "moving.gif", save_all=True, append_images=pictures[1:])
    pictures[0].save(folder / "moving.webp", save_all=True, append_images=pictures[1:])
    shutil.copy(folder / "still.png", folder / "no_suffix")
    (folder / "notes.txt").write_text("a text")
    (folder / ".hidden.mp4").touch()
    return folder


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("b.mp4", "video"),
        ("still.png", "image"),
        ("still.jpg", "image"),
        ("still.webp", "image"),
        ("no_suffix", "image"),
        ("still.gif", "video"),
        ("moving.gif", "video"),
        ("moving.webp", "video"),
        ("notes.txt", "video"),
        ("missing.png", "video"),
    ],
)
def test_files_are_told_by_their_content(folder: Path, name: str, kind: str) -> None:
    assert kind_of(str(folder / name)) == kind


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("https://host/a.png?size=3", "image"),
        ("https://host/a.mp4", "video"),
        ("https://host/a", "video"),
        ("data:image/png;base64,AAAA", "image"),
        ("data:video/mp4;base64,AAAA", "video"),
    ],
)
def test_addresses_are_told_by_their_suffix_or_type(address: str, kind: str) -> None:
    assert kind_of(address) == kind


def test_folders_and_patterns_are_several(folder: Path) -> None:
    assert is_several(str(folder))
    assert is_several(str(folder / "*.mp4"))
    assert not is_several(str(folder / "b.mp4"))
    assert not is_several("https://host/a[1].mp4")


def test_a_file_with_brackets_in_its_name_is_a_file(tmp_path: Path) -> None:
    file = tmp_path / "clip[1].mp4"
    file.touch()
    assert not is_several(str(file))


def test_folders_hold_their_visible_videos_in_order_of_name(folder: Path) -> None:
    names = ["b.mp4", "copy.mp4", "moving.gif", "still.gif", "sub/a.MKV"]
    assert find_videos([str(folder)]) == [str(folder / name) for name in names]
    assert find_videos([str(folder / "*.mp4"), str(folder / "b.mp4")]) == [
        str(folder / "b.mp4"),
        str(folder / "copy.mp4"),
    ]


def test_folders_and_patterns_without_videos_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no video in this folder"):
        find_videos([str(tmp_path)])
    with pytest.raises(InputError, match="no video matches this pattern"):
        find_videos([str(folder / "*.txt")])


def test_the_same_content_under_two_names_is_one_group(folder: Path) -> None:
    names = [str(folder / name) for name in ("b.mp4", "sub/a.MKV", "copy.mp4", "missing.mp4")]
    assert same_files(names) == [[names[0], names[2]], [names[1]], [names[3]]]


def test_a_video_is_shown_once(folder: Path, tmp_path: Path) -> None:
    video, copy, link = folder / "b.mp4", folder / "copy.mp4", tmp_path / "link.mp4"
    link.symlink_to(video)
    refuse_repeated([str(video), str(folder / "sub" / "a.MKV")])
    for other in (copy, link):
        with pytest.raises(InputError, match=rf"{other.name}: the same file as .*b\.mp4"):
            refuse_repeated([str(video), str(other)])
    with pytest.raises(InputError, match=r"b\.mp4: named twice"):
        refuse_repeated([str(video), str(video)])
