"""Checkpoints of a model hub: a small one on loopback, with a network that fails."""

import hashlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path

import pytest

NAME = "someone/video-model"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
REVISIONS = ("main", "v1", COMMIT)
TINY = Path(str(files("llava_video") / "assets" / "tiny"))


class Hub(ThreadingHTTPServer):
    """Serves the bundled checkpoint as ``NAME``, as far as huggingface_hub asks."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = {p.name: p.read_bytes() for p in TINY.iterdir() if p.is_file()}
        self.served: list[tuple[str, int]] = []  # files and the byte that each answer began at
        self.break_after: int | None = None  # bytes of weights after which the line is cut, once
        self.refused: str | None = None  # a file that cannot be had
        self.file_bytes: int | None = None  # what it claims that weights have

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    """The parts of the hub's interface that a download needs."""

    server: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: object) -> None: ...

    def do_HEAD(self) -> None:
        self.answer(with_body=False)

    def do_GET(self) -> None:
        self.answer(with_body=True)

    def answer(self, with_body: bool) -> None:
        path = self.path.partition("?")[0]
        if self.headers.get("Authorization") == "Bearer hf_wrong":
            self.send(401, b"{}", {})
        elif path in (
            f"/api/models/{NAME}",
            *(f"/api/models/{NAME}/revision/{r}" for r in REVISIONS),
        ):
            siblings = [{"rfilename": name} for name in self.server.files]
            self.send_json({"id": NAME, "sha": COMMIT, "siblings": siblings})
        elif path.startswith(f"/api/models/{NAME}/revision/"):
            self.send(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
        elif path.startswith(f"/api/models/{NAME}/tree/"):
            self.send_json([self.entry(name) for name in self.server.files])
        elif path.startswith(f"/{NAME}/resolve/") and path.rpartition("/")[2] in self.server.files:
            self.send_file(path.rpartition("/")[2], with_body)
        else:
            self.send(404, b"{}", {"X-Error-Code": "RepoNotFound"})

    def entry(self, name: str) -> dict[str, object]:
        content = self.server.files[name]
        oid = hashlib.sha1(content).hexdigest()
        return {"type": "file", "path": name, "size": len(content), "oid": oid}

    def send_file(self, name: str, with_body: bool) -> None:
        content = self.server.files[name]
        start = 0
        asked = self.headers.get("Range", "")
        if asked.startswith("bytes="):
            start = int(asked[6:].partition("-")[0])
        headers = {
            "ETag": f'"{hashlib.sha1(content).hexdigest()}"',
            "X-Repo-Commit": COMMIT,
            "Accept-Ranges": "bytes",
        }
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        body = content[start:]
        if not with_body:
            claimed = self.server.file_bytes if name.endswith(".safetensors") else None
            return self.send(200, body, headers, num_bytes=claimed)
        if name == self.server.refused:
            return self.send(404, b"", {"X-Error-Code": "EntryNotFound"})
        self.server.served.append((name, start))
        limit = self.server.break_after
        if limit is not None and name.endswith(".safetensors"):
            self.server.break_after = None
            self.send(206 if start else 200, body, headers, stop_at=limit - start)
            self.connection.shutdown(socket.SHUT_RDWR)
            return None
        return self.send(206 if start else 200, body, headers)

    def send_json(self, value: object) -> None:
        self.send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def send(
        self,
        status: int,
        body: bytes,
        headers: dict[str, str],
        *,
        num_bytes: int | None = None,
        stop_at: int | None = None,
    ) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(num_bytes or len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body[:stop_at])
            self.wfile.flush()


@pytest.fixture
def hub() -> Iterator[Hub]:
    server = Hub()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def fetch(
    hub: Hub | None, home: Path, name: str = NAME, *, only_config: bool = False, **variables: str
) -> str:
    """The directory that a new process finds, or the message of its error."""
    code = (
        "import sys; from llava_video.checkpoints.hub import fetch_checkpoint\n"
        "from llava_video.errors import CheckpointError\n"
        f"try: print(fetch_checkpoint(sys.argv[1], only_config={only_config}))\n"
        "except CheckpointError as error: print('error:', error)"
    )
    environment = {
        **os.environ,
        "HF_HOME": str(home),
        "HF_ENDPOINT": hub.url if hub else "http://127.0.0.1:9",
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        **variables,
    }
    done = subprocess.run(
        [sys.executable, "-c", code, name],
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_it_is_downloaded_once_and_then_needs_no_network(hub: Hub, tmp_path: Path) -> None:
    directory = Path(fetch(hub, tmp_path))
    assert (directory / "model.safetensors").read_bytes() == hub.files["model.safetensors"]
    num_served = len(hub.served)
    assert fetch(hub, tmp_path) == str(directory)
    assert len(hub.served) == num_served
    assert fetch(None, tmp_path) == str(directory)
    assert fetch(None, tmp_path, HF_HUB_OFFLINE="1") == str(directory)


def test_a_revision_can_be_pinned(hub: Hub, tmp_path: Path) -> None:
    assert fetch(hub, tmp_path, f"{NAME}@v1").endswith(COMMIT)
    assert "no revision 'v9'" in fetch(hub, tmp_path, f"{NAME}@v9")


def test_a_configuration_alone_is_no_copy_of_a_checkpoint(hub: Hub, tmp_path: Path) -> None:
    directory = Path(fetch(hub, tmp_path, f"{NAME}@v1", only_config=True))
    assert [path.name for path in directory.iterdir()] == ["config.json"]
    assert fetch(None, tmp_path, f"{NAME}@v1", only_config=True) == str(directory)
    assert fetch(None, tmp_path, f"{NAME}@v1").startswith("error: ")
    assert fetch(hub, tmp_path, f"{NAME}@v1") == str(directory)
    assert (directory / "model.safetensors").is_file()


def test_a_line_that_breaks_is_taken_up_at_that_byte(hub: Hub, tmp_path: Path) -> None:
    hub.files["model.safetensors"] = bytes(24_000_000)  # read by tens of megabytes
    hub.break_after = 22_000_000
    directory = Path(fetch(hub, tmp_path))
    assert (directory / "model.safetensors").read_bytes() == hub.files["model.safetensors"]
    starts = [start for name, start in hub.served if name == "model.safetensors"]
    assert len(starts) == 2 and starts[1] > 0


def test_after_a_failed_download_only_what_is_missing_is_fetched(hub: Hub, tmp_path: Path) -> None:
    hub.refused = "model.safetensors"
    said = fetch(hub, tmp_path)
    assert said.startswith(f"error: {NAME}: ") and "try again" in said
    hub.refused = None
    hub.served.clear()
    directory = Path(fetch(hub, tmp_path))
    assert (directory / "model.safetensors").read_bytes() == hub.files["model.safetensors"]
    assert hub.served == [("model.safetensors", 0)]


def test_without_network_and_copy_it_says_so(tmp_path: Path) -> None:
    for variables in ({}, {"HF_HUB_OFFLINE": "1"}):
        said = fetch(None, tmp_path, **variables)
        assert said.startswith(f"error: {NAME}: there is no complete copy of it here")
        assert f"models get {NAME}" in said


def test_names_and_tokens_that_the_hub_refuses(hub: Hub, tmp_path: Path) -> None:
    said = fetch(hub, tmp_path, "lmms-lab/LLaVA-Video-7B-Qwen")
    assert said.endswith("did you mean lmms-lab/LLaVA-Video-7B-Qwen2?")
    said = fetch(hub, tmp_path, HF_TOKEN="hf_wrong")
    assert "refuses the token" in said


def test_a_download_without_room_is_refused_before_it_begins(hub: Hub, tmp_path: Path) -> None:
    hub.file_bytes = 10**18
    said = fetch(hub, tmp_path)
    assert "1000000000.0 GB are to be downloaded" in said
    assert not [name for name, _ in hub.served if name.endswith(".safetensors")]


@pytest.mark.parametrize("present", [("config.json",), ("config.json", "tokenizer.json")])
def test_what_others_have_fetched_of_a_checkpoint_is_no_copy_of_it(
    hub: Hub, tmp_path: Path, present: tuple[str, ...]
) -> None:
    """As transformers does for a configuration: huggingface_hub then takes the folder for whole."""
    repository = tmp_path / "hub" / f"models--{NAME.replace('/', '--')}"
    snapshot = repository / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    for name in present:
        (snapshot / name).write_bytes(hub.files.get(name, b"{}"))
    assert fetch(None, tmp_path).startswith("error: ")
    directory = Path(fetch(hub, tmp_path))
    assert (directory / "model.safetensors").read_bytes() == hub.files["model.safetensors"]
