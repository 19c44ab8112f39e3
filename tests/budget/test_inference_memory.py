"""The memory model's terms are the sizes of the tensors that the model really makes."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from llava_video.budget.inference_memory import MemoryModel, count_parameters
from llava_video.model import LlavaVideoConfig
from llava_video.model.outputs import CACHE
from llava_video.representation import make_layout
from tests.budget.memory import SEVEN_B
from tests.model.small import random_frames, small_config, small_model, small_processor


@pytest.mark.parametrize("tied", [False, True])
def test_parameters_are_those_of_the_model(tied: bool) -> None:
    text = {**small_config().text_config.to_dict(), "tie_word_embeddings": tied}
    model = small_model(text_config=text, tie_word_embeddings=tied)
    assert count_parameters(model.config) == sum(p.numel() for p in model.parameters())


def test_the_7b_has_the_published_size() -> None:
    """Four shards of 16.06 GB; 28 layers x 4 heads x 128 x 2 x 2 bytes of cache per token."""
    model = MemoryModel.of(LlavaVideoConfig(**SEVEN_B))
    assert model.num_parameters * 2 == pytest.approx(16.06e9, rel=1e-3)
    assert model.key_value_bytes_per_token == 57_344


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("num_frames", [1, 5, 8])
@torch.no_grad()
def test_terms_are_the_bytes_of_real_tensors(dtype: torch.dtype, num_frames: int) -> None:
    processor = small_processor()
    model = small_model(video_token_id=processor.video_token_id).to(dtype)
    inputs = processor("What?", random_frames(num_frames))
    num_prompt_tokens = inputs["input_ids"].shape[1]
    num_video_tokens = make_layout(model.config.representation, num_frames).num_tokens
    estimated = MemoryModel.of(model.config, dtype).estimate(
        num_frames=num_frames,
        num_video_tokens=num_video_tokens,
        num_prompt_tokens=num_prompt_tokens,
        num_new_tokens=0,
    )
    pixels = inputs["pixel_values_videos"]
    output = model(**inputs, use_cache=True)
    assert estimated.weights == sum(p.nbytes for p in model.parameters())
    assert estimated.pixels == pixels.nbytes
    assert estimated.features == model.model.encode_frames(pixels).nbytes
    assert estimated.video_tokens == output.video_tokens[0].nbytes
    assert (
        estimated.embeddings
        == 2 * model.model.embed(inputs["input_ids"], output.video_tokens).nbytes
    )
    cache = output[CACHE].layers
    assert estimated.key_value_cache == sum(k.keys.nbytes + k.values.nbytes for k in cache)
    assert estimated.logits == output.logits[0, -1].nbytes + output.logits[0, -1].float().nbytes


@settings(deadline=None, max_examples=30)
@given(num_frames=st.integers(1, 300), num_text_tokens=st.integers(0, 500), more=st.integers(1, 50))
def test_the_peak_grows_with_frames_and_holds_every_part(
    num_frames: int, num_text_tokens: int, more: int
) -> None:
    model = MemoryModel(small_config(), torch.bfloat16, 1_000_000, "cuda")

    def estimate(count: int):  # type: ignore[no-untyped-def]
        return model.estimate(
            num_frames=count,
            num_video_tokens=20 * count,
            num_prompt_tokens=20 * count + num_text_tokens,
            num_new_tokens=10,
        )

    less = estimate(num_frames)
    assert less.peak < estimate(num_frames + more).peak
    assert less.peak == max(less.moments.values())
    assert less.peak == less.weights + less.key_value_cache + less.activations
    for part in (less.features, less.key_value_cache, less.prefill_activations):
        assert less.peak > less.weights + part
