"""Under its name there is the old file or the new one, whatever happens to who writes it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from llava_video.errors import InputError
from llava_video.records.files import write_whole, writing


def test_text_and_bytes_are_written_as_they_are(tmp_path: Path) -> None:
    for content in ("é\n", b"\xff\r\n"):
        path = tmp_path / "new" / "folder" / "file.txt"
        write_whole(path, content)
        assert path.read_bytes() == (content.encode() if isinstance(content, str) else content)
        assert [p.name for p in path.parent.iterdir()] == ["file.txt"]


@pytest.mark.parametrize("is_folder", [False, True])
def test_what_fails_leaves_the_old_and_nothing_else(tmp_path: Path, is_folder: bool) -> None:
    path = tmp_path / "thing.npy"
    path.write_text("old")
    with pytest.raises(RuntimeError), writing(path) as unfinished:
        if is_folder:
            unfinished.mkdir()
            (unfinished / "part").write_text("new")
        else:
            unfinished.write_text("new")
        assert path.read_text() == "old"
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_appears_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "model"
    with writing(path) as unfinished:
        unfinished.mkdir()
        (unfinished / "weights").write_text("all")
        assert not path.exists()
    assert (path / "weights").read_text() == "all"
    assert list(tmp_path.iterdir()) == [path]


def test_no_listing_takes_it_for_what_it_is_to_become(tmp_path: Path) -> None:
    with writing(tmp_path / "video.mp4") as unfinished:
        unfinished.touch()
        assert list(tmp_path.glob("*.mp4")) == []
        assert unfinished.name.startswith(".")


KILLED = """
import os, signal, sys
from pathlib import Path
from llava_video.records.files import writing

with writing(Path(sys.argv[1])) as unfinished:
    unfinished.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_kill_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")
    done = subprocess.run([sys.executable, "-c", KILLED, path], check=False)
    assert done.returncode == -signal.SIGKILL
    assert path.read_text() == "old"
    write_whole(path, "new")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_many_may_write_one_file_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "frames.npz"
    with writing(path, by_many=True) as ours:
        child = os.fork()
        if child == 0:
            with writing(path, by_many=True) as theirs:
                theirs.write_text("theirs")
            os._exit(0)
        ours.write_text("ours")
        assert os.waitpid(child, 0)[1] == 0
        assert path.read_text() == "theirs"
    assert path.read_text() == "ours"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_without_permission_is_one_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match=r"file\.txt: cannot be written \(Permission denied\)"):
        write_whole(tmp_path / "file.txt", "text")


def test_a_file_in_place_of_the_folder_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"cannot be written"):
        write_whole(tmp_path / "file" / "below.txt", "text")
