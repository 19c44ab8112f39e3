"""One real server for all attacks, with tight limits, and the world around it."""

from __future__ import annotations

import gc
import json
import os
import re
import socket
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from llava_video.chat.protocol import Answered, AnswerOptions, Conversation, Piece
from llava_video.representation import VideoRepresentation
from llava_video.representation.presets import parse_representation
from llava_video.serve.app import make_serve_app
from llava_video.serve.media import MediaGuard, MediaLimits
from llava_video.serve.settings import EngineLimits, RequestLimits, ServeSettings
from llava_video.web.run import running

from .hostile_files import sound_video
from .hostile_hosts import NAMES, HostileHost, hostile_answers

KEY = "a-key-that-only-tests-know"
OTHER_KEY = "another-key-of-another-user"
MEDIA_SECONDS = 20.0
ANSWER_SECONDS = 60.0
MAX_BYTES = 64 << 20
DECODER_BYTES = 512 << 20

LIMITS = MediaLimits(
    max_memory_bytes=DECODER_BYTES,
    max_pixels_per_frame=1 << 20,
    connect_seconds=2.0,
    read_seconds=2.0,
    fetch_seconds=3.0,
)

SERVER_GROWTH_BYTES = 256 << 20
"""What an attack may add to the memory of the server's process while it lasts."""


class Fixed:
    """A served model that always says the same."""

    name = "fixed"
    frame_side = 32
    num_positions = 4096
    batch_tokens = 1 << 20
    is_alive = True
    can_measure_influence = True
    num_batches_at_once = 1
    representation = VideoRepresentation(max_frames=8, grid_side=4, slow_stride=1, pool_stride=2)

    def close(self) -> None: ...

    def load(self) -> None:
        pass

    def fit_representation(self, wanted: str) -> VideoRepresentation:
        return parse_representation(wanted, self.representation)

    def fit_video_tokens(self, max_video_tokens: int) -> VideoRepresentation:
        return self.representation

    def predict_tokens(self, conversation: Any, representation: Any, num_frames: int) -> int:
        return 64

    def count_tokens(self, conversation: Conversation, options: AnswerOptions) -> int:
        return 64

    def answer(
        self,
        conversations: Sequence[Conversation],
        options: AnswerOptions,
        *,
        leaving: Collection[int] = (),
    ) -> Iterator[Piece | Answered]:
        for row in range(len(conversations)):
            yield Piece(row, "fine")
            yield Answered(row=row, text="fine", finish_reason="stop")


@dataclass
class World:
    """Where attacks happen.

    Attributes:
        url: of the server.
        client: which sends no key of its own, and waits a bounded time for each answer.
        max_bytes: of a file.
        guard: of the server.
        root: the media folder of the server.
        outside: its parent, in which there is more.
        host: from which the server may fetch.
        other_host: from which it may not.
    """

    url: str
    client: httpx.Client
    max_bytes: int
    guard: MediaGuard
    root: Path
    outside: Path
    host: HostileHost
    other_host: HostileHost
    _num_good: int = field(default=0)

    def post(self, body: Any, **options: Any) -> httpx.Response:
        """Ask for an answer."""
        options.setdefault("headers", {"Authorization": f"Bearer {KEY}"})
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        options["headers"] = {"Content-Type": "application/json", **options["headers"]}
        return self.client.post("/v1/chat/completions", content=content, **options)

    def show(self, address: str, kind: str = "video", **fields: Any) -> httpx.Response:
        """Ask about a video or an image."""
        part = {"type": f"{kind}_url", f"{kind}_url": {"url": address}}
        content = [part, {"type": "text", "text": "What is this?"}]
        messages = [{"role": "user", "content": content}]
        return self.post({"model": "fixed", "messages": messages, **fields})

    def check_nothing_is_stored(self) -> None:
        """What was fetched is gone once its request is done."""
        until = time.monotonic() + 10
        while self.guard.folder.num_bytes and time.monotonic() < until:
            gc.collect()  # tracebacks hold files in circles
            time.sleep(0.01)
        assert self.guard.folder.num_bytes == 0

    def check_answers(self) -> None:
        """A good request is answered."""
        messages = [{"role": "user", "content": "Are you there?"}]
        answer = self.post({"model": "fixed", "messages": messages})
        assert answer.status_code == 200, answer.text

    def check_alive(self) -> None:
        """A good request is answered, and its video is really read."""
        self._num_good += 1
        start = self._num_good / 1e6  # no other request has asked for this
        before = self.guard.decoders.last_taken
        answer = self.show("good.mp4", sampling={"num_frames": 2, "start": start})
        assert answer.status_code == 200, answer.text
        assert self.guard.decoders.last_taken is not before


@pytest.fixture(scope="session")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds the media folder and what lies next to it."""
    folder = tmp_path_factory.mktemp("outside")
    for place in ("media/inner", "media_evil", "media/.hidden"):
        (folder / place).mkdir(parents=True)
    for place in ("secret.mp4", "media/good.mp4", "media/inner/a b.mp4", "media_evil/secret.mp4"):
        (folder / place).write_bytes(sound_video())
    root = folder / "media"
    (root / "link.mp4").symlink_to(folder / "secret.mp4")
    (root / "inner-link.mp4").symlink_to("good.mp4")
    (root / "link").symlink_to(folder / "media_evil")
    (root / "loop").symlink_to("loop")
    (root / "null.mp4").symlink_to("/dev/null")
    os.mkfifo(root / "fifo.mp4")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(root / "socket.mp4"))  # short enough for a socket
    return folder


def resolve(names: dict[str, list[str]]) -> Any:
    """The system's resolver, which also knows some names."""
    real = socket.getaddrinfo

    def getaddrinfo(host: Any, port: Any, *args: Any, **options: Any) -> Any:
        if host not in names:
            return real(host, port, *args, **options)
        if not names[host]:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return [
            (socket.AF_INET6 if ":" in text else socket.AF_INET, 1, 6, "", (text, port))
            for text in names[host]
        ]

    return getaddrinfo


@pytest.fixture(scope="session")
def world(outside: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A server on loopback, and hosts around it."""
    other = HostileHost({"/good.mp4": b""})
    host = HostileHost(hostile_answers(sound_video(), other))
    keys = tmp_path_factory.mktemp("keys") / "keys"
    keys.write_text(f"{KEY}\n{OTHER_KEY}\n")
    settings = ServeSettings(
        port=0,
        api_key_file=keys,
        media_root=outside / "media",
        allow_hosts=(
            f"127.0.0.1:{host.port}",
            f"*.test:{host.port}",
            f"inner.test:{host.port}=127.0.0.0/8",
        ),
        requests=RequestLimits(body_bytes=4 << 20, upload_bytes=MAX_BYTES, body_seconds=2.0),
        engine=EngineLimits(media_seconds=2 * MEDIA_SECONDS, media_workers=8),
        media=LIMITS,
    )
    app = make_serve_app(Fixed(), settings)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", resolve(NAMES))
        with running(app) as server:
            guard = app.state.services.guard
            with httpx.Client(
                base_url=server.url, timeout=ANSWER_SECONDS, trust_env=False
            ) as client:
                root = outside / "media"
                yield World(server.url, client, MAX_BYTES, guard, root, outside, host, other)
    host.close()
    other.close()


@pytest.fixture(autouse=True)
def survives(request: pytest.FixtureRequest) -> Iterator[None]:
    """After each attack the server answers the next request, and neither it nor what read the file
    took more memory than it may; no thread is left behind for each."""
    if "world" not in request.fixturenames:
        yield
        return
    world: World = request.getfixturevalue("world")
    clear_peak()
    before = memory_bytes("VmRSS")
    taken_before = world.guard.decoders.last_taken
    num_threads = threading.active_count()
    yield
    grown = memory_bytes("VmHWM") - before
    taken = world.guard.decoders.last_taken
    if taken is taken_before:
        world.check_answers()
    else:
        world.check_alive()
    assert grown <= SERVER_GROWTH_BYTES
    assert taken.max_rss_bytes <= DECODER_BYTES + (256 << 20)
    assert threading.active_count() <= num_threads + 40


def clear_peak() -> None:
    """Let the peak of this process's memory start anew."""
    place = Path("/proc/self/clear_refs")
    if place.exists():
        place.write_text("5")


def memory_bytes(name: str) -> int:
    """A size of this process."""
    place = Path("/proc/self/status")
    found = re.search(rf"{name}:\s+(\d+) kB", place.read_text() if place.exists() else "")
    return int(found[1]) << 10 if found else 0


def refusal(answer: httpx.Response, world: World, *statuses: int) -> str:
    """The message of a refusal, which has OpenAI's shape and tells nothing about the server."""
    assert answer.status_code in (statuses or range(400, 500)), answer.text[:500]
    error = answer.json()["error"]
    message = error["message"]
    assert {"message", "type", "param", "code"} <= set(error)
    assert answer.headers["x-request-id"]
    assert "\n" not in message
    assert len(message) < 600
    for secret in (str(world.outside), "/proc/", "/tmp/", "0x", "Traceback", KEY):
        assert secret not in message
    return message
