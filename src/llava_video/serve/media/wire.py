"""Messages between the server and the processes that read files: JSON, then bytes.

A message is the length of its JSON as four bytes, the JSON, and as many bytes as the reader asks
for. Neither side unpickles anything.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Sequence
from typing import Any

MAX_HEADER_BYTES = 1 << 20


class WireError(Exception):
    """What came is no such message."""


class WireClosedError(WireError):
    """The other side is gone."""


class WireTimeoutError(Exception):
    """The other side took too long."""


def send(
    connection: socket.socket, header: dict[str, Any], parts: Sequence[bytes | memoryview] = ()
) -> None:
    """Send a message.

    Raises:
        WireClosedError: the other side is gone.
    """
    text = json.dumps(header).encode()
    try:
        connection.sendall(len(text).to_bytes(4) + text)
        for part in parts:
            connection.sendall(part)
    except OSError as error:
        raise WireClosedError("the other side is gone") from error


def receive(connection: socket.socket, deadline: float) -> dict[str, Any]:
    """The JSON of a message.

    Args:
        connection: a stream.
        deadline: on the monotonic clock.

    Raises:
        WireError: it is no message, or too long.
        WireTimeoutError: the deadline passed.
    """
    size = int.from_bytes(receive_bytes(connection, 4, deadline))
    if size > MAX_HEADER_BYTES:
        raise WireError("a message is too long")
    try:
        header = json.loads(bytes(receive_bytes(connection, size, deadline)))
    except (ValueError, RecursionError) as error:
        raise WireError("a message is not JSON") from error
    if not isinstance(header, dict):
        raise WireError("a message is not an object")
    return header


def receive_bytes(connection: socket.socket, size: int, deadline: float) -> bytearray:
    """Exactly so many bytes.

    Raises:
        WireClosedError: the stream ends before.
        WireTimeoutError: the deadline passed.
    """
    data = bytearray(size)
    view = memoryview(data)
    while view:
        left_seconds = deadline - time.monotonic()
        if left_seconds <= 0:
            raise WireTimeoutError("the other side took too long")
        connection.settimeout(left_seconds)
        try:
            num_bytes = connection.recv_into(view)
        except TimeoutError as error:
            raise WireTimeoutError("the other side took too long") from error
        except OSError as error:
            raise WireClosedError("the other side is gone") from error
        if num_bytes == 0:
            raise WireClosedError("the other side is gone")
        view = view[num_bytes:]
    return data
