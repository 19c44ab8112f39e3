"""The process that keeps a model ready: ``python -m llava_video.chat.keep.process``.

It is started by `start.connect_or_start`. Each connection is one request, read in a thread of its
own; answers are given one after the other. torch is imported with the first request.
"""

from __future__ import annotations

import gc
import json
import os
import select
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any

from llava_video.chat.keep.place import PROGRAM, ModelKey, Place, is_same_user, places
from llava_video.chat.keep.start import START_SECONDS
from llava_video.chat.keep.wire import Message, error_to_dict, piece_to_dict, receive, send
from llava_video.chat.model_request import ModelRequest
from llava_video.chat.session_file import options_from_dict
from llava_video.errors import InputError, LlavaVideoError

if TYPE_CHECKING:
    from llava_video.chat.keep.host import Host
    from llava_video.chat.local_model import LocalModel

_LOOK_SECONDS = 0.5
"""How often a busy process looks whether it may go."""


class KeepProcess:
    """Listens at a place, answers, and ends after some time without a request.

    Args:
        place: where.
        key: of the model.
        keep_seconds: how long it stays without a request; a request may say another time.
    """

    def __init__(self, place: Place, key: ModelKey, keep_seconds: float) -> None:
        self._place = place
        self._key = key
        self._keep_seconds = keep_seconds
        self._host: Host | None = None
        self._answering = Lock()
        self._loading_ahead = Lock()
        self._importing = Lock()
        self._state = Lock()
        self._num_requests = 0
        self._idle_since = time.monotonic()
        self._was_found = False
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        before = os.umask(0o177)
        try:
            self._listener.bind(str(place.socket))
        finally:
            os.umask(before)
        self._inode = place.socket.lstat().st_ino
        self._listener.listen()

    def run(self) -> None:
        """Serve until there was no request for long enough."""
        while (seconds := self._remaining_seconds()) > 0:
            if select.select([self._listener], [], [], seconds)[0]:
                connection, _ = self._listener.accept()
                if not self._was_found:
                    self._was_found, self._idle_since = True, time.monotonic()
                Thread(target=self._serve, args=(connection,), daemon=True).start()
        self._leave()

    def _remaining_seconds(self) -> float:
        with self._state:
            if self._num_requests:
                return _LOOK_SECONDS
            if self._host is not None and self._host.is_empty:
                return 0.0  # nothing could be loaded that might be kept
            keep_seconds = self._keep_seconds
            if not self._was_found:  # who starts it must find it, however short it is to stay
                keep_seconds = max(keep_seconds, START_SECONDS)
            return keep_seconds - (time.monotonic() - self._idle_since)

    def _leave(self) -> None:
        """End; who has just connected sees the end, and starts anew."""
        with suppress(FileNotFoundError):
            if self._place.socket.lstat().st_ino == self._inode:
                self._place.socket.unlink()
        os._exit(0)  # threads may be answering

    def _serve(self, connection: socket.socket) -> None:
        """Reply to one request; who has gone cannot be told anything."""
        with connection, connection.makefile("rb") as lines, suppress(ConnectionError):
            if not is_same_user(connection):
                return
            send(connection, {"program": PROGRAM, "pid": os.getpid()})
            message = receive(lines)
            if message is None:
                return
            do = message["do"]
            if do == "status":
                send(connection, {"done": self._status()})
            elif do == "stop":
                if message["wait_for_answers"]:
                    self._answering.acquire()
                try:
                    send(connection, {"done": None})
                finally:  # the client may have gone, with the lock of answers taken
                    self._leave()
            else:
                with self._request(message["keep_seconds"]):
                    self._reply(connection, do, message)

    def _reply(self, connection: socket.socket, do: str, message: Message) -> None:
        # Media are loaded ahead while answers are given, which are given one after the other.
        with self._loading_ahead if do == "load_ahead" else self._answering:
            if has_gone(connection):  # while others were answered
                return
            try:
                host = self._get_host()
                model, notes = host.open(ModelRequest(**message["request"]))
                for note in notes:
                    send(connection, {"note": note})
                done = self._do(do, model, connection, message)
                send(connection, {"done": done})
            except LlavaVideoError as error:
                send(connection, {"error": error_to_dict(error)})

    def _do(self, do: str, model: LocalModel, connection: socket.socket, message: Message) -> Any:
        """What the last reply holds."""
        if do == "open":
            return {
                "device": str(model.device),
                "precision": model.precision,
                "representation": model.representation.to_dict(),
                "keep_seconds": self._keep_seconds,
            }
        if do == "fit_representation":
            return model.fit_representation(message["wanted"]).to_dict()
        conversations, options = message["conversations"], options_from_dict(message["options"])
        if do == "answer":
            pieces = model.answer(conversations, options)
            try:
                for piece in pieces:
                    if has_gone(connection):
                        break
                    send(connection, piece_to_dict(piece))
            finally:
                pieces.close()
            return None
        if do == "influence":
            (conversation,) = conversations
            span_frames = message["span_frames"]
            return model.influence(
                conversation, message["answer"], options, span_frames=span_frames
            ).to_dict()
        if do == "load_ahead":
            model.load_ahead(conversations, options, encode=message["encode"])
            return None
        raise InputError(f"a kept model cannot {do!r}")

    def _get_host(self) -> Host:
        with self._importing:
            if self._host is None:
                gc.disable()  # it finds nothing in what is imported, and takes its time
                from llava_video.chat.keep.host import Host

                gc.freeze()
                gc.enable()
                self._host = Host(self._key.model, self._others)
            return self._host

    def _others(self) -> Iterator[Place]:
        return (place for place in places(self._place.lock.parent) if place != self._place)

    @contextmanager
    def _request(self, keep_seconds: float | None) -> Iterator[None]:
        """While this lasts, the process stays; then its time begins anew."""
        with self._state:
            self._num_requests += 1
            if keep_seconds is not None:
                self._keep_seconds = keep_seconds
        try:
            yield
        finally:
            with self._state:
                self._num_requests -= 1
                self._idle_since = time.monotonic()

    def _status(self) -> Message:
        host = self._host
        with self._state:
            idle = 0.0 if self._num_requests else time.monotonic() - self._idle_since
            return {
                **asdict(self._key),
                "pid": os.getpid(),
                "device": None if host is None else host.device,
                "held_bytes": 0 if host is None else host.held_bytes,
                "is_busy": self._num_requests > 0,
                "idle_seconds": idle,
                "keep_seconds": self._keep_seconds,
            }


def has_gone(connection: socket.socket) -> bool:
    """Whether a client has closed its connection; it says nothing after its request."""
    return bool(select.select([connection], [], [], 0)[0])


def main() -> None:
    """Fork, so that this outlives the client as nobody's child, and serve."""
    lock, file, keep_seconds, key = sys.argv[1:]
    if os.fork():
        os._exit(0)
    os.set_inheritable(int(lock), False)
    place, model = Place(Path(file)), ModelKey(**json.loads(key))
    os.ftruncate(int(lock), 0)
    os.write(int(lock), json.dumps({"pid": os.getpid(), **asdict(model)}).encode())
    os.chdir(place.lock.parent)
    KeepProcess(place, model, float(keep_seconds)).run()


if __name__ == "__main__":
    main()
