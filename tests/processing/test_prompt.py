"""One renderer: the official text, and nothing that a person writes can become a control token."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llava_video.errors import InputError
from llava_video.processing.prompt import PromptRenderer, VideoSlot, describe_sampling
from llava_video.tiny.tokenizer import CONTROL_TOKENS, VIDEO, train_tokenizer
from llava_video.types import Frames
from tests.model.small import random_frames

TOKENIZER = train_tokenizer(["user assistant system What colour is it?"] * 3, 300)
VIDEO_ID = TOKENIZER.convert_tokens_to_ids(VIDEO)
RENDERER = PromptRenderer(TOKENIZER, VIDEO_ID)
CONTROL_IDS = set(TOKENIZER.convert_tokens_to_ids(list(CONTROL_TOKENS)))


def video_question(text: str) -> list[dict[str, object]]:
    return [{"role": "user", "content": [{"type": "video"}, {"type": "text", "text": text}]}]


def test_a_video_and_a_question_read_as_in_the_official_code() -> None:
    prompt = RENDERER.render(video_question("What colour is it?"), [VideoSlot(2, "The times.")])
    assert TOKENIZER.decode(prompt.input_ids) == (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
        "<|im_start|>user\n<image><image>\nThe times.\nWhat colour is it?<|im_end|>\n"
        "<|im_start|>assistant\n"
    )


def test_time_instruction_is_the_official_sentence() -> None:
    frames = Frames.from_array(random_frames(3).pixels, fps=2.0)
    assert describe_sampling(frames) == (
        "The video lasts for 1.50 seconds, and 3 frames are uniformly sampled from it. "
        "These frames are located at 0.00s,0.50s,1.00s."
        "Please answer the following questions related to this video."
    )


@settings(deadline=None, max_examples=300)
@given(
    st.lists(
        st.one_of(
            st.sampled_from([*CONTROL_TOKENS, "<|im_", "start|>", "<ima", "ge>", "<"]), st.text()
        ),
        max_size=8,
    ).map("".join)
)
def test_text_stays_text_whatever_it_spells(text: str) -> None:
    plain = RENDERER.render(video_question("x"), [VideoSlot(5)])
    prompt = RENDERER.render(video_question(text), [VideoSlot(5)])
    control = [token for token in prompt.input_ids if token in CONTROL_IDS]
    assert control == [token for token in plain.input_ids if token in CONTROL_IDS]
    first = plain.input_ids.index(VIDEO_ID)
    assert [i for i, token in enumerate(prompt.input_ids) if token == VIDEO_ID] == list(
        range(first, first + 5)
    )
    body = TOKENIZER.decode(prompt.input_ids[first + 5 :])
    assert body == f"\n{text}<|im_end|>\n<|im_start|>assistant\n"


@given(st.sampled_from(CONTROL_TOKENS))
def test_control_tokens_in_any_role_stay_text(token: str) -> None:
    messages = [{"role": role, "content": token} for role in ("system", "user", "assistant")]
    ids = RENDERER.render(messages).input_ids
    assert sum(token in CONTROL_IDS for token in ids) == 7  # three turns and the open one


def test_supervision_covers_the_assistants_words_and_the_end_of_its_turn() -> None:
    messages = [
        {"role": "user", "content": "What?"},
        {"role": "assistant", "content": "red"},
        {"role": "user", "content": "Sure?"},
        {"role": "assistant", "content": "yes"},
    ]
    prompt = RENDERER.render(messages, add_generation_prompt=False)
    supervised = [
        i for i, wanted in zip(prompt.input_ids, prompt.supervised, strict=True) if wanted
    ]
    assert TOKENIZER.decode(supervised) == "red<|im_end|>yes<|im_end|>"


def test_a_single_video_moves_to_the_front_as_in_training() -> None:
    parts = [{"type": "text", "text": "What?"}, {"type": "video"}]
    late = RENDERER.render([{"role": "user", "content": parts}], [VideoSlot(3)])
    early = RENDERER.render(video_question("What?"), [VideoSlot(3)])
    assert late == early


def test_several_videos_stay_where_they_are() -> None:
    parts = [
        {"type": "video"},
        {"type": "text", "text": "a"},
        {"type": "video"},
        {"type": "text", "text": "b"},
    ]
    prompt = RENDERER.render([{"role": "user", "content": parts}], [VideoSlot(1), VideoSlot(2)])
    assert "user\n<image>\na<image><image>\nb<|im_end|>" in TOKENIZER.decode(prompt.input_ids)


@pytest.mark.parametrize(
    ("messages", "num_slots", "message"),
    [
        ([], 0, "at least one message"),
        ([{"role": "tool", "content": "x"}], 0, "role 'tool'"),
        ([{"role": "user", "content": 3}], 0, "text or a list"),
        ([{"role": "user", "content": [{"type": "audio"}]}], 0, "type 'audio'"),
        ([{"role": "user", "content": [{"type": "text"}]}], 0, "needs a string"),
        (video_question("x"), 0, "more videos and images than were given"),
        (video_question("x"), 2, "shows fewer"),
    ],
)
def test_conversations_that_cannot_be(
    messages: list[dict[str, object]], num_slots: int, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        RENDERER.render(messages, [VideoSlot(1)] * num_slots)
