"""`/v1/chat/completions` answers as `ask` does, however it is asked, and says what it took."""

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from llava_video.chat.local.limits import CacheLimits
from llava_video.chat.local_model import LocalModel
from llava_video.chat.protocol import answer_one
from llava_video.cli.app import app as command_line
from llava_video.serve.engine.served import ServedCheckpoint, load_served
from llava_video.serve.settings import RequestLimits
from tests.chat.fresh import assistant, user
from tests.serve.server import COMPLETIONS, FOUR_SHAPES, SAMPLES, Served, body, serving, video_url

QUESTION = "What happens in the video?"
VIDEO = video_url("four_shapes.mp4")


def ask(*words: str) -> dict[str, Any]:
    """What `llava-video ask --json` prints."""
    result = CliRunner().invoke(command_line, ["ask", *words, "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def usage_of(completion: Any) -> dict[str, Any]:
    return completion.usage.llava_video


@pytest.mark.parametrize("name", ["four_shapes.mp4", "two_movers.mp4"])
def test_a_greedy_answer_is_that_of_ask(server: Served, name: str) -> None:
    told = ask(str(SAMPLES / name), QUESTION)
    answered = server.ask(video_url(name), QUESTION)
    (shown,) = usage_of(answered)["videos"]
    assert answered.choices[0].message.content == told["answer"]
    assert shown["timestamps_seconds"] == told["timestamps_seconds"]
    assert shown["num_tokens"] == told["num_video_tokens"] == sum(shown["frame_tokens"])
    assert shown["representation"] == told["representation"]
    assert len(shown["slow"]) == told["num_frames"]


@pytest.mark.parametrize(
    ("fields", "options"),
    [
        ({"representation": "6,64,2,2"}, ["--representation", "6,64,2,2"]),
        ({"max_video_tokens": 50}, ["--max-video-tokens", "50"]),
        ({"sampling": {"num_frames": 4}}, ["--num-frames", "4"]),
        (
            {"sampling": {"fps": 2, "start": 1, "end": 4}},
            ["--fps", "2", "--start", "1", "--end", "4"],
        ),
        ({"media_io_kwargs": {"video": {"num_frames": 4}}}, ["--num-frames", "4"]),
        ({"mm_processor_kwargs": {"fps": 1}}, ["--fps", "1"]),
    ],
)
def test_fields_do_what_options_of_ask_do(
    server: Served, fields: dict[str, Any], options: list[str]
) -> None:
    told = ask(str(FOUR_SHAPES), QUESTION, *options)
    answered = server.ask(VIDEO, QUESTION, extra_body=fields)
    (shown,) = usage_of(answered)["videos"]
    assert answered.choices[0].message.content == told["answer"]
    assert shown["timestamps_seconds"] == told["timestamps_seconds"]
    assert shown["representation"] == told["representation"]
    assert usage_of(answered)["warnings"] == []


def test_a_streamed_answer_is_the_whole_one(server: Served) -> None:
    whole = server.ask(VIDEO, QUESTION)
    chunks = list(server.ask(VIDEO, QUESTION, stream=True, stream_options={"include_usage": True}))
    text = "".join(c.delta.content or "" for chunk in chunks for c in chunk.choices)
    ends = [c.finish_reason for chunk in chunks for c in chunk.choices if c.finish_reason]
    assert text == whole.choices[0].message.content
    assert ends == [whole.choices[0].finish_reason]
    assert {chunk.id for chunk in chunks} == {chunks[0].id} != {whole.id}
    assert chunks[-1].choices == []
    assert chunks[-1].usage.total_tokens == whole.usage.total_tokens
    assert usage_of(chunks[-1])["videos"] == usage_of(whole)["videos"]
    assert all(chunk.usage is None for chunk in chunks[:-1])


def test_a_stream_ends_with_done_and_says_usage_only_if_asked(server: Served) -> None:
    response = server.post("Hello", stream=True)
    lines = [line for line in response.text.split("\n\n") if line]
    assert response.headers["content-type"].startswith("text/event-stream")
    assert lines[-1] == "data: [DONE]"
    chunks = [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]
    assert all("usage" not in chunk and chunk["choices"] for chunk in chunks)


def test_a_second_question_decodes_and_encodes_nothing() -> None:
    fresh = load_served("tiny", limits=CacheLimits(2**28, 2**28, 2**28))
    with serving(fresh) as server:
        first = usage_of(server.ask(VIDEO, QUESTION))
        answered = server.ask(VIDEO, "How many shapes are there?")
    second = usage_of(answered)
    assert (first["frames_decoded"], first["frames_encoded"]) == (12, 12)
    assert (second["frames_decoded"], second["frames_encoded"]) == (0, 0)
    assert second["tokens_prefilled"] < 40 < answered.usage.prompt_tokens_details.cached_tokens
    (text,) = [line for line in server.log if line["route"] == COMPLETIONS][1:]
    assert (text["frames_decoded"], text["frames_encoded"]) == (0, 0)


def test_a_follow_up_is_that_of_a_model_that_keeps_nothing(server: Served) -> None:
    first = server.ask(VIDEO, QUESTION).choices[0].message.content
    turns = [
        {"role": "user", "content": [VIDEO, {"type": "text", "text": QUESTION}]},
        {"role": "assistant", "content": first},
        {"role": "user", "content": "What colour is the first shape?"},
    ]
    followed = server.ask(messages=turns)
    fresh = LocalModel.load("tiny", limits=CacheLimits(0, 0, 0))
    told = answer_one(
        fresh,
        [
            user({"type": "video", "video": str(FOUR_SHAPES)}, QUESTION),
            assistant(first),
            user("What colour is the first shape?"),
        ],
    )
    assert followed.choices[0].message.content == told.text
    assert followed.usage.prompt_tokens == told.usage.num_prompt_tokens
    assert usage_of(followed)["tokens_prefilled"] < told.usage.num_tokens_prefilled


def test_a_video_is_shown_in_any_way(server: Served) -> None:
    content = base64.b64encode(FOUR_SHAPES.read_bytes()).decode()
    with FOUR_SHAPES.open("rb") as file:
        file_id = server.client.files.create(file=file, purpose="user_data").id
    address = f"data:video/mp4;base64,{content}"
    ways = [
        video_url(FOUR_SHAPES.as_uri()),
        video_url(address),
        {"type": "input_video", "input_video": {"data": content, "format": "mp4"}},
        {"type": "input_video", "input_video": {"url": "four_shapes.mp4"}},
        {"type": "input_video", "input_video": {"file_id": file_id}},
        {"type": "file", "file": {"file_id": file_id}},
        {"type": "file", "file": {"file_data": address, "filename": "a.mp4"}},
    ]
    told = server.ask(VIDEO, QUESTION)
    for way in ways:
        answered = server.ask(way, QUESTION)
        assert answered.choices[0].message.content == told.choices[0].message.content, way
        # The bytes are the same, however they came.
        assert usage_of(answered)["frames_decoded"] == 0, way
        assert "/" not in usage_of(answered)["videos"][0]["source"].replace("video/mp4", "")


def test_an_image_is_shown(server: Served, tiny: ServedCheckpoint, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    content = base64.b64encode((tmp_path / "a.png").read_bytes()).decode()
    address = f"data:image/png;base64,{content}"
    answered = server.ask({"type": "image_url", "image_url": {"url": address}}, "What is it?")
    told = answer_one(tiny.model, [user({"type": "image", "image": pixels}, "What is it?")])
    assert answered.choices[0].message.content == told.text
    assert answered.usage.prompt_tokens == told.usage.num_prompt_tokens
    with (tmp_path / "a.png").open("rb") as file:
        file_id = server.client.files.create(file=file, purpose="vision").id
    again = server.ask({"type": "file", "file": {"file_id": file_id}}, "What is it?")
    assert again.choices[0].message.content == told.text


def test_lmms_eval_is_understood(server: Served) -> None:
    """What `lmms-eval --model openai` sends with ``pass_video_url=True``."""
    response = server.http.post(
        COMPLETIONS,
        json={
            "messages": [
                {
                    "role": "user",
                    "content": [
                        video_url(f"file://{FOUR_SHAPES}"),
                        {"type": "text", "text": QUESTION},
                    ],
                }
            ],
            "model": "tiny",
            "max_tokens": 1024,
            "temperature": 0,
            "media_io_kwargs": {"video": {"num_frames": 32}},
        },
    )
    assert response.status_code == 200, response.text
    told = response.json()["usage"]["llava_video"]
    assert (
        response.json()["choices"][0]["message"]["content"]
        == ask(str(FOUR_SHAPES), QUESTION)["answer"]
    )
    assert len(told["videos"][0]["timestamps_seconds"]) == 12
    assert told["warnings"] == [
        "num_frames is 32, more than T = 12 of the representation: 12 frames are taken"
    ]


def test_choices_with_a_seed_are_those_of_the_seeds_that_follow(server: Served) -> None:
    def texts(**options: Any) -> list[str]:
        answered = server.ask(VIDEO, QUESTION, temperature=2.0, max_tokens=12, **options)
        return [choice.message.content for choice in answered.choices]

    three = texts(seed=5, n=3)
    assert three == [*texts(seed=5), *texts(seed=6), *texts(seed=7)]
    assert len(set(three)) == 3
    chunks = server.ask(VIDEO, QUESTION, temperature=2.0, max_tokens=12, seed=5, n=3, stream=True)
    streamed = ["", "", ""]
    for chunk in chunks:
        for choice in chunk.choices:
            streamed[choice.index] += choice.delta.content or ""
    assert streamed == three


def test_an_answer_ends_where_it_is_told_to(server: Served) -> None:
    whole = server.ask(VIDEO, QUESTION).choices[0].message.content
    first, second = whole.split()[:2]
    stopped = server.ask(VIDEO, QUESTION, stop=[second]).choices[0]
    assert (stopped.message.content, stopped.finish_reason) == (first, "stop")
    cut = server.ask(VIDEO, QUESTION, max_completion_tokens=2)
    assert (cut.usage.completion_tokens, cut.choices[0].finish_reason) == (2, "length")


def test_a_prompt_that_leaves_little_room_is_answered_within_it(server: Served) -> None:
    told = server.ask("word " * 300, max_tokens=4096)
    prompt = told.usage.prompt_tokens
    assert told.usage.total_tokens <= 2048
    assert usage_of(told)["warnings"] == [
        f"the prompt leaves room for {2048 - prompt} tokens of an answer, which is the most"
    ]
    refused = server.post("word " * 5000)
    assert refused.status_code == 400
    assert refused.json()["error"]["code"] == "context_length_exceeded"


def test_what_openai_sends_back_can_be_sent_again(server: Served) -> None:
    told = server.ask("Hello").choices[0].message
    turns = [{"role": "user", "content": "Hello"}, told.model_dump(), user("And?")]
    assert server.ask(messages=turns).choices[0].message.content


def test_requests_about_nothing_of_this_server_are_refused(server: Served) -> None:
    assert server.post("Hello", model="gpt-4o").json()["error"]["code"] == "model_not_found"
    form = server.http.post(
        COMPLETIONS, content=json.dumps(body("Hello")), headers={"content-type": "text/plain"}
    )
    assert form.status_code == 415


def test_a_server_that_takes_fewer_frames_than_the_model_shows_fewer(
    tiny: ServedCheckpoint,
) -> None:
    limits = RequestLimits(num_frames=4)
    with serving(tiny, requests=limits) as server:
        assert server.ask("Hello").choices[0].message.content
        usage = server.ask(video_url("four_shapes.mp4"), "What moves?").usage.llava_video
        assert len(usage["videos"][0]["timestamps_seconds"]) == 4
        assert any("4 frames" in warning for warning in usage["warnings"])
        few = server.ask(
            video_url("four_shapes.mp4"), "What?", extra_body={"sampling": {"num_frames": 3}}
        ).usage.llava_video
        assert (len(few["videos"][0]["timestamps_seconds"]), few["warnings"]) == (3, [])
        refused = server.post("Hello", representation="12,64,3,2")
        assert refused.status_code == 400
        assert "T = 12" in refused.text
