"""Decoding on a GPU as one recorded graph of kernels.

One token of a 7B model launches some 500 kernels of microseconds, and launching them from Python
takes several times as long as running them. A CUDA graph launches them at once, but needs keys and
values at fixed addresses. `FixedCache` has them, and unlike transformers' static cache it lets the
prompt attend to itself alone: a mask over empty positions would exclude the flash kernels.
`RecordedDecoding` records the forward pass of one token and replays it for the others, which takes
a fraction of a second where ``torch.compile`` takes a minute.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_unflatten
from transformers import Cache, PreTrainedConfig, PreTrainedModel
from transformers.cache_utils import StaticLayer

from llava_video.model.outputs import CACHE

NUM_WARM_UP_TOKENS = 3
"""Tokens decoded before the graph is recorded: libraries initialise in them, and an answer of one
letter needs no recording."""

POSITIONS_ALIGNED = 64
"""The cache holds a multiple of this many positions: products with rows of odd length are slow."""

_OWN_CHOICES = (
    CACHE,
    "cache_implementation",
    "compile_config",
    "assistant_model",
    "prompt_lookup_num_tokens",
    "return_dict_in_generate",
    "constraints",
    "force_words_ids",
)
"""Options of ``generate`` whose callers need a cache of their own choice."""


class PromptLayer(StaticLayer):
    """Keys and values of one layer at fixed addresses; the prompt attends to itself alone."""

    def __init__(self, max_cache_len: int) -> None:
        super().__init__(max_cache_len=max_cache_len)
        self._holds_prompt = False

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Store keys and values; returns what to attend to, each (B, key heads, S, d)."""
        stored: tuple[Tensor, Tensor] = super().update(key_states, value_states, *args, **kwargs)
        if self._holds_prompt:
            return stored
        self._holds_prompt = True
        return key_states, value_states

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Positions that a mask covers, and the first of them."""
        return (self.max_cache_len if self._holds_prompt else query_length), 0

    def reset(self) -> None:
        super().reset()
        self._holds_prompt = False


class FixedCache(Cache):
    """Keys and values of a model with full attention in every layer, for ``num_positions``."""

    def __init__(self, config: PreTrainedConfig, num_positions: int) -> None:
        num_layers = config.get_text_config(decoder=True).num_hidden_layers
        super().__init__(layers=[PromptLayer(num_positions) for _ in range(num_layers)])


class RecordedDecoding:
    """Calls a model, and after `NUM_WARM_UP_TOKENS` calls replays a recording of it.

    Every call must have tensors of the same shapes, and the same other values. The next call
    overwrites the outputs of the last.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        self._model = model
        self._num_calls = 0
        self._graph: torch.cuda.CUDAGraph | None = None
        self._inputs: list[Any] = []
        self._outputs: Any = None

    def __call__(self, **inputs: Any) -> Any:
        """What the model returns for these inputs."""
        if self._num_calls < NUM_WARM_UP_TOKENS:
            self._num_calls += 1
            return self._model(**inputs)
        values, structure = tree_flatten(inputs)  # masks come in a dictionary
        if self._graph is None:
            self._inputs = [v.clone() if isinstance(v, Tensor) else v for v in values]
            self._graph = torch.cuda.CUDAGraph()
            # Records without computing. Other threads may meanwhile use the GPU for their work.
            with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
                self._outputs = self._model(**tree_unflatten(self._inputs, structure))
        for recorded, value in zip(self._inputs, values, strict=True):
            if isinstance(recorded, Tensor):
                recorded.copy_(value)
        self._graph.replay()
        return self._outputs


def fixed_cache(
    model: PreTrainedModel,
    num_prompt_tokens: int,
    option: Callable[[str], Any],
) -> FixedCache | None:
    """The cache that lets ``generate`` record its decoding, or None where it cannot.

    Args:
        model: the whole model.
        num_prompt_tokens: L, video tokens included.
        option: looks up an option of ``generate`` by its name.
    """
    num_new_tokens = option("max_new_tokens")
    if (
        model.device.type != "cuda"
        or not num_new_tokens
        or num_new_tokens <= 2 * NUM_WARM_UP_TOKENS
        or (option("num_beams") or 1) > 1
        or option("use_cache") is False
        or any(option(name) for name in _OWN_CHOICES)
        or len(set((getattr(model, "hf_device_map", None) or {}).values())) > 1
        or set(model.config.get_text_config().layer_types) != {"full_attention"}
        or getattr(model, "hf_quantizer", None) is not None
    ):
        return None
    num_positions = num_prompt_tokens + num_new_tokens
    num_aligned = -(-num_positions // POSITIONS_ALIGNED) * POSITIONS_ALIGNED
    return FixedCache(model.config, num_aligned)
