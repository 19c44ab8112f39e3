"""Forks a process for each file, from one that has imported what they need and knows no secret.

Not `multiprocessing`'s: that one has the environment of the server, of which there is one in a
process, and speaks pickle. For every byte on the control socket that brings two sockets, a process
is forked that reads a file by the first one (`decoder.run_job`). The second one is its leash: once
the server closes or shuts it, the process and its group are killed; when the process has ended, its
wait status and what it took are written there.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import socket
import sys
from typing import NoReturn

from llava_video.serve.media import decoder


def main() -> None:
    """Serve the socket whose descriptor is the only argument, until it is closed."""
    control = socket.socket(fileno=int(sys.argv[1]))
    decoder.warm_up()
    control.sendall(b"r")  # ready
    _ForkServer(control).serve()


class _ForkServer:
    """Keeps a leash per process."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._leashes: dict[int, socket.socket] = {}
        self._wakeup, wakeup = socket.socketpair()
        for end in (self._wakeup, wakeup):
            end.setblocking(False)
        self._wakeup_write = wakeup
        signal.set_wakeup_fd(wakeup.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # the server's end ends this process
        self._selector = selectors.DefaultSelector()
        self._selector.register(control, selectors.EVENT_READ)
        self._selector.register(self._wakeup, selectors.EVENT_READ)

    def serve(self) -> None:
        """Until the server is gone."""
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._control:
                    if not self._accept():
                        for process in self._leashes:
                            _kill(process)
                        return
                elif key.fileobj is self._wakeup:
                    self._reap()
                elif self._leashes.get(key.data) is key.fileobj:  # else it has just ended
                    self._selector.unregister(key.fileobj)
                    _kill(key.data)

    def _accept(self) -> bool:
        try:
            byte, files, _, _ = socket.recv_fds(self._control, 1, 2)
        except ConnectionError:
            return False
        if not byte:
            return False
        if len(files) != 2:
            for file in files:
                os.close(file)
            return True
        job, leash = (socket.socket(fileno=file) for file in files)
        parent = os.getpid()
        try:
            process = os.fork()
        except OSError:  # no process to be had: both are closed, and the server sees that
            job.close()
            leash.close()
            return True
        if process == 0:
            self._become_decoder(job, leash, parent)
        job.close()
        self._leashes[process] = leash
        self._selector.register(leash, selectors.EVENT_READ, process)
        return True

    def _become_decoder(self, job: socket.socket, leash: socket.socket, parent: int) -> NoReturn:
        try:
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_DFL)
            self._selector.close()
            for end in (self._control, self._wakeup, self._wakeup_write, leash):
                end.close()
            for other in self._leashes.values():
                other.close()
            for file in (1, 2):  # where the server's log is
                os.dup2(0, file)
            decoder.run_job(job, parent)
        except BaseException:  # noqa: BLE001  (nobody reads what it would print)
            os._exit(1)
        os._exit(0)

    def _reap(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._wakeup.recv(4096):
                pass
        while True:
            try:
                process, status, used = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if process == 0:
                return
            leash = self._leashes.pop(process)
            with contextlib.suppress(KeyError):
                self._selector.unregister(leash)
            seconds = used.ru_utime + used.ru_stime
            report = {"status": status, "max_rss": used.ru_maxrss, "cpu_seconds": seconds}
            with contextlib.suppress(OSError):
                leash.sendall(json.dumps(report).encode())
            leash.close()


def _kill(process: int) -> None:
    """Kill a child that was not waited for yet, so that its number is its own, and its group."""
    for kill in (os.kill, os.killpg):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            kill(process, signal.SIGKILL)


if __name__ == "__main__":
    main()
