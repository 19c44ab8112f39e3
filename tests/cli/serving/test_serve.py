"""`llava-video serve` as a process: it starts, ends in order, and starts again after a kill."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from typer.testing import CliRunner

from llava_video.cli.app import app
from tests.serve.server import COMPLETIONS, SAMPLES, body, video_url

SHOWN = (video_url("four_shapes.mp4"), "What happens in the video?")


@contextmanager
def served(*options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process that serves, and its address."""
    command = [sys.executable, "-m", "llava_video", "serve", "--port", "0", *options]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ)
    )
    try:
        assert process.stdout is not None
        greeting = process.stdout.readline()
        assert "http://127.0.0.1:" in greeting, process.communicate()
        yield process, greeting.split(" is served at ")[1].split()[0]
    finally:
        process.kill()
        process.communicate()


def ask(address: str, **options: Any) -> Any:
    asked = httpx.post(f"{address}{COMPLETIONS}", json=body(*SHOWN, **options), timeout=120)
    assert asked.status_code == 200, asked.text
    return asked.json()


def test_sigterm_in_mid_stream_completes_the_answer() -> None:
    with served("--media-root", str(SAMPLES)) as (process, address):
        whole = ask(address)["choices"][0]["message"]["content"]
        text, is_told, ended = "", False, False
        with httpx.stream(
            "POST", f"{address}{COMPLETIONS}", json=body(*SHOWN, stream=True), timeout=120
        ) as stream:
            for line in stream.iter_lines():
                if line == "data: [DONE]":
                    ended = True
                elif line.startswith("data: "):
                    if not is_told:
                        process.send_signal(signal.SIGTERM)
                        is_told = True
                    for choice in json.loads(line[6:])["choices"]:
                        text += choice["delta"].get("content", "")
        assert ended
        assert text == whole
        assert process.wait(60) == 0
        _, log = process.communicate()
        records = [json.loads(line) for line in log.splitlines()]
        assert [record["status"] for record in records] == [200, 200]


def test_a_killed_server_starts_again_and_encodes_nothing(tmp_path: Path) -> None:
    options = ("--media-root", str(SAMPLES), "--cache-dir", str(tmp_path / "cache"))
    with served(*options) as (process, address):
        first = ask(address)
        process.kill()
        process.wait(60)
    with served(*options) as (_, address):
        second = ask(address)
    usages = [told["usage"]["llava_video"] for told in (first, second)]
    assert [usage["frames_encoded"] for usage in usages] == [12, 0]
    assert first["choices"] == second["choices"]
    files = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    for file in files:
        file.write_bytes(file.read_bytes()[:-5] + b"xxxxx")
    with served(*options) as (process, address):
        third = ask(address)
        assert third["usage"]["llava_video"]["frames_encoded"] == 12
        assert third["choices"] == first["choices"]
        # As a full disk: nothing can be written there any more.
        shutil.rmtree(tmp_path / "cache")
        (tmp_path / "cache").write_text("")
        other = ask(address, sampling={"num_frames": 5})
        assert other["usage"]["llava_video"]["frames_encoded"] == 5
        assert str(tmp_path) not in json.dumps(other)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--host", "0.0.0.0"], "--api-key-file"),
        (["--media-root", "/no/such/folder"], "--media-root"),
        (["--model", "/no/such/model"], "/no/such/model"),
        (["--api-key-file", "/no/such/keys"], "/no/such/keys"),
        (["--host", "no.such.host.invalid", "--api-key-file", "KEYS"], "--port"),
    ],
)
def test_what_cannot_be_served_is_one_line(tmp_path: Path, options: list[str], said: str) -> None:
    (tmp_path / "keys").write_text("a-key-that-is-long-enough\n")
    words = [str(tmp_path / "keys") if word == "KEYS" else word for word in options]
    result = CliRunner().invoke(app, ["serve", *words])
    assert result.exit_code != 0
    assert said in str(result.exception)


def test_weights_that_cannot_be_loaded_end_it(small_checkpoint: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(small_checkpoint, broken)
    (weights,) = broken.glob("*.safetensors")
    weights.write_bytes(weights.read_bytes()[:-100])
    result = CliRunner().invoke(app, ["serve", "--model", str(broken), "--port", "0"])
    assert result.exit_code != 0
    assert "safetensors" in str(result.exception)
