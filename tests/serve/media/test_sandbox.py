"""What a process that reads a stranger's file cannot do any more."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from llava_video.serve.media import sandbox

pytestmark = pytest.mark.skipif(not sandbox.IS_LINUX, reason="limits are those of Linux")

SCRIPT = """
import json, os, resource, signal, socket, sys, threading
from llava_video.serve.media import sandbox

own, other, port, parent = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
file = os.open(own, os.O_RDONLY)
sandbox.give_up_privileges(os.getppid())
sandbox.set_limits(max_memory_bytes=64 << 20, max_cpu_seconds=5)
is_locked = sandbox.lock_files(file)

def outcome(work):
    try:
        work()
    except (OSError, MemoryError, RuntimeError) as error:
        return type(error).__name__
    return "done"

def connect():
    socket.create_connection(("127.0.0.1", port), timeout=5)

def open_many():
    for _ in range(1000):
        os.dup(file)

status = dict(line.split(":", 1) for line in open(f"/proc/self/fd/{file}") if ":" in line)
said = {
    "is_locked": is_locked,
    "own": status["a"].strip(),
    "other": outcome(lambda: os.open(other, os.O_RDONLY)),
    "folder": outcome(lambda: os.listdir("/")),
    "write": outcome(lambda: os.open(own, os.O_WRONLY)),
    "create": outcome(lambda: os.open(own + ".new", os.O_WRONLY | os.O_CREAT)),
    "connect": outcome(connect),
    "kill": outcome(lambda: os.kill(parent, 0)),
    "run": outcome(lambda: os.execv("/bin/true", ["true"])),
    "memory": outcome(lambda: bytearray(256 << 20)),
    "some memory": outcome(lambda: bytearray(16 << 20)),
    "thread": outcome(lambda: threading.Thread(target=int).start()),
    "descriptors": outcome(open_many),
    "core": resource.getrlimit(resource.RLIMIT_CORE),
    "is_leader": os.getsid(0) == os.getpid(),
}
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a process could do after it gave up the rest."""
    import socket

    folder = tmp_path_factory.mktemp("sandbox")
    (folder / "own").write_text("a: 1\n")
    (folder / "other").write_text("secret")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        names = [str(folder / "own"), str(folder / "other")]
        numbers = [str(listener.getsockname()[1]), str(os.getpid())]
        run = subprocess.run(
            [sys.executable, "-c", SCRIPT, *names, *numbers],
            capture_output=True,
            timeout=60,
            check=False,
        )
    assert run.returncode == 0, run.stderr.decode()
    found: dict[str, Any] = json.loads(run.stdout)
    return found


def test_its_own_file_is_read_and_threads_start(said: dict[str, Any]) -> None:
    assert said["own"] == "1"
    assert said["some memory"] == "done"
    assert said["thread"] == "done"


def test_it_takes_no_more_memory_and_descriptors_and_leaves_no_core(said: dict[str, Any]) -> None:
    assert said["memory"] == "MemoryError"
    assert said["descriptors"] == "OSError"
    assert said["core"] == [0, 0]


def test_it_has_a_session_of_its_own(said: dict[str, Any]) -> None:
    assert said["is_leader"]


@pytest.mark.parametrize("what", ["other", "folder", "write", "create", "run"])
def test_it_opens_and_runs_no_other_file(said: dict[str, Any], what: str) -> None:
    if not said["is_locked"]:
        pytest.skip("this kernel has no Landlock")
    assert said[what] == "PermissionError"


def test_it_connects_to_nothing_and_signals_nobody(said: dict[str, Any]) -> None:
    version = sandbox.landlock_version()
    if version < 6:
        pytest.skip("Landlock of this kernel knows files only")
    assert said["connect"] == "PermissionError"
    assert said["kill"] == "PermissionError"


def test_a_kernel_without_landlock_is_said_to_have_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "IS_LINUX", False)
    assert sandbox.landlock_version() == 0
    assert not sandbox.lock_files(os.open(Path(__file__), os.O_RDONLY))
