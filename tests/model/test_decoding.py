"""A cache in fixed memory gives the tokens of one that grows."""

import pytest
import torch

from llava_video.model.decoding import NUM_WARM_UP_TOKENS, FixedCache, fixed_cache
from llava_video.model.grouped_attention import GROUPED
from llava_video.model.outputs import CACHE
from tests.model.small import random_frames, small_model, small_processor


@pytest.mark.parametrize("attention", ["sdpa", "eager", GROUPED])
@pytest.mark.parametrize("num_questions", [1, 2])
def test_fixed_memory_changes_no_token(attention: str, num_questions: int) -> None:
    processor = small_processor()
    model = small_model(video_token_id=processor.video_token_id)
    model.set_attn_implementation({"text_config": attention})
    # Rows of unequal length: the shorter one is padded.
    questions = ["What colour is it?", "Red? It is red."][:num_questions]
    inputs = processor(questions, [random_frames(3), random_frames(8)][:num_questions])
    options = {"max_new_tokens": 12, "do_sample": False, "pad_token_id": 0}
    expected = model.generate(**inputs, **options)
    num_positions = inputs["input_ids"].shape[1] + 12
    given = model.generate(**inputs, **options, **{CACHE: FixedCache(model.config, num_positions)})
    assert given.tolist() == expected.tolist()


def test_a_prompt_needs_no_mask_over_empty_places() -> None:
    cache = FixedCache(small_model().config, 40)
    assert cache.get_mask_sizes(7, 0) == (7, 0)
    states = torch.randn(1, 2, 7, 12)
    keys, values = cache.update(states, states, 0)
    assert keys.shape[2] == values.shape[2] == 7
    assert cache.get_mask_sizes(1, 0) == (40, 0)
    keys, _ = cache.update(states[:, :, :1], states[:, :, :1], 0)
    assert keys.shape[2] == 40
    torch.testing.assert_close(keys[:, :, :7], states)
    torch.testing.assert_close(keys[:, :, 7:8], states[:, :, :1])


def test_a_cpu_decodes_as_always() -> None:
    model = small_model()
    options = {"max_new_tokens": 10 * NUM_WARM_UP_TOKENS}
    assert fixed_cache(model, 10, options.get) is None
