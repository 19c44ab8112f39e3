"""Inputs for the model: as many placeholders as video tokens, whatever goes in."""

import numpy as np
import pytest
import torch
from PIL import Image

import llava_video as lv
from llava_video.errors import InputError
from llava_video.processing.processor import LlavaVideoProcessor
from llava_video.representation import PRESETS, VideoRepresentation, make_layout
from tests.model.small import random_frames, small_processor


@pytest.fixture(scope="module")
def processor() -> LlavaVideoProcessor:
    return small_processor()


@pytest.mark.parametrize("name", PRESETS)
def test_placeholders_equal_the_layouts_count(processor: LlavaVideoProcessor, name: str) -> None:
    values = {**PRESETS[name].representation.to_dict(), "grid_side": 24, "max_frames": 6}
    representation = VideoRepresentation.from_dict(values)
    other = processor.with_representation(representation)
    other.max_positions = 100_000
    inputs = other("What?", random_frames(5))
    placeholders = int((inputs["input_ids"] == processor.video_token_id).sum())
    assert processor.representation != representation
    assert placeholders == make_layout(representation, 5).num_tokens


def test_preprocessing_is_pils_bicubic_and_siglips_range(processor: LlavaVideoProcessor) -> None:
    frames = random_frames(2, size=(90, 121))
    pixels = processor.preprocess(frames)
    assert pixels.shape == (2, 3, 64, 64)
    expected = np.stack(
        [
            np.asarray(Image.fromarray(p).resize((64, 64), Image.Resampling.BICUBIC))
            for p in frames.pixels
        ]
    )
    expected = (expected.astype(np.float64) / 255 - 0.5) / 0.5
    np.testing.assert_allclose(pixels.permute(0, 2, 3, 1).numpy(), expected, atol=1e-6)


def test_rows_are_padded_on_the_left(processor: LlavaVideoProcessor) -> None:
    inputs = processor(["What colour is it?", "x"], [random_frames(8), random_frames(1)])
    mask = inputs["attention_mask"]
    assert mask[0].all()
    assert mask[1].tolist() == sorted(mask[1].tolist())
    assert (inputs["input_ids"][mask == 0] == processor.tokenizer.pad_token_id).all()
    assert inputs["num_frames_per_video"].tolist() == [8, 1]


def test_arrays_frames_and_conversations_are_one(processor: LlavaVideoProcessor) -> None:
    frames = random_frames(4)
    parts = [{"type": "video", "video": frames.pixels}, {"type": "text", "text": "What?"}]
    from_messages = processor.apply_chat_template([{"role": "user", "content": parts}])
    for name, value in processor("What?", frames).items():
        assert torch.equal(value, from_messages[name])


def test_more_frames_than_the_representation_takes(processor: LlavaVideoProcessor) -> None:
    with pytest.raises(InputError, match="9 frames are more than T = 8"):
        processor("What?", random_frames(9))


def test_more_frames_than_the_representation_takes_are_refused_before_decoding(
    processor: LlavaVideoProcessor,
) -> None:
    with pytest.raises(InputError, match=r"none\.mp4: 9 frames are more than T = 8"):
        processor.sample_frames("none.mp4", num_frames=9)  # which would not open


def test_prompts_beyond_the_context_are_refused(processor: LlavaVideoProcessor) -> None:
    processor.max_positions = 50
    with pytest.raises(InputError, match="of them video"):
        processor("What?", random_frames(8))
    processor.max_positions = 1024


def test_questions_and_videos_must_pair_up(processor: LlavaVideoProcessor) -> None:
    with pytest.raises(InputError, match="2 questions need as many videos"):
        processor(["a", "b"], [random_frames(1)])


def test_a_video_part_without_a_video(processor: LlavaVideoProcessor) -> None:
    with pytest.raises(InputError, match="holds what it shows under"):
        processor.apply_chat_template([{"role": "user", "content": [{"type": "video"}]}])


def test_save_and_load(processor: LlavaVideoProcessor, tmp_path) -> None:
    processor.save_pretrained(tmp_path)
    again = lv.LlavaVideoProcessor.from_pretrained(tmp_path)
    frames = random_frames(3)
    for name, value in processor("What?", frames).items():
        assert torch.equal(value, again("What?", frames)[name])
