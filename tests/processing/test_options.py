"""Options that code for training passes to any processor of transformers."""

from typing import Any

import pytest
import torch

from llava_video.errors import InputError
from llava_video.processing.processor import LlavaVideoProcessor
from tests.model.small import random_frames, small_model, small_processor

TRAINER = {"padding": True, "truncation": False, "max_length": None, "add_special_tokens": False}


@pytest.fixture(scope="module")
def processor() -> LlavaVideoProcessor:
    return small_processor()


def conversation(num_frames: int, answer: str) -> list[dict[str, Any]]:
    parts = [{"type": "video", "video": random_frames(num_frames)}, {"type": "text", "text": "x"}]
    return [{"role": "user", "content": parts}, {"role": "assistant", "content": answer}]


CONVERSATIONS = [conversation(2, "It is red."), conversation(8, "It")]


def test_a_collator_for_training_gets_what_it_asks_for(processor) -> None:  # type: ignore[no-untyped-def]
    """As trl's `DataCollatorForVisionLanguageModeling` calls any processor."""
    batch = processor.apply_chat_template(
        CONVERSATIONS,
        chat_template=None,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
        return_assistant_tokens_mask=True,
        processor_kwargs={**TRAINER, "padding_side": "right", "pad_to_multiple_of": 64},
    )
    assert batch["input_ids"].shape[1] % 64 == 0
    answers = []
    for row, one in enumerate(CONVERSATIONS):
        alone = processor.apply_chat_template([one], return_assistant_tokens_mask=True)
        length = alone["input_ids"].shape[1]
        assert torch.equal(batch["input_ids"][row, :length], alone["input_ids"][0])
        assert batch["attention_mask"][row].tolist() == [1] * length + [0] * (
            batch["input_ids"].shape[1] - length
        )
        ids = batch["input_ids"][row][batch["assistant_masks"][row].bool()]
        answers.append(processor.tokenizer.decode(ids))
    assert answers == ["It is red.<|im_end|>", "It<|im_end|>"]


@torch.no_grad()
def test_the_loss_does_not_depend_on_the_side_of_the_padding(processor) -> None:  # type: ignore[no-untyped-def]
    model = small_model(video_token_id=processor.video_token_id)
    losses = []
    for side in ("left", "right"):
        batch = processor.apply_chat_template(
            CONVERSATIONS, padding_side=side, return_assistant_tokens_mask=True
        )
        labels = batch["input_ids"].masked_fill(batch.pop("assistant_masks") == 0, -100)
        positions = (batch["attention_mask"].cumsum(1) - 1).clamp(min=0)
        losses.append(model(**batch, position_ids=positions, labels=labels).loss)
    torch.testing.assert_close(*losses, rtol=1e-4, atol=1e-4)


def test_a_finished_conversation_opens_no_further_turn(processor) -> None:  # type: ignore[no-untyped-def]
    finished = processor.apply_chat_template([CONVERSATIONS[0]])["input_ids"][0].tolist()
    opened = processor.apply_chat_template([CONVERSATIONS[0]], add_generation_prompt=True)
    assert opened["input_ids"][0].tolist()[: len(finished)] == finished
    assert len(opened["input_ids"][0]) > len(finished)
    question = processor.apply_chat_template([CONVERSATIONS[0][:1]])["input_ids"][0].tolist()
    assert question[-3:] == opened["input_ids"][0].tolist()[-3:]


def test_answers_do_not_begin_behind_padding(processor) -> None:  # type: ignore[no-untyped-def]
    model = small_model(video_token_id=processor.video_token_id)
    questions = [one[:1] for one in CONVERSATIONS]
    batch = processor.apply_chat_template(questions, padding_side="right")
    with pytest.raises(InputError, match="make them with padding_side='left'"):
        model.generate(**batch, max_new_tokens=2)
    model.generate(
        **processor.apply_chat_template(questions, padding_side="left"), max_new_tokens=2
    )


def test_a_rendered_prompt_is_no_question(processor) -> None:  # type: ignore[no-untyped-def]
    rendered = processor.apply_chat_template([CONVERSATIONS[0]], tokenize=False)
    with pytest.raises(InputError, match="give messages to apply_chat_template"):
        processor(rendered, add_special_tokens=False)


def test_padding_needs_no_token_of_its_own() -> None:
    expected = small_processor()
    tokenizer = small_processor().tokenizer
    tokenizer.pad_token = None
    processor = LlavaVideoProcessor(
        tokenizer,
        image_size=64,
        video_token_id=expected.video_token_id,
        video_representation=expected.video_representation,
        max_positions=1024,
    )
    assert processor.tokenizer.pad_token_id == tokenizer.convert_tokens_to_ids(
        tokenizer.eos_token or "<|im_end|>"
    )
    model = small_model(video_token_id=expected.video_token_id)
    logits = [
        model(**one(["What colour is it?", "x"], [random_frames(3), None])).logits[:, -1]
        for one in (processor, expected)
    ]
    torch.testing.assert_close(*logits)


def test_a_server_s_default_number_of_frames_becomes_t(processor) -> None:  # type: ignore[no-untyped-def]
    """`transformers serve` always says load_audio_from_video and, for videos, 32 frames."""
    pixels = random_frames(64).pixels
    video = {"type": "video", "video": pixels}
    asked = [{"role": "user", "content": [video, {"type": "text", "text": "x"}]}]
    expected = processor.apply_chat_template(asked, num_frames=8)
    with pytest.warns(UserWarning, match="32 frames are more than T = 8"):
        served = processor.apply_chat_template(
            asked, tools=None, num_frames=32, load_audio_from_video=True
        )
    assert torch.equal(served["pixel_values_videos"], expected["pixel_values_videos"])
    with pytest.raises(InputError, match="32 frames are more than T = 8"):
        processor.apply_chat_template(asked, num_frames=32)
    with pytest.raises(InputError, match=r"tools=\[\] makes no inputs"):
        processor.apply_chat_template(asked, tools=[])
