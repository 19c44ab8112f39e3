"""The folder of downloads: bounded, and empty of what nobody holds."""

import errno
import shutil
from pathlib import Path

import pytest

from llava_video.errors import MediaRefused
from llava_video.serve.media.folder import MediaFolder, Writing


def fill(*parts: bytes):
    def write(file: Writing) -> str:
        for part in parts:
            file.write(part)
        return "film"

    return write


def test_a_file_lives_as_long_as_somebody_holds_it(tmp_path: Path) -> None:
    folder = MediaFolder(tmp_path / "folder", 100)
    file = folder.store(fill(b"abc", b"de"))
    assert (file.path.read_bytes(), file.num_bytes, file.name) == (b"abcde", 5, "film")
    path = file.path
    del file
    assert not path.exists()
    assert folder.num_bytes == 0


def test_files_beyond_the_limit_wait_for_others_to_go(tmp_path: Path) -> None:
    folder = MediaFolder(tmp_path / "folder", 10)
    first = folder.store(fill(b"a" * 6))
    with pytest.raises(MediaRefused) as caught:
        folder.store(fill(b"b" * 3, b"b" * 3))
    assert caught.value.status == 503
    assert list((tmp_path / "folder").iterdir()) == [first.path]
    assert folder.num_bytes == 6
    del first
    assert folder.store(fill(b"b" * 10)).num_bytes == 10


def test_what_fails_half_way_leaves_nothing(tmp_path: Path) -> None:
    folder = MediaFolder(tmp_path / "folder", 100)

    def full_disk(file: Writing) -> str:
        file.write(b"abc")
        raise OSError(errno.ENOSPC, "No space left on device", "/secret/path")

    def refused(file: Writing) -> str:
        file.write(b"abc")
        raise MediaRefused("too large", 413)

    for write, status in ((full_disk, 503), (refused, 413)):
        with pytest.raises(MediaRefused) as caught:
            folder.store(write)
        assert caught.value.status == status
        assert "/secret" not in str(caught.value)
        assert list((tmp_path / "folder").iterdir()) == []
        assert folder.num_bytes == 0


def test_a_folder_that_somebody_removed_is_made_again(tmp_path: Path) -> None:
    folder = MediaFolder(tmp_path / "folder", 100)
    first = folder.store(fill(b"abc"))
    shutil.rmtree(tmp_path / "folder")
    assert folder.store(fill(b"abc")).num_bytes == 3
    del first
    folder.close()
    assert not (tmp_path / "folder").exists()
