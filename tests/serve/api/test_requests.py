"""Requests are read strictly: what is not obeyed is refused, by the name of its field."""

import base64
import json
from typing import Any

import pytest

from tests.serve.server import COMPLETIONS, Served, body, video_url

VIDEO = video_url("four_shapes.mp4")

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "unknown field": ({"temprature": 0}, "temprature"),
    "unknown field of a field": ({"sampling": {"frames": 3}}, "sampling.frames"),
    "text for a number": ({"max_tokens": "3"}, "max_tokens"),
    "infinite temperature": ({"temperature": 1e999}, "temperature"),
    "negative temperature": ({"temperature": -0.5}, "temperature"),
    "hot temperature": ({"temperature": 1000}, "temperature"),
    "top_p above 1": ({"top_p": 1.5}, None),
    "no token": ({"max_tokens": 0}, "max_tokens"),
    "negative tokens": ({"max_tokens": -1}, "max_tokens"),
    "too many tokens": ({"max_tokens": 10**9}, "max_tokens"),
    "two lengths": ({"max_tokens": 3, "max_completion_tokens": 4}, "max_tokens"),
    "no choice": ({"n": 0}, "n"),
    "too many choices": ({"n": 10**6}, "n"),
    "huge seed": ({"seed": 10**30}, "seed"),
    "too many stops": ({"stop": ["a"] * 5}, "stop"),
    "empty stop": ({"stop": [""]}, "stop"),
    "long stop": ({"stop": "x" * 1000}, "stop"),
    "logprobs": ({"logprobs": True}, "logprobs"),
    "top_logprobs": ({"top_logprobs": 3}, "top_logprobs"),
    "tools": ({"tools": [{"type": "function"}]}, "tools"),
    "JSON answers": ({"response_format": {"type": "json_object"}}, "response_format"),
    "frequency penalty": ({"frequency_penalty": 0.5}, "frequency_penalty"),
    "logit bias": ({"logit_bias": {"5": 100}}, "logit_bias"),
    "repetition penalty": ({"repetition_penalty": 1e-300}, "repetition_penalty"),
    "no message": ({"messages": []}, "messages"),
    "no user": ({"messages": [{"role": "system", "content": "Be brief."}]}, "messages"),
    "the assistant last": (
        {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]},
        "messages",
    ),
    "a later system": (
        {"messages": [{"role": "user", "content": "a"}, {"role": "system", "content": "b"}]},
        "messages.1.role",
    ),
    "a tool's message": ({"messages": [{"role": "tool", "content": "b"}]}, "messages.0.role"),
    "an empty content": ({"messages": [{"role": "user", "content": []}]}, "messages"),
    "an unknown part": (
        {"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]},
        "messages.0.content.0",
    ),
    "a number for an address": (
        {
            "messages": [
                {"role": "user", "content": [{"type": "video_url", "video_url": {"url": 3}}]}
            ]
        },
        "messages.0.content.0.video_url.url",
    ),
    "a number for a text": ({"messages": [{"role": "user", "content": 3}]}, "messages.0.content"),
    "a number for a stop": ({"stop": 3}, "stop"),
    "media of the assistant": (
        {"messages": [{"role": "assistant", "content": [VIDEO]}, {"role": "user", "content": "a"}]},
        "messages.0.content.0",
    ),
    "two sources": (
        {
            "messages": [
                {
                    "role": "user",
                    "content": [{"type": "input_video", "input_video": {"url": "a", "data": "b"}}],
                }
            ]
        },
        "messages.0.content.0",
    ),
    "many videos": ({"messages": [{"role": "user", "content": [VIDEO] * 20}]}, "messages"),
    "many parts": (
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}] * 600}]},
        "messages",
    ),
    "more video tokens than the model takes": (
        {
            "messages": [{"role": "user", "content": [VIDEO] * 8}],
            "representation": "256,64,1,1",
        },
        "messages",
    ),
    "long text": ({"messages": [{"role": "user", "content": "a" * 10**6}]}, "messages"),
    "no representation": ({"representation": "what"}, "representation"),
    "a representation of another grid": ({"representation": "12,100,3,2"}, "representation"),
    "a huge representation": ({"representation": "1000000000,64,3,2"}, "representation"),
    "both": ({"representation": "6,64,3,2", "max_video_tokens": 50}, "representation"),
    "no room for a frame": ({"max_video_tokens": 1}, "max_video_tokens"),
    "negative video tokens": ({"max_video_tokens": -1}, "max_video_tokens"),
    "frames and rate": ({"sampling": {"num_frames": 3, "fps": 1}}, "sampling"),
    "no frame": ({"sampling": {"num_frames": 0}}, "sampling"),
    "fast rate": ({"sampling": {"fps": 1e9}}, "fps"),
    "negative rate": ({"sampling": {"fps": -1}}, "sampling"),
    "backwards": ({"sampling": {"start": 3, "end": 1}}, "sampling"),
    "two places differ": (
        {"sampling": {"num_frames": 3}, "media_io_kwargs": {"video": {"num_frames": 4}}},
        "num_frames",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_by_its_field(server: Served, name: str) -> None:
    fields, param = REFUSED[name]
    wrong = body(VIDEO, "What?") | fields
    content = json.dumps(wrong).encode()
    response = server.http.post(
        COMPLETIONS, content=content, headers={"content-type": "application/json"}
    )
    assert response.status_code == 400, response.text
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["type"] == "invalid_request_error"
    assert error["param"] == param
    assert "\n" not in error["message"]


@pytest.mark.parametrize(
    "fields",
    [
        {"frequency_penalty": 0, "presence_penalty": 0.0, "logit_bias": {}, "logprobs": False},
        {"tools": [], "tool_choice": "auto", "parallel_tool_calls": True, "store": False},
        {"response_format": {"type": "text"}, "modalities": ["text"], "service_tier": "auto"},
        {"user": "a", "metadata": {"run": "1"}, "safety_identifier": "x", "prompt_cache_key": "y"},
        {"temperature": None, "n": None, "stop": None, "stream": False, "seed": None},
        {"top_k": -1, "media_io_kwargs": {"video": {"num_frames": -1}}, "mm_processor_kwargs": {}},
    ],
)
def test_what_asks_nothing_changes_nothing(server: Served, fields: dict[str, Any]) -> None:
    plain = server.post("Hello").json()["choices"]
    assert server.post("Hello", **fields).json()["choices"] == plain


def test_a_body_that_is_no_json_is_refused(server: Served) -> None:
    for content in (b"", b"{", b"[]", b"\xff\xfe", b'{"a":' * 100_000, b"null", b'"\\ud800"'):
        response = server.http.post(
            COMPLETIONS, content=content, headers={"content-type": "application/json"}
        )
        assert response.status_code == 400, content[:10]
        assert response.json()["error"]["type"] == "invalid_request_error"


def test_errors_quote_nothing_that_was_sent(server: Served) -> None:
    secret = base64.b64encode(b"a secret video").decode()
    part = {"type": "video_url", "video_url": {"url": f"data:video/mp4;base64,{secret}"}}
    for response in (
        server.post(part, "What?"),
        server.post(part, "What?", n="what a secret"),
        server.http.post("/v1/completions", json=body(part)),
    ):
        assert 400 <= response.status_code < 500
        assert secret not in response.text
        assert "a secret" not in response.text
    assert secret not in str(server.log)
