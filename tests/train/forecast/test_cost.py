"""What a run would take, against FLOPs that PyTorch counts and the estimate of a plan."""

import dataclasses
from typing import Any

import pytest
from torch.utils.flop_counter import FlopCounterMode

from llava_video.errors import InputError
from llava_video.representation import make_layout
from llava_video.train.forecast.cost import Hardware, Work, sample_flops, training_cost
from llava_video.train.memory import Batch, estimate_memory
from llava_video.train.recipe import Recipe, load_recipe
from tests.model.small import random_frames, small_model, small_processor


def recipe(name: str = "video-sft", *changes: str) -> Recipe:
    unused = ["model=m", "mixture=x", "out=y", "representation=", "num_frames="]
    return load_recipe(name, [*unused, *changes])


FROZEN = ("learning_rates.vision_encoder=", "learning_rates.language_model=")


def counted_flops(is_trained: bool) -> tuple[float, int, int, Any]:
    """FLOPs that PyTorch counts for a video of 8 frames, its tokens, labels, and the model."""
    processor = small_processor()
    model = small_model(video_token_id=processor.video_token_id)
    model.set_attn_implementation("eager")  # of fused kernels on a CPU none are counted
    inputs = processor("What happens in it?", random_frames(8))
    num_tokens = inputs["input_ids"].shape[1]
    counter = FlopCounterMode(display=False)
    with counter:
        loss = model(**inputs, labels=inputs["input_ids"]).logits.sum()
        if is_trained:
            loss.backward()
    return float(counter.get_total_flops()), num_tokens, num_tokens, model


@pytest.mark.parametrize("is_trained", [False, True])
def test_flops_are_those_that_pytorch_counts(is_trained: bool) -> None:
    counted, num_tokens, num_answer, model = counted_flops(is_trained)
    config = model.config
    num_video = make_layout(config.representation, 8).num_tokens
    changes = () if is_trained else (*FROZEN, "learning_rates.projector=1e-5")
    work = Work(1, 8, num_tokens - num_video, num_answer)
    flops = sample_flops(recipe("video-sft", *changes), config, work, num_video)
    text = config.text
    # PyTorch counts attention between all positions, where only those before are seen; the patch
    # embedding and the gradient of pixels are its own, too.
    unseen = 4 * text.hidden_size * text.num_hidden_layers * num_tokens * (num_tokens - 1) / 2
    if is_trained:
        assert flops + 3 * unseen == pytest.approx(counted, rel=0.1)
    else:
        language = sample_flops(recipe(), config, work, num_video)
        assert language / 3 < flops < language
        assert (language / 3 + unseen) == pytest.approx(counted, rel=0.1)


def test_memory_is_that_of_the_plan_for_such_a_batch() -> None:
    config = small_model().config
    chosen = recipe("video-sft", "rows_per_step=2", "shard=true", "rows_per_update=8")
    found = training_cost(chosen, config, Work(10, 8, 40, 10), Hardware(4))
    num_video = make_layout(config.representation, 8).num_tokens
    batch = Batch(2 * (num_video + 40), 16, 2 * num_video, 20)
    assert found.memory == estimate_memory(chosen, config, batch, 4, "cuda")
    assert found.tokens_per_sample == num_video + 40


def test_more_devices_share_time_and_memory_and_not_the_price() -> None:
    config = small_model().config
    chosen, work = recipe("video-sft", "shard=true"), Work(1000, 8)
    one, eight = (training_cost(chosen, config, work, Hardware(n)) for n in (1, 8))
    assert one.seconds == pytest.approx(8 * eight.seconds)
    assert one.usd == pytest.approx(eight.usd)
    assert one.memory.optimizer > 7 * eight.memory.optimizer
    assert one.seconds == pytest.approx(1000 * one.flops_per_sample / (0.35 * 989e12))
    assert one.fits
    tight = dataclasses.replace(Hardware(1), memory_bytes=one.memory.peak - 1)
    assert not training_cost(chosen, config, work, tight).fits


def test_adapters_cost_less_than_everything_and_more_than_an_answer() -> None:
    config = small_model().config
    full, adapters = (
        training_cost(recipe(name), config, Work(10, 8), Hardware(1)).flops_per_sample
        for name in ("video-sft", "lora")
    )
    assert full / 3 < adapters < full


def test_more_frames_than_t_are_refused() -> None:
    with pytest.raises(InputError, match="9 frames are more than T = 8"):
        training_cost(recipe(), small_model().config, Work(1, 9), Hardware(1))
