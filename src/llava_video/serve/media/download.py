"""Fetches an address: each hop is checked, and the checked address is connected to."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from urllib.parse import urljoin

from llava_video.errors import MediaRefused
from llava_video.serve.media.hosts import (
    PORTS,
    Address,
    Host,
    Resolve,
    Url,
    check_addresses,
    find_entry,
    parse_url,
    resolve_host,
)
from llava_video.serve.media.limits import MediaLimits

_CHUNK_BYTES = 1 << 16
_REDIRECTS = (301, 302, 303, 307, 308)

_UNREACHABLE = "{name}: cannot be fetched; check the address, or upload the file"
_SLOW = "{name}: takes too long to fetch; upload the file"


def download(
    address: str,
    hosts: Sequence[Host],
    limits: MediaLimits,
    write: Callable[[bytes], None],
    resolve: Resolve = resolve_host,
) -> str:
    """Fetch what an address holds, by way of redirects.

    Args:
        address: as a stranger wrote it.
        hosts: that may be named, in redirects too.
        limits: of time and bytes.
        write: receives the content piece by piece.
        resolve: finds addresses of hosts.

    Returns:
        The name of what came, for messages.

    Raises:
        MediaRefused: a hop is not allowed, or the content does not come whole, in time and small
            enough.
    """
    deadline = time.monotonic() + limits.fetch_seconds
    url = parse_url(address)
    for _ in range(limits.max_redirects + 1):
        host = find_entry(url, hosts)
        addresses = check_addresses(_resolve(url, limits, deadline, resolve), host)
        target = _get(url, addresses, limits, deadline, write)
        if target is None:
            return url.name
        following = parse_url(urljoin(f"{url.scheme}://{_netloc(url)}{url.target}", target))
        if url.scheme == "https" and following.scheme == "http":
            raise MediaRefused(f"{url.name}: redirects from https to http", 403)
        url = following
    raise MediaRefused(f"{url.name}: redirects more than {limits.max_redirects} times", 422)


def _resolve(url: Url, limits: MediaLimits, deadline: float, resolve: Resolve) -> Sequence[str]:
    """The addresses of a host; a resolver cannot be interrupted, so it may be left behind."""
    found: Future[Sequence[str]] = Future()

    def work() -> None:
        try:
            found.set_result(resolve(url.host, url.port))
        except (OSError, UnicodeError) as error:
            found.set_exception(error)

    threading.Thread(target=work, daemon=True, name="resolve").start()
    try:
        return found.result(min(limits.connect_seconds, _left(url, deadline)))
    except TimeoutError as error:
        raise MediaRefused(_SLOW.format(name=url.name), 422) from error
    except (OSError, UnicodeError) as error:
        raise MediaRefused(_UNREACHABLE.format(name=url.name), 422) from error


def _left(url: Url, deadline: float) -> float:
    left_seconds = deadline - time.monotonic()
    if left_seconds <= 0:
        raise MediaRefused(_SLOW.format(name=url.name), 422)
    return left_seconds


def _get(
    url: Url,
    addresses: Sequence[Address],
    limits: MediaLimits,
    deadline: float,
    write: Callable[[bytes], None],
) -> str | None:
    """One request: what it redirects to, or None when the content was written."""
    with contextlib.ExitStack() as stack:
        try:
            sock = stack.enter_context(_connect(url, addresses, limits, deadline))
            stack.enter_context(_ended_at(sock, deadline))
            connection = http.client.HTTPConnection(url.host, url.port)
            connection.sock = _with_tls(sock, url) if url.scheme == "https" else sock
            stack.callback(connection.close)
            connection.putrequest("GET", url.target, skip_host=True, skip_accept_encoding=True)
            connection.putheader("Host", _netloc(url))
            connection.putheader("Accept-Encoding", "identity")
            connection.putheader("Connection", "close")
            connection.putheader("User-Agent", "llava-video")
            connection.endheaders()
            answer = connection.getresponse()
            if answer.status in _REDIRECTS and answer.headers.get("Location"):
                return str(answer.headers["Location"])
            _copy(answer, url, limits, deadline, write)
        except MediaRefused:
            raise
        except (OSError, http.client.HTTPException, ValueError) as error:
            is_late = isinstance(error, TimeoutError) or time.monotonic() >= deadline
            message = _SLOW if is_late else _UNREACHABLE
            raise MediaRefused(message.format(name=url.name), 422) from error
    return None


def _connect(
    url: Url, addresses: Sequence[Address], limits: MediaLimits, deadline: float
) -> socket.socket:
    """A connection to the first checked address that answers."""
    give_up = time.monotonic() + limits.connect_seconds
    failure: OSError = TimeoutError()
    for address in addresses:
        seconds = min(give_up - time.monotonic(), _left(url, deadline))
        if seconds <= 0:
            break
        try:
            sock = socket.create_connection((str(address), url.port), timeout=seconds)
        except OSError as error:
            failure = error
            continue
        sock.settimeout(limits.read_seconds)
        return sock
    raise failure


@contextmanager
def _ended_at(sock: socket.socket, deadline: float) -> Iterator[None]:
    """Shut a connection when its time is over, whatever waits for it and however bytes drip."""
    connection = sock.dup()  # which TLS does not take over

    def end() -> None:
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(max(0.0, deadline - time.monotonic()), end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        connection.close()


def _with_tls(sock: socket.socket, url: Url) -> ssl.SSLSocket:
    return ssl.create_default_context().wrap_socket(sock, server_hostname=url.host)


def _netloc(url: Url) -> str:
    host = f"[{url.host}]" if ":" in url.host else url.host
    return host if url.port == PORTS[url.scheme] else f"{host}:{url.port}"


def _copy(
    answer: http.client.HTTPResponse,
    url: Url,
    limits: MediaLimits,
    deadline: float,
    write: Callable[[bytes], None],
) -> None:
    """Write the content of an answer."""
    if answer.status != 200:
        raise MediaRefused(f"{url.name}: the host answers with status {answer.status}", 422)
    if answer.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
        raise MediaRefused(f"{url.name}: is compressed in transport; upload the file", 422)
    if answer.headers.get("Transfer-Encoding", "chunked").strip().lower() != "chunked":
        raise MediaRefused(f"{url.name}: comes in an encoding that is not read", 422)
    too_large = f"{url.name}: holds more than {limits.max_bytes:,} bytes; give a smaller file"
    claimed = answer.length
    if claimed is not None and claimed > limits.max_bytes:
        raise MediaRefused(too_large, 413)
    num_bytes = 0
    while piece := answer.read(_CHUNK_BYTES):
        num_bytes += len(piece)
        if num_bytes > limits.max_bytes:
            raise MediaRefused(too_large, 413)
        write(piece)
    # A connection that was shut at the deadline reads as an end.
    if time.monotonic() >= deadline:
        raise MediaRefused(_SLOW.format(name=url.name), 422)
    if claimed is not None and num_bytes != claimed:
        raise MediaRefused(f"{url.name}: ended early; try again", 422)
    if num_bytes == 0:
        raise MediaRefused(f"{url.name}: holds nothing", 422)
