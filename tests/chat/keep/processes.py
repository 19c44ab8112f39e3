"""Processes of kept models that tests start themselves."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import pytest

from llava_video.chat.keep.place import ModelKey, Place
from llava_video.chat.keep.start import connect, stop
from llava_video.chat.keep.status import kept_models
from tests.chat.keep import other_process


@contextmanager
def own_folder() -> Iterator[Path]:
    """A folder for the sockets of some tests, whose name is short enough."""
    runtime = Path(tempfile.mkdtemp(prefix="keep-"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(runtime))
        yield runtime / "llava-video"
        for kept in kept_models():
            stop(kept.place)
    shutil.rmtree(runtime)


def start_other(place: Place, key: ModelKey, *words: object) -> int:
    """Start `tests.chat.keep.other_process` there."""
    lock = place.try_lock()
    assert lock is not None
    arguments = [*words, lock, place.lock, 60.0, json.dumps(asdict(key))]
    command = [sys.executable, "-m", other_process.__name__, *map(str, arguments)]
    subprocess.run(command, pass_fds=[lock], check=True, cwd=Path(__file__).parents[3])
    os.close(lock)
    wait_until(lambda: _listens(place))
    pid = place.holder()
    assert pid is not None
    return pid


def _listens(place: Place) -> bool:
    connection = connect(place)
    if connection is None:
        return False
    connection.close()
    return True


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)
