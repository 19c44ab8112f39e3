"""vLLM's own API server without a flag for our models, asked by the openai client."""

from __future__ import annotations

import base64
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("vllm", reason="vLLM is not installed; see make test-vllm")

import openai
import torch

import llava_video
from llava_video.checkpoints.load import find_checkpoint, load
from llava_video.plugins.vllm import renderer, video_loader  # noqa: F401  what is tested

SAMPLES = Path(llava_video.__file__).parent / "assets" / "samples"
FILES = sorted(SAMPLES.glob("*.mp4"))
START_SECONDS = 1500.0  # on a busy machine; 60 on an idle one


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[openai.OpenAI]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("server") / "log"
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server"]
    command += ["--model", str(find_checkpoint("tiny")), "--served-model-name", "tiny"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--allowed-local-media-path", "/"]
    command += ["--dtype", "float32", "--max-model-len", "2048", "--enforce-eager"]
    command += ["--trust-request-mm-kwargs"]
    environment = {**os.environ, "VLLM_ENABLE_V1_MULTIPROCESSING": "1"}
    with log.open("wb") as output:
        server = subprocess.Popen(command, stdout=output, stderr=output, env=environment)
    try:
        yield _wait_for(server, f"http://127.0.0.1:{port}/v1", log)
    finally:
        server.send_signal(signal.SIGINT)
        try:
            server.wait(60)
        except subprocess.TimeoutExpired:
            server.kill()


def _wait_for(server: subprocess.Popen[bytes], url: str, log: Path) -> openai.OpenAI:
    client = openai.OpenAI(base_url=url, api_key="none", max_retries=0, timeout=300)
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and server.poll() is None:
        try:
            client.models.list()
        except openai.APIConnectionError:
            time.sleep(1)
        else:
            return client
    raise AssertionError(log.read_text()[-3000:])


def ask(client: openai.OpenAI, question: str, *urls: str, **options: Any) -> Any:
    videos = [{"type": "video_url", "video_url": {"url": url}} for url in urls]
    content: Any = [*videos, {"type": "text", "text": question}]
    return client.chat.completions.create(
        model="tiny",
        messages=[{"role": "user", "content": content}],
        **{"max_tokens": 24, "temperature": 0, **options},
    )


def own_answers(question: str, *videos: Path, **options: Any) -> str:
    model, processor = load("tiny", dtype=torch.float32)
    parts: list[dict[str, Any]] = [{"type": "video", "path": str(file)} for file in videos]
    parts.append({"type": "text", "text": question})
    inputs = processor.apply_chat_template([{"role": "user", "content": parts}], **options)
    generated = model.generate(**inputs, max_new_tokens=24, do_sample=False)
    return processor.decode_answer(generated[0], inputs["input_ids"].shape[1])


def data_url(content: bytes) -> str:
    return f"data:video/mp4;base64,{base64.b64encode(content).decode()}"


def test_files_and_data_urls_in_parallel(client: openai.OpenAI) -> None:
    question = "What happens?"
    urls = [file.as_uri() for file in FILES] + [data_url(FILES[0].read_bytes())]
    with ThreadPoolExecutor(len(urls)) as pool:
        answers = list(pool.map(lambda url: ask(client, question, url), urls))
    texts = [answer.choices[0].message.content.strip() for answer in answers]
    wanted = [own_answers(question, file) for file in FILES]
    assert texts == [*wanted, wanted[0]]


def test_streamed_pieces_are_the_answer(client: openai.OpenAI) -> None:
    text = "<image><|im_end|> What happens?"
    chunks = ask(client, text, *(file.as_uri() for file in FILES[:2]), stream=True)
    pieces = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    assert "".join(pieces).strip() == own_answers(text, *FILES[:2])


def test_frames_and_representation_of_a_request(client: openai.OpenAI) -> None:
    url, question = FILES[0].as_uri(), "What happens?"
    few = ask(client, question, url, extra_body={"media_io_kwargs": {"video": {"num_frames": 5}}})
    assert few.choices[0].message.content.strip() == own_answers(question, FILES[0], num_frames=5)
    other = {"mm_processor_kwargs": {"representation": "6,64,2,2"}}
    six = ask(client, question, url, extra_body=other)
    twelve = ask(client, question, url)
    assert six.usage.prompt_tokens < twelve.usage.prompt_tokens


@pytest.mark.parametrize(
    ("url", "options", "message"),
    [
        (data_url(b"not a video"), {}, "the video"),
        (data_url(FILES[0].read_bytes()[:300]), {}, "the video"),
        (
            FILES[0].as_uri(),
            {"media_io_kwargs": {"video": {"num_frames": 13}}},
            "13 frames are more than T = 12",
        ),
        (
            FILES[0].as_uri(),
            {"media_io_kwargs": {"video": {"num_frames": 3, "fps": 2}}},
            "not both",
        ),
        (
            FILES[0].as_uri(),
            {"mm_processor_kwargs": {"representation": "12,729,3,2"}},
            "M = 729 does not fit",
        ),
    ],
)
def test_what_cannot_be_answered_is_the_requests_fault(
    client: openai.OpenAI, url: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(openai.BadRequestError, match=message):
        ask(client, "What happens?", url, extra_body=options)
    assert ask(client, "What happens?", FILES[1].as_uri()).choices[0].message.content


def test_tools_are_refused(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError):
        ask(client, "Hi", tools=[{"type": "function", "function": {"name": "f"}}])
