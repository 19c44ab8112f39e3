"""The work of an answer is what a real model does, and rates turn it into time."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from llava_video.budget.latency import Rates, Work, count_work, measure_rates
from llava_video.errors import InputError
from llava_video.model.outputs import CACHE
from llava_video.representation import make_layout
from tests.model.small import random_frames, small_config, small_model, small_processor


@pytest.mark.parametrize("num_frames", [1, 8])
@torch.no_grad()
def test_operations_are_those_of_a_real_model(num_frames: int) -> None:
    processor = small_processor()
    model = small_model(video_token_id=processor.video_token_id)
    model.set_attn_implementation("eager")
    inputs = processor("What?", random_frames(num_frames))
    num_prompt_tokens = inputs["input_ids"].shape[1]
    work = count_work(
        model.config,
        torch.float32,
        num_frames=num_frames,
        num_video_tokens=make_layout(model.config.representation, num_frames).num_tokens,
        num_prompt_tokens=num_prompt_tokens,
        num_new_tokens=1,
    )
    with FlopCounterMode(display=False) as vision:
        model.model.encode_frames(inputs["pixel_values_videos"])
    assert work.vision_flops == vision.get_total_flops()
    with FlopCounterMode(display=False) as whole:
        model(**inputs, logits_to_keep=1)
    text = model.config.text_config
    # Eagerly, a token also attends to those after it, with a weight of zero.
    unseen = 2 * num_prompt_tokens**2 * text.hidden_size * text.num_hidden_layers
    prefill = whole.get_total_flops() - vision.get_total_flops() - unseen
    # Newlines and separators are video tokens that do not go through the projector.
    assert prefill <= work.prefill_flops <= 1.02 * prefill
    assert work.decode_bytes == 0


@torch.no_grad()
def test_bytes_are_those_of_weights_and_cache() -> None:
    model = small_model()
    output = model(input_ids=torch.ones(1, 20, dtype=torch.long), use_cache=True)
    cache = sum(layer.keys.nbytes + layer.values.nbytes for layer in output[CACHE].layers)
    weights = sum(
        module.weight.nbytes
        for part in (model.model.language_model, model.lm_head)
        for module in part.modules()
        if isinstance(module, torch.nn.Linear)
    )
    counts = {"num_frames": 0, "num_video_tokens": 0, "num_prompt_tokens": 18}
    work = count_work(model.config, torch.float32, **counts, num_new_tokens=4)
    assert work.decode_bytes == 3 * (weights + cache)  # at the middle of the answer


def test_time_is_work_by_rate() -> None:
    took = Work(100.0, 60.0, 30.0).at(Rates(50.0, 20.0, 10.0, "as given"))
    assert (took.vision_seconds, took.prefill_seconds, took.decode_seconds) == (2, 3, 3)
    assert took.total_seconds == 8


def test_rates_are_measured_with_the_shapes_of_the_model() -> None:
    rates = measure_rates(small_config(), torch.float32, torch.device("cpu"))
    assert rates.source == "measured on cpu just now"
    assert min(rates.vision_flops, rates.prefill_flops, rates.decode_bytes) > 0


@pytest.mark.parametrize("rate", [0.0, -1.0, float("inf"), float("nan")])
def test_rates_that_cannot_be(rate: float) -> None:
    with pytest.raises(InputError, match="cannot work at a rate"):
        Rates(1.0, rate, 1.0, "as given")
