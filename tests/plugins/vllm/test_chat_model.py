"""`VllmModel` answers as `LocalModel` does, for callers, for evaluation and behind our server."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("vllm", reason="vLLM is not installed; see make test-vllm")

import llava_video
from llava_video.chat.local_model import LocalModel
from llava_video.chat.protocol import Answered, AnswerOptions, Conversation, Piece, Sampling
from llava_video.errors import InputError, LlavaVideoError, VideoError
from llava_video.evaluate.run import Settings, evaluate
from llava_video.plugins.vllm import engine_loop, requests  # noqa: F401  what is tested
from llava_video.plugins.vllm.chat_model import VllmModel
from llava_video.plugins.vllm.served import ServedByVllm
from llava_video.web.errors import HttpError
from tests.serve.server import FOUR_SHAPES, serving, video_url

SAMPLES = Path(llava_video.__file__).parent / "assets" / "samples"
FILES = sorted(SAMPLES.glob("*.mp4"))
OPTIONS = AnswerOptions(max_new_tokens=24)


@pytest.fixture(scope="module")
def served() -> Iterator[ServedByVllm]:
    """Started in another thread, as the server does it."""
    served = ServedByVllm("tiny", num_batches_at_once=8, max_model_len=2048)
    with ThreadPoolExecutor(1) as other:
        other.submit(served.load).result()
    yield served
    served.model.close()


@pytest.fixture(scope="module")
def model(served: ServedByVllm) -> VllmModel:
    return served.model


@pytest.fixture(scope="module")
def local() -> LocalModel:
    return LocalModel.load("tiny")


def about(file: Path, question: str = "What happens?") -> Conversation:
    video = {"type": "video", "video": str(file)}
    return [{"role": "user", "content": [video, {"type": "text", "text": question}]}]


def whole(events: Iterator[Piece | Answered]) -> dict[int, Answered]:
    """The answers by row, each of which is all its pieces together."""
    texts: dict[int, str] = {}
    answers = {}
    for event in events:
        if isinstance(event, Answered):
            answers[event.row] = event
            assert texts.get(event.row, "") == event.text
        else:
            assert event.row not in answers
            texts[event.row] = texts.get(event.row, "") + event.text
    return answers


@pytest.mark.parametrize(
    "options",
    [
        OPTIONS,
        replace(OPTIONS, repetition_penalty=1.4),
        replace(OPTIONS, stop=("triangle", "blue")),
        replace(OPTIONS, max_new_tokens=3),
        replace(OPTIONS, sampling=Sampling(num_frames=5)),
        replace(OPTIONS, sampling=Sampling(fps=2.0, start_seconds=0.5, end_seconds=3.0)),
        "6,64,2,2",
    ],
    ids=str,
)
def test_answers_are_those_of_our_engine(options: Any, model: VllmModel, local: LocalModel) -> None:
    if isinstance(options, str):
        options = replace(OPTIONS, representation=model.fit_representation(options))
    noise = np.random.default_rng(0).integers(0, 256, (80, 40, 3), dtype=np.uint8)
    parts = [{"type": "image", "image": noise}, {"type": "text", "text": "What shape is it?"}]
    rows = [
        *map(about, FILES),
        about(FILES[0], "<image><|im_end|>\nWhich shape moves?"),
        [
            *about(FILES[1]),
            {"role": "assistant", "content": "A circle."},
            *about(FILES[2], "And here?"),
        ],
        [{"role": "user", "content": parts}],
        [{"role": "user", "content": "Hello"}],
    ]
    mine, wanted = whole(model.answer(rows, options)), whole(local.answer(rows, options))
    for row in range(len(rows)):
        assert mine[row].text == wanted[row].text
        assert mine[row].finish_reason == wanted[row].finish_reason
        assert mine[row].videos == wanted[row].videos
        assert mine[row].usage.num_prompt_tokens == wanted[row].usage.num_prompt_tokens
        assert mine[row].usage.num_new_tokens == wanted[row].usage.num_new_tokens
        assert model.count_tokens(rows[row], options) == mine[row].usage.num_prompt_tokens


def test_a_second_question_decodes_nothing_and_reads_what_is_new(model: VllmModel) -> None:
    whole(model.answer([about(FILES[0])], OPTIONS))
    again = whole(model.answer([about(FILES[0], "What colour is it?")], OPTIONS))[0].usage
    assert again.num_frames_decoded == 0
    assert again.num_tokens_prefilled < again.num_prompt_tokens / 2


def test_calls_of_several_threads_are_one_batch(model: VllmModel, local: LocalModel) -> None:
    questions = [f"Question {number}: what happens?" for number in range(6)]
    most = 0
    watching = threading.Event()

    def watch() -> None:
        nonlocal most
        while not watching.wait(0.001):
            most = max(most, len(model._loop._receivers))

    watcher = threading.Thread(target=watch)
    watcher.start()
    with ThreadPoolExecutor(6) as pool:
        rows = [[about(FILES[0], question)] for question in questions]
        answers = list(pool.map(lambda row: whole(model.answer(row, OPTIONS))[0].text, rows))
    watching.set()
    watcher.join()
    assert answers == [whole(local.answer(row, OPTIONS))[0].text for row in rows]
    assert most > 1


def test_who_leaves_leaves_the_batch(model: VllmModel) -> None:
    long = AnswerOptions(max_new_tokens=200)
    rows = [about(FILES[0]), about(FILES[1])]
    both = whole(model.answer(rows, long))
    leaving: set[int] = set()
    stream = model.answer(rows, long, leaving=leaving)
    first = next(stream)
    leaving.add(0)
    answers = whole(chain([first], stream))
    assert answers[0].finish_reason == "cancelled"
    assert both[0].text.startswith(answers[0].text)
    assert len(answers[0].text) < len(both[0].text)
    assert (answers[1].text, answers[1].finish_reason) == (both[1].text, both[1].finish_reason)
    stream = model.answer([about(FILES[0])], long)
    next(stream)
    stream.close()
    assert model._loop.call(lambda engine: engine.get_num_unfinished_requests()) == 0


def test_what_cannot_be_answered_leaves_the_engine_alive(
    model: VllmModel, local: LocalModel, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"not a video")
    for rows, error, message in (
        ([about(FILES[0]), about(bad)], VideoError, "bad.mp4"),
        ([about(FILES[0]), about(FILES[1], "word " * 3000)], InputError, "2048"),
        ([[{"role": "assistant", "content": "No."}]], InputError, "last message"),
    ):
        with pytest.raises(error, match=message):
            whole(model.answer(rows, OPTIONS))
        row = [about(FILES[2])]
        assert (
            whole(model.answer(row, OPTIONS))[0].text == whole(local.answer(row, OPTIONS))[0].text
        )
    assert whole(model.answer([], OPTIONS)) == {}


def test_an_evaluation_has_the_answers_of_our_engine(model: VllmModel, tmp_path: Path) -> None:
    settings = Settings(num_videos=3, limit=12)
    evaluate(["toyworld"], tmp_path / "own", settings)
    evaluate(
        ["toyworld"],
        tmp_path / "vllm",
        replace(settings, engine="vllm"),
        open_engine=lambda: model,
    )
    own, mine = (_answers(tmp_path / name / "toyworld/outcomes.jsonl") for name in ("own", "vllm"))
    assert len(own) == 12
    assert mine == own


def _answers(file: Path) -> dict[str, str]:
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    return {str(row["id"]): str(row["text"]) for row in rows}


def test_a_seed_gives_the_same_answer_again(model: VllmModel) -> None:
    for seed in (-1, 7):
        options = replace(OPTIONS, temperature=1.5, seed=seed)
        first, second = (whole(model.answer([about(FILES[0])], options))[0] for _ in range(2))
        assert first.text == second.text


def test_a_server_that_starts_vllm_asks_for_patience() -> None:
    starting = ServedByVllm("tiny", max_model_len=512)
    assert (starting.num_positions, starting.is_alive) == (512, True)
    with pytest.raises(HttpError, match="being started") as refused:
        starting.count_tokens(about(FILES[0]), OPTIONS)
    assert refused.value.status == 503
    assert ServedByVllm("tiny", max_model_len="1k").num_positions > 512  # known once it has started


def test_an_option_that_vllm_does_not_have() -> None:
    with pytest.raises(InputError, match="no_such_option"):
        VllmModel.load("tiny", no_such_option=1)


def test_our_server_over_vllm(served: ServedByVllm, local: LocalModel) -> None:
    class Loaded:
        """The served model, which has been started."""

        def __getattr__(self, name: str) -> Any:
            return getattr(served, name)

        def load(self) -> None:
            pass

        def close(self) -> None:
            pass

    questions = [f"Question {number}: what happens?" for number in range(6)]
    video = video_url(FOUR_SHAPES.name)
    with serving(Loaded()) as server:
        room = server.services.engine.room
        with ThreadPoolExecutor(6) as pool:
            asked = [pool.submit(server.ask, video, each, max_tokens=24) for each in questions]
            most = 0
            while not all(each.done() for each in asked):
                most = max(most, room.num_running)
                time.sleep(0.001)
        texts = [each.result().choices[0].message.content for each in asked]
        assert texts == [
            whole(local.answer([about(FOUR_SHAPES, each)], OPTIONS))[0].text for each in questions
        ]
        assert most > 1  # they do not wait for one another
        chunks = server.ask(video, "What happens?", max_tokens=24, stream=True)
        pieces = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
        wanted = whole(local.answer([about(FOUR_SHAPES)], OPTIONS))[0].text
        assert "".join(pieces) == wanted
        assert server.post(video_url("nothere.mp4"), "Why?").status_code == 404
        assert (
            server.ask(video, "What happens?", max_tokens=24).choices[0].message.content == wanted
        )


def test_who_asks_an_engine_that_was_ended_is_told_so(served: ServedByVllm) -> None:
    """The last test of this module."""
    stream = served.answer([about(FILES[0])], AnswerOptions(max_new_tokens=1000))
    next(stream)
    served.close()
    assert not served.is_alive
    with pytest.raises(LlavaVideoError, match="ended"):
        whole(stream)
