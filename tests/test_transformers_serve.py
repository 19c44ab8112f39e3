"""`transformers serve`, the real one, with the embedded model: answers are those of `ask`."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import llava_video
from llava_video.chat.local_model import LocalModel
from llava_video.chat.protocol import Answered, AnswerOptions, Sampling
from llava_video.checkpoints.convert import convert_checkpoint

pytest.importorskip("fastapi", reason="needs 'transformers[serving]'")
openai = pytest.importorskip("openai")
serving = pytest.importorskip("transformers.cli.serving.model_manager")

ASSETS = Path(llava_video.__file__).parent / "assets"
TINY = str(ASSETS / "tiny")
LAUNCH = "import llava_video; from transformers.cli.transformers import main; main()"


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    log, port = tmp_path_factory.mktemp("serve") / "log", free_port()
    options = ["--device", "cpu", "--dtype", "float32", "--port", str(port)]
    command = [sys.executable, "-c", LAUNCH, "serve", TINY, *options]
    with log.open("w") as file:
        server = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, env=os.environ)
        try:
            while not is_up(f"http://localhost:{port}/health"):
                assert server.poll() is None, log.read_text()
                time.sleep(0.2)
            yield openai.OpenAI(base_url=f"http://localhost:{port}/v1", api_key="none")
        finally:
            server.terminate()
            server.wait()


def is_up(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@pytest.fixture(scope="module")
def model() -> LocalModel:
    return LocalModel.load(TINY, device="cpu")


def messages(*names: str, question: str) -> list[dict[str, Any]]:
    videos = [(ASSETS / "samples" / f"{name}.mp4").as_uri() for name in names]
    parts = [{"type": "video_url", "video_url": {"url": video}} for video in videos]
    return [{"role": "user", "content": [*parts, {"type": "text", "text": question}]}]


def ours(model: LocalModel, asked: list[dict[str, Any]], **options: Any) -> str:
    parts = [
        {"type": "video", "video": part["video_url"]["url"]} if "video_url" in part else part
        for part in asked[0]["content"]
    ]
    *_, last = model.answer([[{"role": "user", "content": parts}]], AnswerOptions(**options))
    assert isinstance(last, Answered)
    return last.text


CASES = [
    (("two_movers",), "What happens in this video?"),
    (("three_shapes", "two_movers"), "Describe both videos."),
    ((), "Hello"),
]


@pytest.mark.parametrize(("names", "question"), CASES)
def test_answers_are_those_of_ask_whole_and_in_pieces(
    client: Any, model: LocalModel, names: tuple[str, ...], question: str
) -> None:
    asked = messages(*names, question=question)
    request = {"model": TINY, "messages": asked, "temperature": 0, "max_tokens": 64}
    whole = client.chat.completions.create(**request).choices[0].message.content
    assert whole == ours(model, asked, max_new_tokens=64)
    chunks = list(client.chat.completions.create(**request, stream=True))
    pieces = [choice.delta.content or "" for chunk in chunks for choice in chunk.choices]
    assert "".join(pieces).strip() == whole
    assert sum(bool(piece) for piece in pieces) > 1


def test_the_frames_of_a_request_are_its_own(client: Any, model: LocalModel) -> None:
    """Without a number T frames are seen, though that server's default is 32."""
    asked = messages("two_movers", question="What happens in this video?")
    counts = []
    for num_frames in (None, 3):
        answer = client.chat.completions.create(
            model=TINY, messages=asked, temperature=0,
            extra_body={"chat_template_kwargs": {"num_frames": num_frames}},
        )  # fmt: skip
        sampling = Sampling(num_frames=num_frames)
        assert answer.choices[0].message.content == ours(model, asked, sampling=sampling)
        counts.append(answer.usage.prompt_tokens)
    default = client.chat.completions.create(model=TINY, messages=asked, temperature=0)
    assert default.usage.prompt_tokens == counts[0] > counts[1]


def test_the_released_layout_is_loaded_too(small_checkpoint: Path, tmp_path: Path) -> None:
    convert_checkpoint(small_checkpoint, tmp_path / "released", "released")
    manager = serving.ModelManager(device="cpu")
    model, processor = manager.load_model_and_processor(str(tmp_path / "released"))
    manager.shutdown()  # else its timer keeps this process for five minutes
    assert type(model).__name__ == "LlavaVideoForConditionalGeneration"
    assert type(processor).__name__ == "LlavaVideoProcessor"
    assert manager.get_model_modality(model, processor).name == "MULTIMODAL"
