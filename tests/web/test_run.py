"""Serving an app: a free port, a slow body, a silent connection, an orderly end."""

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import httpx2 as httpx
import pytest
from fastapi import FastAPI, Request

from llava_video.errors import InputError
from llava_video.web import run
from llava_video.web.app import make_app
from llava_video.web.run import WebServer, running


def an_app(**options: float) -> FastAPI:
    app = make_app(**{"max_body_bytes": 100, "max_body_seconds": 5.0, **options})  # type: ignore[arg-type]

    @app.post("/echo")
    async def echo(request: Request) -> dict[str, int]:
        return {"length": len(await request.body())}

    @app.get("/fail")
    async def fail() -> None:
        raise RuntimeError("secret")

    return app


def test_it_listens_on_a_free_port_until_it_is_stopped() -> None:
    with running(an_app()) as server:
        assert httpx.post(f"{server.url}/echo", content=b"abc").json() == {"length": 3}
    with pytest.raises(httpx.TransportError):
        httpx.post(f"{server.url}/echo", content=b"abc")


def test_parts_of_a_response_do_not_wait_for_one_another() -> None:
    with running(an_app()) as server, httpx.Client(base_url=server.url) as client:
        client.post("/echo", content=b"abc")
        (connection,) = server.server_state.connections
        accepted = connection.transport.get_extra_info("socket")
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_port_that_is_taken_is_an_error() -> None:
    with (
        running(an_app()) as server,
        pytest.raises(InputError, match="--port"),
    ):
        WebServer(an_app(), port=server.port)
    with pytest.raises(InputError, match="--port"):
        WebServer(an_app(), host="no.such.host.invalid")


def test_bodies_are_bounded_in_bytes_and_time() -> None:
    with running(an_app()) as server:
        assert httpx.post(f"{server.url}/echo", content=b"x" * 101).status_code == 413
        assert httpx.post(f"{server.url}/echo", content=iter([b"x" * 60] * 2)).status_code == 413
    with running(an_app(max_body_seconds=0.3)) as server:
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as slow:
            slow.sendall(b"POST /echo HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\nx")
            answer = b""
            while more := slow.recv(4096):  # the server closes the connection
                answer += more
        assert answer.startswith(b"HTTP/1.1 408")
        assert b'"error"' in answer


def test_bodies_are_bounded_together() -> None:
    head = b"POST /echo HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\n"
    with running(an_app(max_body_seconds=30.0)) as server, ExitStack() as open_ones:
        for _ in range(16):
            connection = open_ones.enter_context(
                socket.create_connection(("127.0.0.1", server.port), timeout=20)
            )
            connection.sendall(head + b"x" * 99)
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as one_more:
            one_more.sendall(head + b"x" * 99)
            assert one_more.recv(4096).startswith(b"HTTP/1.1 429")
        open_ones.close()
        # What clients that have left had sent is not held any more.
        until, answer = time.monotonic() + 20, b""
        while not answer.startswith(b"HTTP/1.1 200") and time.monotonic() < until:
            with socket.create_connection(("127.0.0.1", server.port), timeout=20) as another:
                another.sendall(head + b"x" * 100)
                answer = another.recv(4096)
        assert answer.startswith(b"HTTP/1.1 200")


def test_a_refusal_reaches_a_client_that_has_sent_a_body() -> None:
    with running(an_app()) as server, httpx.Client(base_url=server.url) as client:
        for _ in range(20):
            assert client.post("/nothing", content=b"x" * 90).status_code == 404
        assert client.post("/nothing", content=iter([b"x"] * 90)).status_code == 404
        refused = client.post("/echo", content=b"x" * 90, headers={"host": "evil.example"})
        assert refused.status_code == 403
        assert client.post("/echo", content=b"x" * 90).json() == {"length": 90}


@pytest.mark.parametrize("length", ["-1", "1e3", "9" * 30, "abc"])
def test_a_length_that_is_none_is_refused(length: str) -> None:
    with (
        running(an_app()) as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection,
    ):
        head = f"POST /echo HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n\r\n"
        connection.sendall(head.encode())
        assert connection.recv(4096).split(b" ")[1] in (b"400", b"413")


def test_an_exception_says_nothing() -> None:
    with running(an_app()) as server:
        response = httpx.get(f"{server.url}/fail")
    assert response.status_code == 500
    assert response.headers["x-request-id"] in response.json()["error"]["message"]
    assert "secret" not in response.text


def test_a_connection_that_says_nothing_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "SILENT_SECONDS", 0.2)
    with (
        running(an_app()) as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=20) as silent,
    ):
        silent.sendall(b"GET / HT")
        assert silent.recv(10) == b""


def test_a_stop_waits_for_what_is_being_answered() -> None:
    app = an_app()
    stopped = []
    is_slow = threading.Event()

    @app.get("/slow")
    def slow() -> str:
        is_slow.set()
        time.sleep(0.5)
        return "done"

    with (
        running(app, on_stop=lambda: stopped.append(True)) as server,
        ThreadPoolExecutor(1) as pool,
    ):
        response = pool.submit(httpx.get, f"{server.url}/slow")
        assert is_slow.wait(20)
        server.stop()
        assert response.result().json() == "done"
    assert stopped == [True]
