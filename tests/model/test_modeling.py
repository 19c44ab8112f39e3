"""The model computes the same thing in every way it can be asked to."""

from dataclasses import replace

import pytest
import torch

from llava_video.errors import InputError, RepresentationError
from llava_video.model import LlavaVideoConfig, LlavaVideoForConditionalGeneration, modeling
from llava_video.processing.processor import LlavaVideoProcessor
from llava_video.representation import VideoRepresentation, make_layout
from tests.model.small import (
    REPRESENTATION,
    random_frames,
    small_config,
    small_model,
    small_processor,
)

QUESTIONS = ["What colour is it?", "What?", "Is it red? It is not."]
NUM_FRAMES = [8, 3, 1]


@pytest.fixture(scope="module")
def processor():  # type: ignore[no-untyped-def]
    return small_processor()


@pytest.fixture(scope="module")
def model(processor):  # type: ignore[no-untyped-def]
    return small_model(video_token_id=processor.video_token_id)


@torch.no_grad()
def test_rows_of_a_batch_of_unequal_videos_equal_single_runs(model, processor) -> None:
    videos = [random_frames(count, seed=count) for count in NUM_FRAMES]
    batch = model(**processor(QUESTIONS, videos))
    for row, (question, video) in enumerate(zip(QUESTIONS, videos, strict=True)):
        single = model(**processor(question, video))
        length = single.logits.shape[1]
        torch.testing.assert_close(
            batch.logits[row, -length:], single.logits[0], rtol=1e-4, atol=1e-4
        )
        torch.testing.assert_close(batch.video_tokens[row], single.video_tokens[0])


def test_generation_in_a_batch_equals_single_runs(model, processor) -> None:
    videos = [random_frames(count, seed=count) for count in NUM_FRAMES]
    options = {"max_new_tokens": 6, "do_sample": False}
    batch = model.generate(**processor(QUESTIONS, videos), **options)
    for row, (question, video) in enumerate(zip(QUESTIONS, videos, strict=True)):
        single = model.generate(**processor(question, video), **options)
        assert batch[row, -6:].tolist() == single[0, -6:].tolist()


@torch.no_grad()
def test_generation_equals_asking_for_one_token_at_a_time(model, processor) -> None:
    inputs = processor("What colour is it?", random_frames(8))
    generated = model.generate(**inputs, max_new_tokens=5, do_sample=False)
    ids = inputs["input_ids"]
    for _ in range(5):
        output = model(
            input_ids=ids,
            pixel_values_videos=inputs["pixel_values_videos"],
            num_frames_per_video=inputs["num_frames_per_video"],
        )
        ids = torch.cat([ids, output.logits[:, -1].argmax(-1, keepdim=True)], dim=1)
    assert generated.tolist() == ids.tolist()


def test_samples_of_one_video_share_its_features(model, processor) -> None:
    inputs = processor("What?", random_frames(4))
    samples = model.generate(**inputs, max_new_tokens=3, do_sample=True, num_return_sequences=3)
    assert samples.shape[0] == 3
    beams = model.generate(**inputs, max_new_tokens=3, num_beams=2, do_sample=False)
    assert beams.shape[0] == 1


@torch.no_grad()
def test_text_only_turns_need_no_video(model, processor) -> None:
    inputs = processor("What colour is red?")
    assert set(inputs) == {"input_ids", "attention_mask"}
    language_model_only = model.lm_head(
        model.model.language_model(input_ids=inputs["input_ids"]).last_hidden_state
    )
    torch.testing.assert_close(model(**inputs).logits, language_model_only)


@torch.no_grad()
def test_frames_are_encoded_in_chunks_without_a_trace(model, monkeypatch) -> None:
    pixels = torch.randn(7, 3, 64, 64)
    whole = model.model.encode_frames(pixels)
    monkeypatch.setattr(modeling, "FRAMES_PER_VISION_CHUNK", 2)
    torch.testing.assert_close(model.model.encode_frames(pixels), whole, rtol=1e-5, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("pooling", ["average", "bilinear", "max"])
def test_tokens_equal_projecting_every_patch_and_pooling_afterwards(model, pooling: str) -> None:
    """Pooling early is a short cut for linear poolings, and is not taken for max pooling."""
    from llava_video.representation.packing import pack_video

    model.config.representation = replace(REPRESENTATION, pooling=pooling)
    pixels = torch.randn(8, 3, 64, 64)
    tokens = model.get_video_features(pixels, [8])[0]
    projector = model.model.projector
    features = model.model.encode_frames(pixels)
    projected = projector.linear_2(projector.activation(projector.linear_1(features)))
    layout = make_layout(model.config.representation, 8)
    expected = pack_video(
        projected, layout, newline_D=model.model.newline, separator_D=model.model.separator
    )
    model.config.representation = REPRESENTATION
    torch.testing.assert_close(tokens, expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("selection", ["evs", "tstm", "random"])
@pytest.mark.parametrize("newline", ["grid", "frame", "end", "none"])
@pytest.mark.parametrize("arrangement", ["interleaved", "fast_then_slow", "slow_then_fast"])
def test_placeholders_are_counted_before_the_model_chooses_tokens(
    model, processor, selection, newline, arrangement
) -> None:
    changes = {"selection": selection, "newline": newline, "arrangement": arrangement}
    representation = replace(REPRESENTATION, **changes, keep_ratio=0.4)
    videos = [random_frames(8), random_frames(5, seed=1), random_frames(8, seed=2)]
    inputs = processor.with_representation(representation)(["What?", "It is red.", "is"], videos)
    model.config.representation = representation
    tokens = model.get_video_features(inputs["pixel_values_videos"], inputs["num_frames_per_video"])
    output = model.generate(**inputs, max_new_tokens=3, do_sample=False)
    model.config.representation = REPRESENTATION
    counts = (inputs["input_ids"] == processor.video_token_id).sum(dim=1).tolist()
    assert counts == [len(several) for several in tokens]
    assert counts == [make_layout(representation, len(video)).num_tokens for video in videos]
    assert output.shape[1] <= inputs["input_ids"].shape[1] + 3


def test_a_selection_is_saved_with_the_configuration(tmp_path, processor) -> None:
    representation = replace(REPRESENTATION, selection="evs", keep_ratio=0.4)
    config = small_config(video_representation=representation.to_dict())
    config.save_pretrained(tmp_path)
    assert LlavaVideoConfig.from_pretrained(tmp_path).representation == representation
    processor.with_representation(representation).save_pretrained(tmp_path)
    assert LlavaVideoProcessor.from_pretrained(tmp_path).representation == representation


def test_every_parameter_but_the_unused_layer_norm_learns(model, processor) -> None:
    inputs = processor("What?", random_frames(8))
    model(**inputs, labels=inputs["input_ids"]).loss.backward()
    without = {name for name, weight in model.named_parameters() if weight.grad is None}
    model.zero_grad(set_to_none=True)
    assert without == {
        "model.vision_encoder.post_layernorm.weight",
        "model.vision_encoder.post_layernorm.bias",
    }


def test_placeholders_and_video_tokens_must_agree(model, processor) -> None:
    inputs = processor("What?", random_frames(8))
    first = inputs["input_ids"][0].tolist().index(processor.video_token_id)
    inputs["input_ids"] = torch.cat(
        [inputs["input_ids"][:, :first], inputs["input_ids"][:, first + 1 :]], dim=1
    )
    with pytest.raises(InputError, match="video placeholders, the videos make"):
        model(**{**inputs, "attention_mask": None})


def test_numbers_of_frames_must_add_up(model) -> None:
    with pytest.raises(InputError, match="adds up to 3, but there are 4 frames"):
        model.get_video_features(torch.zeros(4, 3, 64, 64), [1, 2])


def test_a_representation_for_another_grid_is_refused(model) -> None:
    model.config.representation = VideoRepresentation()
    with pytest.raises(RepresentationError, match="the vision encoder makes 64"):
        model.get_video_features(torch.zeros(1, 3, 64, 64), [1])
    model.config.representation = REPRESENTATION


def test_missing_vectors_are_not_made_up() -> None:
    model = small_model(has_newline=False)
    with pytest.raises(RepresentationError, match="needs a newline vector"):
        model.get_video_features(torch.zeros(1, 3, 64, 64), [1])


def test_save_and_load_keep_every_bit(model, tmp_path) -> None:
    model.save_pretrained(tmp_path)
    again = LlavaVideoForConditionalGeneration.from_pretrained(tmp_path)
    assert again.config.representation == model.config.representation
    for (name, weight), (same, loaded) in zip(
        model.state_dict().items(), again.state_dict().items(), strict=True
    ):
        assert name == same
        assert torch.equal(weight, loaded)


def test_default_configuration_is_so400m() -> None:
    config = small_config(vision_config=None, video_representation=None)
    assert config.grid_side == 27
    assert config.vision_config.num_hidden_layers == 26
    assert config.representation.grid_side == 27
