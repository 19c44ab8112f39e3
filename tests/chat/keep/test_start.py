"""Processes that keep models: one for each, found, started, replaced, stopped; without a model."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from llava_video.chat.keep.place import PROGRAM, CannotKeepError, ModelKey, Place, private_folder
from llava_video.chat.keep.start import (
    BrokenOffError,
    Connection,
    ask_once,
    connect,
    connect_or_start,
    stop,
)
from llava_video.chat.keep.status import kept_models
from tests.chat.keep.processes import start_other, wait_until

KEY = ModelKey("tiny", "cpu")
SAID: list[str] = []


@pytest.fixture
def place(folder: Path) -> Iterator[Place]:
    made = private_folder(make=True)
    assert made == folder
    SAID.clear()
    place = Place.of(made, KEY)
    yield place
    stop(place)
    place.socket.unlink(missing_ok=True)


def start(place: Place, keep_seconds: float = 60.0) -> int:
    """The process of a place, started where there is none."""
    with closing(connect_or_start(place, KEY, keep_seconds, SAID.append)) as connection:
        assert connection.program == PROGRAM
        return connection.pid


def test_a_process_is_started_once_and_found_again(place: Place) -> None:
    assert connect(place) is None
    pid = start(place)
    assert pid not in (0, os.getpid())
    assert start(place) == pid
    assert place.socket.stat().st_mode & 0o777 == 0o600
    (kept,) = kept_models()
    assert (kept.pid, kept.model, kept.wanted_device) == (pid, "tiny", "cpu")
    assert (kept.device, kept.held_bytes, kept.is_busy) == (None, 0, False)
    assert "min more" in kept.state
    assert os.getsid(pid) != os.getsid(0)  # no Ctrl-C of this terminal reaches it


def test_of_two_that_start_it_at_once_one_does(place: Place) -> None:
    pids: list[int] = []
    threads = [threading.Thread(target=lambda: pids.append(start(place))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(pids) == 4
    assert len(set(pids)) == 1


def test_after_a_kill_the_stale_socket_is_replaced(place: Place) -> None:
    pid = start(place)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not place.is_held())
    assert place.socket.exists()
    assert connect(place) is None
    assert kept_models() == []
    assert start(place) != pid


def test_another_version_ends_and_this_one_starts(place: Place) -> None:
    other = start_other(place, KEY, "version")
    pid = start(place)
    assert pid == place.holder() != other
    assert SAID == [
        "tiny: was kept by another version of llava-video, which ends now",
        "tiny: stays ready for 60 s after each answer; `llava-video stop` ends it",
    ]


def test_without_a_request_it_ends_and_takes_its_socket_along(place: Place) -> None:
    start(place, keep_seconds=0.3)
    wait_until(lambda: not place.is_held())
    assert not place.socket.exists()
    start(place)


def test_a_process_leaves_the_socket_of_its_successor_alone(place: Place, tmp_path: Path) -> None:
    start(place, keep_seconds=5.0)
    place.socket.unlink()  # as a cleaner of temporary files does
    place.socket.touch()
    wait_until(lambda: not place.is_held())
    assert place.socket.exists()


def test_stopping_ends_it_and_stopping_nothing_does_nothing(place: Place) -> None:
    start(place)
    stop(place)
    assert not place.is_held()
    assert not place.socket.exists()
    stop(place)
    assert ask_once(place, {"do": "status"}) is None


def test_one_that_hangs_is_listed_and_killed(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llava_video.chat.keep.start.GO_SECONDS", 0.2)
    pid = start(place)
    os.kill(pid, signal.SIGSTOP)
    (kept,) = kept_models()
    assert kept.state == "does not reply; `llava-video stop` ends it"
    with pytest.raises(CannotKeepError, match="does not reply; `llava-video stop` ends it"):
        connect(place, wait_seconds=0.1)
    stop(place)
    assert not place.is_held()


def test_what_is_in_the_way_is_one_line(place: Place) -> None:
    place.socket.mkdir()
    try:
        with pytest.raises(CannotKeepError, match=r"\.sock: is in the way \(.*\); remove it$"):
            start(place)
    finally:
        place.socket.rmdir()


def test_a_request_that_fails_by_surprise_is_one_line_and_the_process_stays(place: Place) -> None:
    pid = start(place)
    connection = connect(place)
    assert isinstance(connection, Connection)
    with (
        closing(connection),
        pytest.raises(BrokenOffError, match=rf"^the kept model broke off \(process {pid} "),
    ):
        list(connection.ask({"what": "is this?"}))
    wait_until(lambda: "KeyError" in place.log.read_text())
    assert start(place) == pid
