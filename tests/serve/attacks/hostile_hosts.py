"""A host on loopback that answers as no honest one does, and names that lead to places."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress

Answer = bytes | Callable[[], Iterator[bytes]]

_PATIENCE_SECONDS = 10.0


class HostileHost:
    """Sends to whoever asks for a path the bytes that stand for it, and counts who came.

    Args:
        answers: bytes, or a function that makes them as time goes by.
    """

    def __init__(self, answers: Mapping[str, Answer]) -> None:
        self.answers = dict(answers)
        self.num_connections = 0
        self.requests: list[bytes] = []
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        self._socket.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                self.num_connections += 1
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection, suppress(OSError, IndexError):
            connection.settimeout(_PATIENCE_SECONDS)
            request = b""
            while b"\r\n\r\n" not in request and (more := connection.recv(4096)):
                request += more
            self.requests.append(request)
            answer = self.answers.get(request.split()[1].decode(), b"HTTP/1.1 404 No\r\n\r\n")
            for part in (answer,) if isinstance(answer, bytes) else answer():
                connection.sendall(part)


def whole(content: bytes, *headers: str) -> bytes:
    """An honest answer."""
    lines = [f"Content-Length: {len(content)}", *headers]
    return "\r\n".join(["HTTP/1.1 200 OK", *lines, "", ""]).encode() + content


def moved(target: str, status: int = 302) -> bytes:
    """A redirect."""
    return f"HTTP/1.1 {status} Moved\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n".encode()


def dripping(head: bytes, drop: bytes, seconds: float = 0.05) -> Callable[[], Iterator[bytes]]:
    """A beginning, and then the same few bytes now and then, for ever."""

    def drip() -> Iterator[bytes]:
        yield head
        while True:
            time.sleep(seconds)
            yield drop

    return drip


def endless(head: bytes, part: bytes) -> Callable[[], Iterator[bytes]]:
    """A beginning, and then the same bytes as fast as they are taken."""

    def flood() -> Iterator[bytes]:
        yield head
        while True:
            yield part

    return flood


def silent() -> Iterator[bytes]:
    """Nothing, for a while."""
    time.sleep(_PATIENCE_SECONDS)
    yield b""


_CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def hostile_answers(video: bytes, other: HostileHost) -> dict[str, Answer]:
    """What a hostile host sends, by path.

    Args:
        video: a sound one.
        other: a host that may not be asked.
    """
    ok = b"HTTP/1.1 200 OK\r\n"
    return {
        "/good.mp4": whole(video),
        "/signed.mp4?key=a%20b&x=1": whole(video),
        "/moved": moved("/good.mp4"),
        "/to-other-port": moved(f"{other.address}/good.mp4"),
        "/to-metadata": moved("http://169.254.169.254/latest/meta-data/"),
        "/to-file": moved("file:///etc/passwd"),
        "/to-data": moved("data:video/mp4;base64,AAAA"),
        "/to-user": moved("http://a:b@127.0.0.1/"),
        "/to-backslash": moved("http:\\\\169.254.169.254\\"),
        "/to-scheme-less": moved(f"//127.1:{other.port}/good.mp4"),
        "/loop": moved("/loop"),
        "/chain-0": moved("/chain-1"),
        "/chain-1": moved("/chain-2"),
        "/chain-2": moved("/chain-3"),
        "/chain-3": moved("/chain-4"),
        "/chain-4": moved("/good.mp4"),
        "/drip": dripping(ok + b"Content-Length: 100000\r\n\r\n", b"x"),
        "/drip-headers": dripping(ok, b"X-A: b\r\n"),
        "/drip-chunks": dripping(_CHUNKED, b"1\r\nx\r\n"),
        "/continue": endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        "/silent": silent,
        "/endless-chunks": endless(_CHUNKED, b"10000\r\n" + bytes(65536) + b"\r\n"),
        "/endless": endless(ok + b"\r\n", bytes(65536)),
        "/endless-header": endless(ok + b"X-A: ", b"a" * 4096),
        "/endless-trailers": endless(_CHUNKED + b"0\r\n", b"X-A: b\r\n"),
        "/says-huge": ok + b"Content-Length: 1000000000000\r\n\r\n",
        "/says-negative": ok + b"Content-Length: -1\r\n\r\nx",
        "/ends-early": ok + b"Content-Length: 100000\r\n\r\nabc",
        "/bad-chunk": _CHUNKED + b"zz\r\nabc\r\n",
        "/gzip": whole(video, "Content-Encoding: gzip"),
        "/deflated": whole(video, "Transfer-Encoding: gzip, chunked"),
        "/empty": whole(b""),
        "/error": b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n",
        "/not-http": b"SSH-2.0-OpenSSH_9.0\r\n",
        "/text": whole(b"<html>a page</html>", "Content-Type: video/mp4"),
    }


NAMES: dict[str, list[str]] = {
    "private.test": ["10.0.0.7"],
    "private-b.test": ["172.16.0.1"],
    "private-c.test": ["192.168.1.1"],
    "loopback.test": ["127.0.0.1"],
    "loopback-six.test": ["::1"],
    "metadata.test": ["169.254.169.254"],
    "shared.test": ["100.64.0.1"],
    "unspecified.test": ["0.0.0.0"],
    "broadcast.test": ["255.255.255.255"],
    "multicast.test": ["224.0.0.1"],
    "reserved.test": ["240.0.0.1"],
    "documentation.test": ["192.0.2.1"],
    "benchmark.test": ["198.18.0.1"],
    "mapped.test": ["::ffff:127.0.0.1"],
    "mapped-public.test": ["::ffff:8.8.8.8"],
    "translated.test": ["::ffff:0:127.0.0.1"],
    "compatible.test": ["::127.0.0.1"],
    "nat64.test": ["64:ff9b::7f00:1"],
    "nat64-local.test": ["64:ff9b:1::7f00:1"],
    "sixtofour.test": ["2002:7f00:1::"],
    "teredo.test": ["2001:0:7f00:1::"],
    "unique-local.test": ["fd00:ec2::254"],
    "link-local.test": ["fe80::1"],
    "link-local-zone.test": ["fe80::1%lo"],
    "site-local.test": ["fec0::1"],
    "multicast-six.test": ["ff02::1"],
    "isatap.test": ["2600::5efe:7f00:1"],
    "mixed.test": ["93.184.215.14", "127.0.0.1"],
    "nowhere.test": [],
    "inner.test": ["127.0.0.1"],
}
"""Names that lead to places from which nothing is fetched; the last one is opted in."""
