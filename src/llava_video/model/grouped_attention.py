"""Attention of one new token without repeating keys and values.

In grouped-query attention several query heads share one head of keys and values. transformers
either repeats keys and values for each token and layer, or leaves the sharing to PyTorch's kernel,
depending on its version and on padding. Here the query heads of a group are rows of one matrix,
which is the same arithmetic in less time. On a GPU with the mask of a fixed cache, scores are
materialised: PyTorch's masked kernels give one multiprocessor to each head of keys, and leave the
others idle.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

GROUPED = "llava_video_grouped"
"""Name of this attention in transformers' registry, for ``attn_implementation``."""


def grouped_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attend to all keys from one position; other shapes are left to ``sdpa``.

    Args:
        module: the attention layer.
        query: (B, heads, L, d).
        key: (B, key heads, S, d); key heads divide heads.
        value: (B, key heads, S, d).
        attention_mask: None or (B, 1, L, S), as transformers makes it for ``sdpa``.
        scaling: factor of the scores.
        dropout: probability of dropping a score.
        **kwargs: passed on to ``sdpa``.

    Returns:
        (B, L, heads, d), and None for the scores.
    """
    heads_per_group = query.shape[1] // key.shape[1]
    on_gpu = query.device.type == "cuda"
    if (
        query.shape[2] != 1
        or heads_per_group == 1
        or not (query.device.type == "cpu" or (on_gpu and attention_mask is not None))
    ):
        outputs: tuple[Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
        return outputs
    # (B, heads, 1, d) -> (B, key heads, heads per group, d)
    rows = query.squeeze(2).unflatten(1, (key.shape[1], heads_per_group))
    if on_gpu and attention_mask is not None:
        scores = (rows * (query.shape[3] ** -0.5 if scaling is None else scaling)) @ key.mT
        scores = scores.where(attention_mask, -torch.inf)  # (B, key heads, heads per group, S)
        attended = scores.softmax(-1, dtype=torch.float32).to(value.dtype) @ value
    else:
        attended = scaled_dot_product_attention(
            rows, key, value, attn_mask=attention_mask, dropout_p=dropout, scale=scaling
        )
    return attended.flatten(1, 2)[:, None], None  # (B, 1, heads, d)


AttentionInterface.register(GROUPED, grouped_attention)
AttentionMaskInterface.register(GROUPED, sdpa_mask)
