"""examples/ray_serve.py with two replicas on two cores, of which one is killed."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import llava_video
from llava_video.chat.local_model import LocalModel
from llava_video.chat.protocol import AnswerOptions

ray = pytest.importorskip("ray", reason="needs the scale extra: make test-ray")
serve = pytest.importorskip("ray.serve", reason="needs the scale extra: make test-ray")
httpx = pytest.importorskip("httpx2")

SAMPLES = Path(llava_video.__file__).parent / "assets" / "samples"
NAMES = ("two_movers", "three_shapes")
QUESTION = "What happens in this video?"
PORT = 8437


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    from examples.ray_serve import build

    ray.init(num_cpus=2, include_dashboard=False, logging_level="ERROR")
    try:
        serve.start(http_options={"host": "127.0.0.1", "port": PORT})
        serve.run(build({"model": "tiny", "media_root": str(SAMPLES)}))
        yield f"http://127.0.0.1:{PORT}"
    finally:
        serve.shutdown()
        ray.shutdown()


def replicas() -> set[int]:
    """Process ids of this deployment's replicas."""
    found = set()
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                command = (folder / "cmdline").read_bytes()
            except OSError:
                continue  # it has ended
            if command.startswith(b"ray::ServeReplica") and b"LlavaVideo" in command:
                found.add(int(folder.name))
    return found


def ask(address: str, name: str) -> Any:
    parts = [
        {"type": "video_url", "video_url": {"url": f"{name}.mp4"}},
        {"type": "text", "text": QUESTION},
    ]
    body = {"model": "tiny", "messages": [{"role": "user", "content": parts}], "max_tokens": 64}
    return httpx.post(f"{address}/v1/chat/completions", json=body, timeout=300)


def expected() -> dict[str, str]:
    model = LocalModel.load("tiny", device="cpu")
    answers = {}
    for name in NAMES:
        parts = [
            {"type": "video", "video": str(SAMPLES / f"{name}.mp4")},
            {"type": "text", "text": QUESTION},
        ]
        *_, last = model.answer([[{"role": "user", "content": parts}]], AnswerOptions())
        answers[name] = last.text
    return answers


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds the replica to kill in /proc")
def test_answers_go_on_and_the_replica_comes_back(address: str) -> None:
    answers = expected()
    before = replicas()
    assert len(before) == 2

    def all_answer() -> None:
        for name in NAMES * 2:
            for _ in range(60):  # a request that its replica took with it is asked again
                done = ask(address, name)
                if done.status_code == 200:
                    break
                time.sleep(0.5)
            assert done.json()["choices"][0]["message"]["content"] == answers[name], done.text

    all_answer()
    killed = min(before)
    os.kill(killed, signal.SIGKILL)
    all_answer()
    for _ in range(600):
        if len(replicas() - {killed}) == 2:
            break
        time.sleep(0.5)
    assert len(replicas() - {killed}) == 2
    all_answer()
    assert ask(address, "no_such_video").status_code == 404
