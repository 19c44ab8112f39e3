"""Folding query heads into rows changes nothing but the time."""

import pytest
import torch
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from llava_video.checkpoints.load import load
from llava_video.model.grouped_attention import GROUPED, grouped_attention
from tests.model.small import random_frames


class Layer(torch.nn.Module):
    def __init__(self, num_groups: int) -> None:
        super().__init__()
        self.num_key_value_groups = num_groups
        self.is_causal = True


@pytest.mark.parametrize("num_new", [1, 3])
@pytest.mark.parametrize(("num_heads", "num_key_heads"), [(14, 2), (4, 4), (6, 1)])
@pytest.mark.parametrize("masked", [False, True])
def test_attention_equals_sdpa(
    num_new: int, num_heads: int, num_key_heads: int, masked: bool
) -> None:
    torch.manual_seed(0)
    query = torch.randn(2, num_heads, num_new, 8)
    key, value = torch.randn(2, 2, num_key_heads, 50, 8)
    mask = None
    if masked:
        mask = torch.ones(2, 1, num_new, 50, dtype=torch.bool)
        mask[1, ..., :20] = False
    layer = Layer(num_heads // num_key_heads)
    arguments = (layer, query, key, value, mask)
    expected, _ = sdpa_attention_forward(*arguments, scaling=0.3)
    given, _ = grouped_attention(*arguments, scaling=0.3)
    assert given.shape == (2, num_new, num_heads, 8)
    torch.testing.assert_close(given, expected)


def test_it_is_the_default_on_a_cpu_and_only_of_the_language_model(small_checkpoint) -> None:  # type: ignore[no-untyped-def]
    config = load(small_checkpoint)[0].config
    assert config.text_config._attn_implementation == GROUPED
    assert config.vision_config._attn_implementation == "sdpa"
    config = load(small_checkpoint, attn_implementation="sdpa")[0].config
    assert config.text_config._attn_implementation == "sdpa"


@pytest.mark.parametrize("cache", [None, "static"])
def test_generation_is_the_same_with_every_attention(small_checkpoint, cache) -> None:  # type: ignore[no-untyped-def]
    questions, videos = ["What?", "Is it red?"], [random_frames(3), random_frames(8)]
    answers = []
    for options in ({}, {"attn_implementation": "sdpa"}, {"attn_implementation": "eager"}):
        model, processor = load(small_checkpoint, **options)
        model.generation_config.cache_implementation = cache
        model.generation_config.disable_compile = True
        inputs = processor(questions, videos)
        output = model.generate(
            **inputs,
            max_new_tokens=8,
            do_sample=False,
            output_logits=True,
            return_dict_in_generate=True,
        )
        answers.append((output.sequences, torch.stack(output.logits)))
    for ids, logits in answers[1:]:
        assert torch.equal(ids, answers[0][0])
        torch.testing.assert_close(logits, answers[0][1], rtol=1e-4, atol=1e-4)


def test_saving_does_not_ask_others_for_it(small_checkpoint, tmp_path) -> None:  # type: ignore[no-untyped-def]
    model, processor = load(small_checkpoint)
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    assert GROUPED not in (tmp_path / "config.json").read_text()
    load(tmp_path)
