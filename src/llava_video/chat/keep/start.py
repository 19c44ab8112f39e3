"""Find the process of a kept model, start it, tell it to go."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from llava_video.chat.keep.place import (
    PROGRAM,
    CannotKeepError,
    ModelKey,
    Place,
    check_socket,
    is_same_user,
)
from llava_video.chat.keep.wire import Message, error_from_dict, receive, send
from llava_video.errors import LlavaVideoError

START_SECONDS = 60.0
"""The longest wait for a process to listen, or to say who it is."""

GO_SECONDS = 5.0
"""What a process gets to end by itself when it is stopped."""

_STEP_SECONDS = 0.02


class BrokenOffError(LlavaVideoError):
    """A kept process ended, or closed the connection, before its answer was complete."""


class Connection:
    """One request to a kept process, and what it replies.

    Attributes:
        program: which version of llava-video is at the other end.
        pid: of the process.
    """

    def __init__(self, connection: socket.socket, place: Place) -> None:
        self._connection = connection
        self._place = place
        self._lines = connection.makefile("rb")
        self.program = ""
        self.pid = 0

    def close(self) -> None:
        """End the request; what is still being answered is cancelled."""
        self._lines.close()
        self._connection.close()

    def greet(self, wait_seconds: float) -> bool:
        """Read who is there; False where the process is about to end."""
        self._connection.settimeout(wait_seconds)
        try:
            hello = receive(self._lines)
        except TimeoutError:
            raise CannotKeepError(
                "a kept model does not reply; `llava-video stop` ends it"
            ) from None
        except ConnectionResetError:
            hello = None
        self._connection.settimeout(None)
        if hello is None:
            return False
        self.program, self.pid = hello["program"], hello["pid"]
        return True

    def ask(self, message: Message) -> Iterator[tuple[str, Any]]:
        """Send a request.

        Yields:
            Kind and content of each reply; the last is ``done``.

        Raises:
            LlavaVideoError: what went wrong at the other end.
            BrokenOffError: the process is gone.
        """
        reply: Message | None = None
        try:
            send(self._connection, message)
            while (reply := receive(self._lines)) is not None:
                ((kind, content),) = reply.items()
                if kind == "error":
                    raise error_from_dict(content)
                yield kind, content
                if kind == "done":
                    return
        except (BrokenPipeError, ConnectionResetError):
            pass
        raise BrokenOffError(
            f"the kept model broke off (process {self.pid} was stopped, or failed); ask again, "
            f"or see {self._place.log}"
        )


def connect(place: Place, wait_seconds: float = START_SECONDS) -> Connection | None:
    """A connection to the process of a kept model; None where there is none.

    Args:
        place: of the model.
        wait_seconds: the longest wait for it to say who it is.

    Raises:
        CannotKeepError: somebody else listens there, or the process does not reply.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        check_socket(place.socket)
        connection.connect(str(place.socket))
    except (FileNotFoundError, ConnectionRefusedError):
        connection.close()
        return None
    except OSError as error:
        connection.close()
        raise CannotKeepError(
            f"{place.socket}: cannot be opened ({error.strerror}); remove it"
        ) from error
    except CannotKeepError:
        connection.close()
        raise
    found = Connection(connection, place)
    if not is_same_user(connection):
        found.close()
        raise CannotKeepError(f"{place.socket}: a process of somebody else listens there")
    if found.greet(wait_seconds):
        return found
    found.close()
    return None


def connect_or_start(
    place: Place, key: ModelKey, keep_seconds: float, say: Callable[[str], None]
) -> Connection:
    """A connection to the process of a model, which is started if there is none.

    Of several that start one at once, the one with the lock does; the others wait for it. The
    process inherits the lock, so that it is free as soon as the process has ended, however it did.

    Args:
        place: of the model.
        key: of the model.
        keep_seconds: without a request after which it ends.
        say: is told what happens.

    Raises:
        CannotKeepError: it cannot be started.
        CheckpointError: there is no such model.
    """
    deadline = time.monotonic() + START_SECONDS
    is_started = is_downloaded = False
    while time.monotonic() < deadline:
        connection = connect(place)
        if connection is not None and connection.program == PROGRAM:
            return connection
        if connection is not None:
            connection.close()
            say(f"{key.model}: was kept by another version of llava-video, which ends now")
            stop(place, wait_for_answers=True)
        if not is_downloaded:
            _download(key.model)
            is_downloaded, deadline = True, time.monotonic() + START_SECONDS
        lock = place.try_lock()
        if lock is None:
            time.sleep(_STEP_SECONDS)
            continue
        try:
            if is_started:
                raise CannotKeepError(
                    f"the process of a kept model ended as it began; see {place.log}"
                )
            os.ftruncate(lock, 0)  # it named a process that has ended
            _remove_stale(place)
            _start_process(place, key, keep_seconds, lock)
            say(
                f"{key.model}: stays ready for {keep_seconds:,.0f} s after each answer; "
                "`llava-video stop` ends it"
            )
            is_started = True
        finally:
            os.close(lock)
    raise CannotKeepError(
        f"no kept model replied within {START_SECONDS:.0f} s; `llava-video stop` ends it"
    )


def _download(model: str) -> None:
    """Have a model of the hub on the disk, where its progress is seen; the process has no terminal.

    Raises:
        CheckpointError: there is no such model.
    """
    if model == "tiny" or Path(model).is_absolute():
        return
    from llava_video.checkpoints.load import find_checkpoint

    find_checkpoint(model)


def _remove_stale(place: Place) -> None:
    """Remove a socket where nobody listens any more."""
    try:
        place.socket.unlink(missing_ok=True)
    except OSError as error:
        raise CannotKeepError(
            f"{place.socket}: is in the way ({error.strerror}); remove it"
        ) from error


def _start_process(place: Place, key: ModelKey, keep_seconds: float, lock: int) -> None:
    """Start a process that leaves this one's terminal and outlives it."""
    # -P: no module is imported from the folder in which somebody asks.
    command = [sys.executable, "-P", "-m", "llava_video.chat.keep.process"]
    log = os.open(place.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        subprocess.run(
            [*command, str(lock), str(place.lock), str(keep_seconds), json.dumps(asdict(key))],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=[lock],
            start_new_session=True,
            check=True,  # it forks, and this first process ends at once
        )
    except (OSError, subprocess.CalledProcessError) as error:
        raise CannotKeepError(
            f"no process can be started that keeps a model ({error}); see {place.log}"
        ) from error
    finally:
        os.close(log)


def ask_once(place: Place, message: Message, wait_seconds: float = START_SECONDS) -> Any:
    """What a kept process replies at the end of a request; None where it is gone.

    Raises:
        CannotKeepError: it does not reply.
    """
    connection = connect(place, wait_seconds)
    if connection is None:
        return None
    with closing(connection):
        try:
            return [content for kind, content in connection.ask(message) if kind == "done"][-1]
        except BrokenOffError:
            return None


def stop(place: Place, *, wait_for_answers: bool = False) -> None:
    """End the process of a kept model, and return when its memory is free.

    Args:
        place: of the model.
        wait_for_answers: whether answers on their way may be completed; otherwise the process has
            `GO_SECONDS`.
    """
    pid = place.holder()
    if pid is None:
        return
    try:
        ask_once(
            place,
            {"do": "stop", "wait_for_answers": wait_for_answers},
            START_SECONDS if wait_for_answers else GO_SECONDS,
        )
    except CannotKeepError:
        wait_for_answers = False  # it hangs
    deadline = time.monotonic() + GO_SECONDS
    while place.holder() == pid:
        if not wait_for_answers and time.monotonic() > deadline:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(_STEP_SECONDS)
