"""What comes back from a process that read a stranger's file, checked: that process is not trusted.

How many bytes are received follows from what was asked for, never from what the process says.
"""

from __future__ import annotations

import math
import re
import socket
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llava_video.errors import InputError, MediaRefused
from llava_video.serve.media import wire
from llava_video.serve.media.limits import MediaLimits, VideoFacts
from llava_video.types import Frames

_MAX_TEXT = 300
_MAX_WARNINGS = 8
_MAX_SECONDS = 1e9
_MAX_THUMBNAIL_BYTES = 1 << 19
_MAX_SIDE = 1 << 16
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{4,}")
_PATH = re.compile(r"(?:/[\w.\-]+){2,}")

_REFUSALS = {
    "memory": ("takes more memory than a file may; scale it down", 413),
    "pixels": ("has more pixels than a picture may; scale it down", 413),
    "picture": ("cannot be read as an image; give a JPEG, PNG, WebP, GIF or BMP file", 422),
    "crash": ("cannot be read; convert it to h264 in mp4, or to JPEG", 422),
}


def clean(text: str) -> str:
    """One short line of printable characters that holds no path and no address of memory."""
    line = "".join(c if c.isprintable() else " " for c in text[: 4 * _MAX_TEXT])
    line = _PATH.sub("...", _ADDRESS.sub("...", line)).strip(" :")
    return line if len(line) <= _MAX_TEXT else f"{line[:_MAX_TEXT]}..."


def read_header(connection: socket.socket, deadline: float, name: str) -> dict[str, Any]:
    """The header of a result.

    Raises:
        MediaRefused: the process says that the file or the request is unusable.
        WireError: it is no result.
    """
    header = wire.receive(connection, deadline)
    kind = header.get("error")
    if kind is None:
        return header
    if kind in ("file", "request"):
        message = header.get("message")
        text = clean(message) if isinstance(message, str) else "cannot be read"
        raise MediaRefused(f"{name}: {text}", 422 if kind == "file" else 400)
    text, status = _REFUSALS.get(kind if isinstance(kind, str) else "", _REFUSALS["crash"])
    raise MediaRefused(f"{name}: {text}", status)


def read_frames(
    connection: socket.socket,
    deadline: float,
    name: str,
    *,
    max_frames: int,
    size: tuple[int, int],
) -> Frames:
    """Frames of a size.

    Raises:
        MediaRefused: the file or the request is unusable.
        WireError: what came is no such result.
    """
    header = read_header(connection, deadline, name)
    num_frames = _whole(header, "num_frames", 1, max_frames)
    height, width = size
    times = _array(connection, deadline, np.dtype("<f8"), (num_frames,))
    indices = _array(connection, deadline, np.dtype("<i8"), (num_frames,))
    pixels = _array(connection, deadline, np.dtype("u1"), (num_frames, height, width, 3))
    try:
        return Frames(
            pixels=pixels,
            timestamps_seconds=times,
            indices=indices,
            duration_seconds=_number(header, "duration_seconds", 0, _MAX_SECONDS),
            source=name,
            warnings=_warnings(header),
        )
    except InputError as error:
        raise wire.WireError("frames that contradict each other") from error


def read_picture(
    connection: socket.socket, deadline: float, name: str, limits: MediaLimits
) -> NDArray[np.uint8]:
    """A picture, ``(H, W, 3)`` uint8.

    Raises:
        MediaRefused: the file is no picture, or too large.
        WireError: what came is no such result.
    """
    header = read_header(connection, deadline, name)
    height = _whole(header, "height", 1, _MAX_SIDE)
    width = _whole(header, "width", 1, _MAX_SIDE)
    if height * width > limits.max_pixels_per_frame:
        raise wire.WireError("a picture that is too large")
    return _array(connection, deadline, np.dtype("u1"), (height, width, 3))


def read_facts(connection: socket.socket, deadline: float, name: str) -> VideoFacts:
    """Facts about a video.

    Raises:
        MediaRefused: the file is no video.
        WireError: what came is no such result.
    """
    header = read_header(connection, deadline, name)
    codec = header.get("codec")
    if not isinstance(codec, str) or not re.fullmatch(r"[a-z0-9_]{1,32}", codec):
        raise wire.WireError("no name of a codec")
    return VideoFacts(
        duration_seconds=_number(header, "duration_seconds", 0, _MAX_SECONDS),
        width=_whole(header, "width", 1, _MAX_SIDE * 8),  # wide pixels are made square
        height=_whole(header, "height", 1, _MAX_SIDE * 8),
        codec=codec,
        num_frames=_whole(header, "num_frames", 1, 1 << 40),
        average_fps=_number(header, "average_fps", 0, 1e6),
        warnings=_warnings(header),
    )


def read_thumbnails(
    connection: socket.socket, deadline: float, name: str, *, num_pictures: int
) -> list[bytes]:
    """JPEG files.

    Raises:
        MediaRefused: the file is no video.
        WireError: what came is no such result.
    """
    header = read_header(connection, deadline, name)
    sizes = header.get("sizes")
    if not isinstance(sizes, list) or len(sizes) != num_pictures:
        raise wire.WireError("another number of pictures")
    pictures = []
    for place in range(num_pictures):
        size = _whole({"size": sizes[place]}, "size", 4, _MAX_THUMBNAIL_BYTES)
        picture = bytes(wire.receive_bytes(connection, size, deadline))
        if not picture.startswith(b"\xff\xd8\xff"):
            raise wire.WireError("no JPEG")
        pictures.append(picture)
    return pictures


def _array(
    connection: socket.socket, deadline: float, dtype: np.dtype[Any], shape: tuple[int, ...]
) -> NDArray[Any]:
    size = math.prod(shape) * dtype.itemsize
    return np.frombuffer(wire.receive_bytes(connection, size, deadline), dtype).reshape(shape)


def _whole(header: Mapping[str, Any], key: str, least: int, most: int) -> int:
    value = header.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise wire.WireError(f"no {key}")
    return value


def _number(header: Mapping[str, Any], key: str, least: float, most: float) -> float:
    value = header.get(key)
    if not isinstance(value, int | float) or isinstance(value, bool) or not least <= value <= most:
        raise wire.WireError(f"no {key}")
    return float(value)


def _warnings(header: Mapping[str, Any]) -> tuple[str, ...]:
    warnings = header.get("warnings")
    if not isinstance(warnings, list) or not all(isinstance(text, str) for text in warnings):
        raise wire.WireError("no warnings")
    return tuple(clean(text) for text in warnings[:_MAX_WARNINGS])
