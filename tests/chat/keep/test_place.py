"""The folder of the sockets is this user's alone; a place has one process at most."""

import json
import os
import socket
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from llava_video.chat.keep.place import (
    CannotKeepError,
    ModelKey,
    Place,
    check_socket,
    is_same_user,
    places,
    private_folder,
)
from llava_video.chat.model_request import ModelRequest

SOMEBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as somebody else")


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with TemporaryDirectory(prefix="keep-") as folder:
        monkeypatch.setenv("XDG_RUNTIME_DIR", folder)
        yield Path(folder)


@pytest.fixture
def place(runtime: Path) -> Place:
    folder = private_folder(make=True)
    assert folder is not None
    return Place.of(folder, ModelKey("tiny", "cpu"))


def test_the_folder_is_made_for_its_user_alone(runtime: Path) -> None:
    assert private_folder(make=False) is None
    folder = private_folder(make=True)
    assert folder == runtime / "llava-video"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert private_folder(make=False) == folder


@as_root
def test_the_runtime_folder_of_somebody_else_is_not_taken(
    runtime: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    os.chown(runtime, SOMEBODY, SOMEBODY)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert private_folder(make=True) == tmp_path / f"llava-video-{os.geteuid()}"


def test_a_folder_that_others_can_open_is_refused(runtime: Path) -> None:
    (runtime / "llava-video").mkdir(mode=0o755)
    with pytest.raises(CannotKeepError, match="others can open it; run `chmod 700 "):
        private_folder(make=True)


def test_a_link_is_refused(runtime: Path, tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    (runtime / "llava-video").symlink_to(tmp_path)
    with pytest.raises(CannotKeepError, match="belongs to somebody else"):
        private_folder(make=True)


@as_root
def test_the_folder_and_the_socket_of_somebody_else_are_refused(
    runtime: Path, place: Place
) -> None:
    place.socket.touch()
    os.chown(place.socket, SOMEBODY, SOMEBODY)
    with pytest.raises(CannotKeepError, match=r"\.sock: belongs to somebody else"):
        check_socket(place.socket)
    os.chown(runtime / "llava-video", SOMEBODY, SOMEBODY)
    with pytest.raises(CannotKeepError, match="llava-video: belongs to somebody else"):
        private_folder(make=True)


@as_root
def test_who_connects_is_known(runtime: Path) -> None:
    runtime.chmod(0o755)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(runtime / "open"))
        (runtime / "open").chmod(0o777)
        listener.listen()
        for user, is_ours in ((SOMEBODY, False), (os.geteuid(), True)):
            child = os.fork()
            if child == 0:
                os.setuid(user)
                with socket.socket(socket.AF_UNIX) as other:
                    other.connect(str(runtime / "open"))
                os._exit(0)
            connection, _ = listener.accept()
            with connection:
                assert is_same_user(connection) == is_ours
            assert os.waitpid(child, 0)[1] == 0


def test_an_address_that_is_too_long_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CannotKeepError, match="too long for a socket's address; set XDG_RUNTIME"):
        Place.of(tmp_path / ("x" * 80), ModelKey("tiny", "cpu"))


def test_a_lock_has_one_holder_who_says_who_it_is(place: Place) -> None:
    lock = place.try_lock()
    assert lock is not None
    assert place.try_lock() is None
    assert place.is_held()
    assert place.holder() is None  # it has not said so yet
    os.write(lock, json.dumps({"pid": os.getpid()}).encode())
    assert place.holder() == os.getpid()
    assert list(places(place.lock.parent)) == [place]
    os.close(lock)
    assert not place.is_held()
    assert place.holder() is None
    assert list(places(place.lock.parent)) == []


def test_models_are_told_by_directory_device_and_gpus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").symlink_to("a")
    monkeypatch.chdir(tmp_path)
    request = ModelRequest("a", "cpu")
    key = ModelKey.of(request)
    assert key == ModelKey.of(ModelRequest(str(tmp_path / "b"), "CPU", num_frames=3))
    for other in ({"device": "cuda"}, {"dtype": "float32"}, {"int8": True}):
        assert key != ModelKey.of(replace(request, **other))  # type: ignore[arg-type]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert key != ModelKey.of(request)
    assert ModelKey.of(ModelRequest("lab/model", "cpu")).model == "lab/model"
