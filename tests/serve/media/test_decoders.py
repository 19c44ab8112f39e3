"""Processes that read files: what they inherit, and that each ends, whatever it does."""

import os
import resource
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from threading import Thread

import pytest
from PIL import Image

from llava_video.chat.protocol import Sampling
from llava_video.errors import MediaRefused
from llava_video.serve.media import MediaGuard, MediaLimits, MediaSource, decoders, forkserver
from tests.serve.attacks.hostile_files import gif_of_many_frames
from tests.video.media import write_video

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

LIMITS = MediaLimits(max_seconds=20.0, max_memory_bytes=96 << 20)


@pytest.fixture(scope="module")
def own_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("media")
    write_video(folder / "good.mp4", num_frames=10)
    for number in range(4):  # different files: a refusal is remembered
        (folder / f"slow-{number}.gif").write_bytes(gif_of_many_frames(300_000) + bytes(number))
    Image.new("RGB", (6000, 6000)).save(folder / "large.png")
    return folder


@pytest.fixture(scope="module")
def guard(own_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MediaGuard]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SECRET_OF_THE_SERVER", "hidden")
        made = MediaGuard(MediaSource(own_root), LIMITS, tmp_path_factory.mktemp("guard"))
        read_good(made)
    yield made
    server = made.decoders._server
    assert server is not None
    server._control.close()  # as the end of this process would
    assert server.process.wait(30) == 0
    made.close()


def read_good(guard: MediaGuard) -> None:
    """A sound file is read, anew."""
    read_good.number += 1  # type: ignore[attr-defined]
    sampling = Sampling(start_seconds=read_good.number / 1e6)  # type: ignore[attr-defined]
    frames = guard.read_video(guard.fetch("good.mp4"), sampling, max_frames=2, size=(16, 16))
    assert len(frames) == 2


read_good.number = 0  # type: ignore[attr-defined]


def read_slow(guard: MediaGuard, number: int) -> MediaRefused:
    """Why a file that takes long is not read in the end."""
    with pytest.raises(MediaRefused) as caught:
        guard.read_video(guard.fetch(f"slow-{number}.gif"), Sampling(), max_frames=2, size=(16, 16))
    return caught.value


def server_of(guard: MediaGuard) -> int:
    server = guard.decoders._server
    assert server is not None
    return server.process.pid


def children_of(process: int) -> list[int]:
    return [
        int(word) for word in Path(f"/proc/{process}/task/{process}/children").read_text().split()
    ]


def is_locked(process: int) -> bool:
    """Whether it has given up the rest; from then on it ends with its parent."""
    try:
        return resource.prlimit(process, resource.RLIMIT_FSIZE)[0] == 0
    except ProcessLookupError:
        return False


def while_reading(guard: MediaGuard, number: int, act: object) -> MediaRefused:
    """Read a slow file, and do something once a process is at it."""
    caught: list[MediaRefused] = []
    thread = Thread(target=lambda: caught.append(read_slow(guard, number)))
    thread.start()
    until = time.monotonic() + 30
    while not any(map(is_locked, children_of(server_of(guard)))) and time.monotonic() < until:
        time.sleep(0.005)
    act(guard)  # type: ignore[operator]
    thread.join(60)
    return caught[0]


def test_what_reads_files_has_no_secret_and_no_socket_of_the_server(guard: MediaGuard) -> None:
    place = Path(f"/proc/{server_of(guard)}")
    assert forkserver.__name__.encode() in place.joinpath("cmdline").read_bytes()
    environment = place.joinpath("environ").read_bytes()
    assert b"SECRET" not in environment
    assert {pair.split(b"=")[0] for pair in environment.split(b"\0") if pair} == {
        b"LANG", b"MALLOC_ARENA_MAX", b"OMP_NUM_THREADS", b"MKL_NUM_THREADS", b"HF_HUB_OFFLINE",
        b"PYTHONPATH",
    }  # fmt: skip
    sockets = [link for link in place.joinpath("fd").iterdir() if "socket" in str(link.readlink())]
    assert len(sockets) == 3  # to the server, and two that wake it


def test_a_file_that_takes_too_long_is_left(
    guard: MediaGuard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard.decoders, "_limits", replace(LIMITS, max_seconds=0.3))
    start = time.monotonic()
    refusal = read_slow(guard, 0)
    assert (refusal.status, "longer" in str(refusal)) == (422, True)
    assert time.monotonic() - start < 60
    assert children_of(server_of(guard)) == []
    before = guard.decoders.last_taken
    assert "longer" in str(read_slow(guard, 0))  # as it was said before
    assert guard.decoders.last_taken is before
    monkeypatch.undo()
    read_good(guard)


def test_a_file_that_takes_too_much_memory_is_refused(guard: MediaGuard) -> None:
    with pytest.raises(MediaRefused, match="memory") as caught:
        guard.read_picture(guard.fetch("large.png"))
    assert caught.value.status == 413
    read_good(guard)


def kill_the_reader(guard: MediaGuard) -> None:
    for process in children_of(server_of(guard)):
        os.kill(process, signal.SIGKILL)


def kill_the_forkserver(guard: MediaGuard) -> None:
    os.kill(server_of(guard), signal.SIGKILL)


def test_a_process_that_is_killed_ends_its_request_only(guard: MediaGuard) -> None:
    assert while_reading(guard, 1, kill_the_reader).status == 503
    read_good(guard)


def test_a_forkserver_that_is_killed_is_started_again(guard: MediaGuard) -> None:
    before = server_of(guard)
    processes: list[int] = []

    def act(guard: MediaGuard) -> None:
        processes.extend(children_of(before))
        kill_the_forkserver(guard)

    assert while_reading(guard, 2, act).status == 503
    read_good(guard)
    assert server_of(guard) != before
    for process in processes:  # they end with their parent
        until = time.monotonic() + 10
        with suppress(FileNotFoundError):
            while "Z" not in Path(f"/proc/{process}/stat").read_text().rpartition(")")[2][:3]:
                assert time.monotonic() < until
                time.sleep(0.01)


def test_a_forkserver_that_hangs_is_replaced(
    guard: MediaGuard, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = server_of(guard)
    monkeypatch.setattr(decoders, "_END_SECONDS", 0.5)
    monkeypatch.setattr(guard.decoders, "_limits", replace(LIMITS, max_seconds=1.0))
    os.kill(before, signal.SIGSTOP)
    start = time.monotonic()
    assert read_slow(guard, 3).status in (422, 503)
    assert time.monotonic() - start < 60
    monkeypatch.undo()
    read_good(guard)
    assert server_of(guard) != before


def test_too_many_at_a_time_are_told_to_come_back(
    guard: MediaGuard, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(LIMITS.max_decoders):
        assert guard.decoders._places.acquire(timeout=5)
    monkeypatch.setattr(guard.decoders, "_limits", replace(LIMITS, max_seconds=0.1))
    with pytest.raises(MediaRefused) as caught:
        read_good(guard)
    assert caught.value.status == 503
    for _ in range(LIMITS.max_decoders):
        guard.decoders._places.release()
    monkeypatch.undo()
    read_good(guard)
