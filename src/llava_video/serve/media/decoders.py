"""The server's side of the processes that read files: starts, bounds and ends them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from llava_video.errors import MediaRefused
from llava_video.serve.media import wire
from llava_video.serve.media.limits import MediaLimits
from llava_video.serve.media.sandbox import MAX_CPUS

T = TypeVar("T")

_START_SECONDS = 120.0
"""To import what the forkserver needs, on a busy machine."""

_END_SECONDS = 10.0
"""For a killed process to end; after that the forkserver itself is taken to hang."""

_ENVIRONMENT = {
    "LANG": "C.UTF-8",
    "MALLOC_ARENA_MAX": "2",  # each arena reserves address space
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "HF_HUB_OFFLINE": "1",
}


@dataclass(frozen=True)
class Taken:
    """What a process took.

    Attributes:
        status: as `os.wait4` gives it; None where the forkserver ended first.
        max_rss_bytes: the most memory it held, shared with the forkserver or not.
        cpu_seconds: processor time.
    """

    status: int | None = None
    max_rss_bytes: int = 0
    cpu_seconds: float = 0.0

    @property
    def signal(self) -> int | None:
        """What killed it."""
        killed = self.status is not None and os.WIFSIGNALED(self.status)
        return os.WTERMSIG(self.status or 0) if killed else None


class DecoderError(Exception):
    """A process ended before it gave its result.

    Args:
        reason: ``time``, ``memory``, ``crash`` (of its own making), ``killed`` (by others) or
            ``lost`` (the forkserver is gone).
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Decoders:
    """Starts a process per job, of which some run at a time.

    Args:
        limits: of each.

    Attributes:
        last_taken: what the process that ended last took.
        ends: how often processes ended without a result, by reason (`DecoderError`).
    """

    def __init__(self, limits: MediaLimits) -> None:
        self._limits = limits
        self._places = threading.BoundedSemaphore(limits.max_decoders)
        self._lock = threading.Lock()
        self._server: _ForkServer | None = None
        self._is_closed = False
        self.last_taken = Taken()
        self.ends: Counter[str] = Counter()

    def process_id(self) -> int:
        """Of the forkserver that there is now."""
        with self._lock:
            return self._current().process.pid

    def start(self) -> None:
        """Begin to start the forkserver, so that the first job need not wait as long."""
        with self._lock:
            self._current()

    def run(self, file: int, job: dict[str, Any], read: Callable[[socket.socket, float], T]) -> T:
        """Do a job in a process of its own.

        Args:
            file: a descriptor of the file to read.
            job: what to do with it.
            read: receives the result from a socket until a moment of the monotonic clock.

        Raises:
            DecoderError: the process ended, took too long, or sent no result.
            MediaRefused: the file is refused, or too many are being read.
        """
        limits = self._limits
        if not self._places.acquire(timeout=limits.max_seconds):
            raise MediaRefused("too many files are being read; ask again later", 503)
        try:
            with self._process() as (connection, end):
                deadline = time.monotonic() + limits.max_seconds
                num_cpus = min(MAX_CPUS, os.cpu_count() or 1)
                job["limits"] = {
                    "max_memory_bytes": limits.max_memory_bytes,
                    "max_cpu_seconds": max(1, round(limits.max_seconds * num_cpus)),
                    "max_pixels": limits.max_pixels_per_frame,
                    "codecs": sorted(limits.codecs),
                    "formats": limits.formats,
                }
                return self._read(connection, end, file, job, read, deadline)
        finally:
            self._places.release()

    def _read(
        self,
        connection: socket.socket,
        end: Callable[[], Taken],
        file: int,
        job: dict[str, Any],
        read: Callable[[socket.socket, float], T],
        deadline: float,
    ) -> T:
        try:
            connection.settimeout(self._limits.max_seconds)
            try:
                socket.send_fds(connection, [b"f"], [file])
                wire.send(connection, job)
            except OSError as error:
                raise wire.WireClosedError("the process is gone") from error
            result = read(connection, deadline)
        except MediaRefused:
            self.last_taken = end()
            raise
        except wire.WireTimeoutError as error:
            self.last_taken = end()
            self.ends["time"] += 1
            raise DecoderError("time") from error
        except wire.WireError as error:
            self.last_taken = taken = end()
            # One that sent nonsense may have been ended here, which is not the reason.
            is_gone = isinstance(error, wire.WireClosedError)
            reason = _reason(taken) if is_gone else "crash"
            self.ends[reason] += 1
            raise DecoderError(reason) from error
        self.last_taken = end()
        return result

    def _end(self, leash: socket.socket, server: _ForkServer) -> Taken:
        """Kill the process if it has not ended, wait for its end, and say what it took."""
        report = b""
        leash.settimeout(_END_SECONDS)
        try:
            leash.shutdown(socket.SHUT_WR)
            while part := leash.recv(4096):
                report += part
        except TimeoutError:  # the forkserver does not answer: end it, and its children with it
            self._replace(server)
        except OSError:
            pass
        if not report:
            return Taken()
        said = json.loads(report)
        unit = 1024 if sys.platform == "linux" else 1
        return Taken(said["status"], said["max_rss"] * unit, said["cpu_seconds"])

    @contextmanager
    def _process(self) -> Iterator[tuple[socket.socket, Callable[[], Taken]]]:
        """A socket to a new process for its job, and what ends it."""
        with contextlib.ExitStack() as stack:
            ends = [stack.enter_context(end) for _ in range(2) for end in socket.socketpair()]
            job, their_job, leash, their_leash = ends
            for attempt in range(2):
                with self._lock:
                    server = self._current()
                try:
                    server.hand_over([their_job, their_leash])
                    break
                except (OSError, wire.WireError) as error:
                    self._replace(server)
                    if attempt:
                        raise MediaRefused(
                            "the server cannot read files now; ask again later", 503
                        ) from error
            their_job.close()
            their_leash.close()
            yield job, partial(self._end, leash, server)

    def _replace(self, server: _ForkServer) -> None:
        """End a forkserver that does not do its work; the next job starts another one."""
        server.stop()
        with self._lock:
            if self._server is server:
                self._server = None

    def _current(self) -> _ForkServer:
        if self._is_closed:
            raise MediaRefused("the server is stopping; ask again later", 503)
        if self._server is None or not self._server.is_alive():
            if self._server is not None:
                self._server.stop()
            self._server = _ForkServer()
        return self._server

    def close(self) -> None:
        """End the forkserver and all its processes."""
        with self._lock:
            self._is_closed = True
            if self._server is not None:
                self._server.stop()
                self._server = None


def _reason(taken: Taken) -> str:
    if taken.status is None:
        return "lost"
    if taken.signal == signal.SIGXCPU:
        return "time"
    return "killed" if taken.signal in (signal.SIGKILL, signal.SIGTERM) else "crash"


class _ForkServer:
    """The process that forks the others, and the socket that tells it to."""

    def __init__(self) -> None:
        self._control, theirs = socket.socketpair()
        self._lock = threading.Lock()
        self._is_ready = False
        folders = os.pathsep.join(str(Path(path).absolute()) for path in sys.path if path)
        with theirs:
            self.process = subprocess.Popen(
                [
                    sys.executable, "-P", "-s", "-m", "llava_video.serve.media.forkserver",
                    str(theirs.fileno()),
                ],
                env={**_ENVIRONMENT, "PYTHONPATH": folders},
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )  # fmt: skip

    def is_alive(self) -> bool:
        return self.process.poll() is None

    def hand_over(self, ends: list[socket.socket]) -> None:
        """Fork a process that has these sockets.

        Raises:
            OSError, WireError: the forkserver is gone or does not start.
        """
        with self._lock:
            if not self._is_ready:
                try:
                    wire.receive_bytes(self._control, 1, time.monotonic() + _START_SECONDS)
                except wire.WireTimeoutError as error:
                    raise wire.WireError("it does not start") from error
                self._is_ready = True
            self._control.settimeout(_END_SECONDS)
            socket.send_fds(self._control, [b"f"], [end.fileno() for end in ends])

    def stop(self) -> None:
        self._control.close()
        self.process.kill()
        self.process.wait()
