"""What a decoder that was taken over may send, and that none of it is used."""

import json
import math
import socket
import struct
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

from llava_video.errors import MediaRefused
from llava_video.serve.media import MediaLimits, results
from llava_video.serve.media.wire import WireError, WireTimeoutError

SIZE = (4, 6)
read_frames = partial(results.read_frames, max_frames=3, size=SIZE)
read_picture = partial(results.read_picture, limits=MediaLimits(max_pixels_per_frame=100))
read_thumbnails = partial(results.read_thumbnails, num_pictures=2)


def receive(read: Callable[..., Any], sent: bytes, *, is_open: bool = False) -> Any:
    """Read a result from a process that sent some bytes and then ended."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(sent)
        if not is_open:
            theirs.close()
        return read(ours, time.monotonic() + (0.2 if is_open else 30), "film.mp4")


def message(header: Any, *parts: bytes) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(4) + text + b"".join(parts)


def frames(
    times: Any = (0.0, 0.5), indices: Any = (0, 1), num_bytes: int = 2 * 4 * 6 * 3, **header: Any
) -> bytes:
    about = {"num_frames": 2, "duration_seconds": 1.0, "warnings": ["a"], **header}
    return message(
        about,
        np.array(times, "<f8").tobytes(),
        np.array(indices, "<i8").tobytes(),
        bytes(num_bytes),
    )


def test_frames_come_as_they_were_sent() -> None:
    received = receive(read_frames, frames())
    assert received.pixels.shape == (2, 4, 6, 3)
    assert received.timestamps_seconds.tolist() == [0.0, 0.5]
    assert received.indices.tolist() == [0, 1]
    assert (received.duration_seconds, received.source) == (1.0, "film.mp4")


FORGED = {
    "nothing": b"",
    "half a length": b"\0\0",
    "a length of 4 GB": b"\xff\xff\xff\xff",
    "no JSON": message(b"{"),
    "no text": message(b"\xff"),
    "no object": message([]),
    "nested JSON": message(b"[" * 100_000),
    "no fields": message({}),
    "no frames": frames(num_frames=0),
    "more frames than asked for": frames(num_frames=4),
    "10^12 frames": frames(num_frames=10**12),
    "a negative number": frames(num_frames=-1),
    "a number that is none": frames(num_frames=True),
    "half a frame": frames(num_frames=1.5),
    "too few bytes": frames(num_bytes=2 * 4 * 6 * 3 - 1),
    "times that are none": frames(times=(0.0, math.nan)),
    "times that fall": frames(times=(0.5, 0.0)),
    "times before the start": frames(times=(-1.0, 0.0)),
    "times after the end": frames(times=(0.0, 2.0)),
    "infinite times": frames(times=(0.0, math.inf)),
    "indices that fall": frames(indices=(1, 0)),
    "negative indices": frames(indices=(-1, 0)),
    "a duration that is none": frames(duration_seconds=math.nan),
    "an infinite duration": frames(duration_seconds=math.inf),
    "a negative duration": frames(duration_seconds=-1.0),
    "a duration of 10^300": frames(duration_seconds=1e300),
    "a huge whole duration": frames(duration_seconds=10**400),
    "a duration as text": frames(duration_seconds="1"),
    "warnings that are no list": frames(warnings="a"),
    "warnings that are no text": frames(warnings=[1]),
}


@pytest.mark.parametrize("name", FORGED)
def test_forged_frames_are_not_used(name: str) -> None:
    with pytest.raises(WireError):
        receive(read_frames, FORGED[name])


@pytest.mark.parametrize("sent", [b"", b"\0", message({"num_frames": 2})[:-3], frames()[:-1]])
def test_a_process_that_falls_silent_is_left(sent: bytes) -> None:
    with pytest.raises(WireTimeoutError):
        receive(read_frames, sent, is_open=True)


def test_texts_are_short_clean_lines() -> None:
    warnings = ["a\nb\x1b[31m", "at 0x7ffd12345678", "in /srv/media/secret.mp4", "x" * 10_000] * 9
    received = receive(read_frames, frames(warnings=warnings))
    assert len(received.warnings) == 8
    for text in received.warnings:
        assert text.isprintable()
        assert len(text) <= 310
        assert "0x7" not in text
        assert "/srv" not in text


@pytest.mark.parametrize(
    ("header", "status"), [
        ({"error": "file", "message": "is empty; /proc/self/fd/9"}, 422),
        ({"error": "request", "message": "start_seconds lies beyond"}, 400),
        ({"error": "memory"}, 413),
        ({"error": "pixels"}, 413),
        ({"error": "crash"}, 422),
        ({"error": "made up"}, 422),
        ({"error": ["made", "up"]}, 422),
        ({"error": "file", "message": {"a": 1}}, 422),
    ],
)  # fmt: skip
def test_what_a_process_says_of_the_file_is_passed_on_cleaned(
    header: dict[str, Any], status: int
) -> None:
    with pytest.raises(MediaRefused, match=r"^film\.mp4: ") as caught:
        receive(read_frames, message(header))
    assert caught.value.status == status
    assert "/proc" not in str(caught.value)


@pytest.mark.parametrize(
    "header", [
        {"height": 10, "width": 11},
        {"height": 1, "width": 1 << 40},
        {"height": -10, "width": -10},
        {"height": 0, "width": 10},
        {"height": 1},
    ],
)  # fmt: skip
def test_a_forged_picture_is_not_used(header: dict[str, Any]) -> None:
    assert receive(read_picture, message({"height": 10, "width": 10}, bytes(300))).shape[:2] == (
        10, 10,
    )  # fmt: skip
    with pytest.raises(WireError):
        receive(read_picture, message(header, bytes(400)))


JPEG = b"\xff\xd8\xff\xe0"


@pytest.mark.parametrize(
    ("sizes", "sent"), [
        ([4], JPEG),
        ([4, 4, 4], JPEG * 3),
        ([4, 1 << 40], JPEG * 2),
        ([4, 0], JPEG),
        ([4, 4], JPEG + b"<svg"),
        ("44", JPEG * 2),
    ],
)  # fmt: skip
def test_forged_thumbnails_are_not_used(sizes: Any, sent: bytes) -> None:
    assert receive(read_thumbnails, message({"sizes": [4, 4]}, JPEG * 2)) == [JPEG, JPEG]
    with pytest.raises(WireError):
        receive(read_thumbnails, message({"sizes": sizes}, sent))


FACTS: dict[str, Any] = {
    "duration_seconds": 1.0, "width": 8, "height": 6, "codec": "h264", "num_frames": 5,
    "average_fps": 5.0, "warnings": [],
}  # fmt: skip


@pytest.mark.parametrize(
    "forged", [
        {"codec": "<script>"}, {"codec": 4}, {"codec": "x" * 100}, {"width": 0},
        {"height": 1 << 60}, {"num_frames": 0}, {"average_fps": math.nan}, {"average_fps": -1.0},
        {"warnings": None},
    ],
)  # fmt: skip
def test_forged_facts_are_not_used(forged: dict[str, Any]) -> None:
    assert receive(results.read_facts, message(FACTS)).codec == "h264"
    with pytest.raises(WireError):
        receive(results.read_facts, message({**FACTS, **forged}))


def test_a_length_is_not_believed() -> None:
    """What is received follows from what was asked for: two frames take no third one's memory."""
    sent = frames() + struct.pack(">I", 1 << 31)
    assert len(receive(read_frames, sent)) == 2
