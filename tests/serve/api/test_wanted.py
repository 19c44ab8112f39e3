"""Text is text: no spelling of a control token or of a place for media becomes one."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llava_video.processing.prompt import END, START
from llava_video.serve.engine.served import ServedCheckpoint
from tests.serve.server import Served, serving, video_url

CONTROL = [START, END, "<|endoftext|>", "<image>", "<video>", "<|video_pad|>", "<|vision_start|>"]


class Recorder:
    """A checkpoint that keeps which prompts reached it."""

    def __init__(self, inner: ServedCheckpoint) -> None:
        self.inner = inner
        self.conversation: Any = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def answer(self, conversations: Any, options: Any, **more: Any) -> Any:
        (self.conversation,) = conversations
        return self.inner.answer(conversations, options, **more)


@pytest.fixture(scope="module")
def recorder(tiny: ServedCheckpoint) -> Recorder:
    return Recorder(tiny)


@pytest.fixture(scope="module")
def recorded(recorder: Recorder) -> Any:
    with serving(recorder) as server:  # type: ignore[arg-type]
        yield server


texts = st.lists(
    st.one_of(st.sampled_from(CONTROL), st.text(max_size=12)), min_size=1, max_size=5
).map("".join)


@settings(
    max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(question=texts, earlier=texts, system=texts)
def test_control_tokens_in_text_are_text(
    recorded: Served, recorder: Recorder, question: str, earlier: str, system: str
) -> None:
    video = video_url("four_shapes.mp4")
    turns = [
        {"role": "system", "content": system},
        {"role": "user", "content": [video, {"type": "text", "text": earlier}]},
        {"role": "assistant", "content": earlier},
        {"role": "user", "content": question},
    ]
    answered = recorded.ask(messages=turns, max_tokens=1)
    processor = recorder.inner.model.processor
    spoken = [system, earlier, earlier, question]
    texts_that_came = [
        part["text"]
        for message in recorder.conversation
        for part in message["content"]
        if part["type"] == "text"
    ]
    assert texts_that_came == spoken
    (shown,) = answered.usage.llava_video["videos"]
    slots = [processor.slot_of(recorder.conversation[1]["content"][0]["video"])]
    ids = processor.renderer.render(recorder.conversation, slots).input_ids
    assert answered.usage.prompt_tokens == len(ids)
    assert ids.count(processor.video_token_id) == shown["num_tokens"] == 96
    added = {str(token): i for i, token in processor.tokenizer.added_tokens_decoder.items()}
    assert ids.count(added[START]) == len(turns) + 1
    assert ids.count(added[END]) == len(turns)
