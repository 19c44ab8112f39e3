"""What to expect of the known models on this machine."""

from __future__ import annotations

import functools
import sys
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from llava_video.budget.devices import free_memory_bytes
from llava_video.budget.dtypes import fastest_dtype
from llava_video.budget.inference_memory import MemoryModel
from llava_video.budget.latency import Rates, measure_rates
from llava_video.budget.planner import Option, Planner
from llava_video.checkpoints.known_models import KNOWN_MODELS, KnownModel

NUM_FRAMES = 16
NUM_NEW_TOKENS = 64
"""A short video and a short answer, for which expectations are given."""

PROBE_TOKENS = 128
"""Length of the prompt that the machine is measured with: seconds, not a minute."""


@dataclass(frozen=True, slots=True)
class Expectation:
    """One model on one device, for `NUM_FRAMES` frames and `NUM_NEW_TOKENS` tokens.

    Attributes:
        model: its short name.
        dtype: that it would run in.
        memory_bytes: the most that an answer takes, weights included.
        problem: why it does not fit, or None.
        first_token_seconds: from the frames to the first token; reading the video and loading the
            weights come before.
        tokens_per_second: of the answer.
    """

    model: str
    dtype: str
    memory_bytes: int
    problem: str | None
    first_token_seconds: float
    tokens_per_second: float

    def to_dict(self) -> dict[str, Any]:
        """The attributes as JSON-compatible values."""
        return asdict(self)


@functools.cache
def measure_expectations(device: torch.device) -> list[Expectation]:
    """Measure the device with layers of the smallest known model, and count for all of them.

    Raises:
        InputError: the device has too little memory to be measured.
    """
    smallest = KNOWN_MODELS[0].config()
    fast = fastest_dtype(torch.bfloat16) if device.type == "cpu" else torch.bfloat16

    @functools.cache
    def rates(dtype: torch.dtype) -> Rates:
        return measure_rates(smallest, dtype, device, num_tokens=PROBE_TOKENS)

    found = []
    for model in KNOWN_MODELS:
        dtype, option = fast, _judge(model, fast, device, rates(fast))
        if option.rejection is not None and fast != torch.bfloat16:
            smaller = _judge(model, torch.bfloat16, device)
            if smaller.rejection is None:  # slow, but it runs
                dtype = torch.bfloat16
                option = _judge(model, dtype, device, rates(dtype))
        found.append(_expectation(model, dtype, option))
    return found


def _judge(
    model: KnownModel, dtype: torch.dtype, device: torch.device, rates: Rates | None = None
) -> Option:
    memory = MemoryModel.of(model.config(), dtype, device.type)
    free_bytes = free_memory_bytes(device)
    planner = Planner(
        memory,
        sys.maxsize if free_bytes is None else free_bytes,
        num_new_tokens=NUM_NEW_TOKENS,
        rates=rates,
    )
    return planner.judge(replace(memory.config.representation, max_frames=NUM_FRAMES))


def _expectation(model: KnownModel, dtype: torch.dtype, option: Option) -> Expectation:
    assert option.memory is not None and option.latency is not None
    latency = option.latency
    return Expectation(
        model.short_name,
        str(dtype).removeprefix("torch."),
        option.memory.peak,
        option.rejection,
        round(latency.vision_seconds + latency.prefill_seconds, 2),
        round((NUM_NEW_TOKENS - 1) / latency.decode_seconds, 2),
    )
