"""Running an app with uvicorn: on a free port, until it is told to stop, in a thread for tests."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import uvicorn

from llava_video.errors import InputError

KEEP_ALIVE_SECONDS = 30
START_SECONDS = 60.0
SILENT_SECONDS = 30.0
"""In which the headers of a connection's first request have to come."""

TICKS_PER_LOOK = 10
"""Of uvicorn's clock, a tenth of a second each."""


class WebServer(uvicorn.Server):
    """An app that listens.

    A signal (SIGTERM, SIGINT) ends it: it takes no new connection, completes what it is doing for
    at most ``drain_seconds``, and cancels the rest.

    Args:
        app: an ASGI application.
        host: a name or an address.
        port: 0 for a free one.
        drain_seconds: see above.
        max_connections: open at a time; others get a 503.
        on_stop: is called once, when it is told to stop.

    Raises:
        InputError: the port is taken, or the host is not of this machine.
    """

    def __init__(
        self,
        app: Any,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        drain_seconds: float = 5.0,
        max_connections: int | None = None,
        on_stop: Callable[[], None] | None = None,
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                ws="none",
                limit_concurrency=max_connections,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=max(1, round(drain_seconds)),
            )
        )
        self._on_stop = on_stop
        self._silent_since: dict[Any, float] = {}
        self._socket = _listen(host, port)
        name, self.port = self._socket.getsockname()[:2]
        self.url = f"http://[{name}]:{self.port}" if ":" in name else f"http://{name}:{self.port}"

    def serve_until_stopped(self) -> None:
        """Serve in this thread until a signal comes."""
        self.run(sockets=[self._socket])

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop; a second signal ends what is still being done."""
        self.force_exit = self.should_exit
        self.stop()

    async def on_tick(self, counter: int) -> bool:
        """See `uvicorn.Server`; closes connections that were opened and then say nothing."""
        if counter % TICKS_PER_LOOK == 0:
            now = time.monotonic()
            connections = self.server_state.connections
            silent = {one for one in connections if getattr(one, "cycle", one) is None}
            self._silent_since = {one: self._silent_since.get(one, now) for one in silent}
            for connection, since in self._silent_since.items():
                if now - since > SILENT_SECONDS and connection.transport is not None:
                    connection.transport.close()
        return await super().on_tick(counter)

    def stop(self) -> None:
        """What a signal does, from another thread."""
        self._stop_once()
        self.should_exit = True

    def _stop_once(self) -> None:
        on_stop, self._on_stop = self._on_stop, None
        if on_stop is not None:
            on_stop()


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listening = socket.create_server((host, port), family=family, backlog=512)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(
            f"{host}:{port}: {reason}; give another --port (0 for a free one)"
        ) from error
    # asyncio sets it only where a socket names its protocol. Without it the second part of a
    # response waits for the client's system to acknowledge the first: 40 ms.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


@contextmanager
def running(app: Any, **options: Any) -> Iterator[WebServer]:
    """An app that is served by a thread of this process while the block lasts.

    Args:
        app: an ASGI application.
        options: of `WebServer`.
    """
    server = WebServer(app, **options)
    thread = threading.Thread(target=server.serve_until_stopped, name="web", daemon=True)
    thread.start()
    started = threading.Event()
    for _ in range(round(START_SECONDS / 0.02)):
        if server.started or not thread.is_alive():
            break
        started.wait(0.02)
    try:
        if not server.started:
            raise InputError(f"{server.url}: the server did not start")
        yield server
    finally:
        server.stop()
        thread.join(START_SECONDS)
