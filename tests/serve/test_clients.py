"""The project's own clients and the examples of the docs against a real server."""

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from llava_video.calls.endpoint import Endpoint
from llava_video.calls.make_annotator import make_annotator
from llava_video.calls.messages import Picture, Request, Schema
from llava_video.chat.endpoint import EndpointModel, VideosAs
from llava_video.chat.protocol import AnswerOptions, Sampling, answer_one
from llava_video.cli.app import app
from llava_video.serve.engine.served import ServedCheckpoint
from llava_video.video import read_video
from tests.chat.fresh import user
from tests.serve.server import FOUR_SHAPES, SAMPLES, Served

DOCS = Path(__file__).parents[2] / "docs/serve.md"
FENCES = re.findall(r"^```(\w+)\n(.*?)^```", DOCS.read_text(), re.MULTILINE | re.DOTALL)
CURLS = [
    command
    for language, block in FENCES
    if language == "bash"
    for command in re.split(r"\n(?=curl|llava-video|openssl|OPENAI)", block.strip())
    if command.startswith("curl")
]
PYTHON = [block for language, block in FENCES if language == "python"]


@pytest.mark.parametrize("videos_as", ["data_url", "file_url"])
def test_an_endpoint_model_answers_as_the_model_itself(
    server: Served, tiny: ServedCheckpoint, videos_as: VideosAs
) -> None:
    model = EndpointModel(
        Endpoint(model="tiny", base_url=f"{server.server.url}/v1"), videos_as=videos_as
    )
    conversation = [user({"type": "video", "video": str(FOUR_SHAPES)}, "What happens?")]
    told = answer_one(model, conversation)
    own = answer_one(tiny.model, conversation)
    assert told.text == own.text
    assert told.finish_reason == own.finish_reason
    assert told.usage.num_prompt_tokens == own.usage.num_prompt_tokens


def test_an_endpoint_model_may_send_frames(server: Served) -> None:
    model = EndpointModel(Endpoint(model="tiny", base_url=f"{server.server.url}/v1"))
    conversation = [user({"type": "video", "video": str(FOUR_SHAPES)}, "What happens?")]
    options = AnswerOptions(max_new_tokens=8, sampling=Sampling(num_frames=4))
    assert answer_one(model, conversation, options).usage.num_prompt_tokens > 4 * 64


def request(**changes: object) -> Request:
    frames = read_video(FOUR_SHAPES, num_frames=2)
    pictures = [Picture.of(pixels, 0.0) for pixels in frames.pixels]
    values = {
        "stage": "describe", "item_id": "a", "model": "tiny", "prompt": "p", "system": "Describe.",
        "parts": ("What is this?", *pictures), "params": (("temperature", 0.0),),
        "max_output_tokens": 16,
    }  # fmt: skip
    return Request(**(values | changes))  # type: ignore[arg-type]


def test_the_data_engine_asks_it(server: Served) -> None:
    async def ask() -> tuple[str, str]:
        annotator = make_annotator(Endpoint(model="tiny", base_url=f"{server.server.url}/v1"))
        try:
            answered = await annotator.complete(request(), "key")
            with pytest.raises(Exception, match="response_format") as refused:
                schema = Schema("answer", {"type": "object"})
                await annotator.complete(request(schema=schema), "key")
            return answered.text, str(refused.value)
        finally:
            await annotator.aclose()

    text, refusal = asyncio.run(ask())
    assert text
    assert "400" in refusal


def test_eval_asks_it(server: Served, tmp_path: Path) -> None:
    def headline(name: str, model: str, *more: str) -> dict[str, object]:
        words = ["eval", "run", "toyworld", "--out", str(tmp_path / name), "--model", model]
        limits = ["--num-videos", "2", "--limit", "3", "--level", "simple", "--device", "cpu"]
        result = CliRunner().invoke(app, [*words, *limits, *more])
        assert result.exit_code == 0, result.output
        found = json.loads((tmp_path / name / "toyworld/results.json").read_text())
        return {key: found[key] for key in ("headline", "num_questions") if key in found}

    served = headline("served", f"{server.server.url}/v1#tiny")
    assert served == headline("own", "tiny")


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    (tmp_path / "videos").symlink_to(SAMPLES)
    return tmp_path


@pytest.fixture
def address(server: Served) -> Iterator[str]:
    """The address of the docs, which is this server's in a test."""
    yield server.server.url


@pytest.mark.parametrize("number", range(len(CURLS)))
def test_each_curl_example_works(address: str, videos: Path, number: int) -> None:
    command = CURLS[number].replace("http://127.0.0.1:8000", address)
    command = command.replace("curl ", "curl --silent --show-error --fail ", 1)
    result = subprocess.run(
        command, shell=True, cwd=videos, capture_output=True, text=True, timeout=120, check=False
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip()


def test_the_python_example_works(address: str, videos: Path) -> None:
    (code,) = PYTHON
    result = subprocess.run(
        [sys.executable, "-c", code.replace("http://127.0.0.1:8000", address)],
        cwd=videos, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    answer, times = result.stdout.strip().split("\n")
    assert answer
    assert len(json.loads(times)) == 8


def test_the_docs_have_examples() -> None:
    assert len(CURLS) >= 6
