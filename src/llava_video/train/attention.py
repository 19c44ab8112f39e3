"""Attention for training.

`packed_attention` is for samples packed into a row: each attends to itself alone. It calls
PyTorch's fused causal attention, which never materialises the matrix of scores. There is no mask:
one of L x L numbers for a row of L tokens would be gigabytes.

`written_attention` materialises the scores. For short rows and narrow heads on a CPU that is
several times faster than the backward pass of PyTorch's fused attention.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

PACKED = "llava_video_packed"

WRITTEN = "llava_video_written"
"""Names in transformers' registry, for ``attn_implementation``."""


@torch.compiler.disable  # type: ignore[untyped-decorator]  # lengths are read on the host
def packed_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    cu_seq_lens_q: Tensor,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attend within each sample.

    Args:
        module: the attention layer.
        query: (1, heads, L, d).
        key: (1, key heads, L, d).
        value: (1, key heads, L, d).
        attention_mask: None.
        cu_seq_lens_q: (N + 1,) where samples begin, and the end of the last.
        **kwargs: further arguments of transformers' interface.

    Returns:
        (1, L, heads, d), and no scores.
    """
    lengths = cu_seq_lens_q.diff().tolist()
    # Split, not sliced: the gradient of a slice is a whole row of zeros around it.
    samples = zip(*(states.split(lengths, dim=2) for states in (query, key, value)), strict=True)
    attended = [sdpa_attention_forward(module, *one, None, **kwargs)[0] for one in samples]
    return torch.cat(attended, dim=1), None


def written_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Causal attention of the last L of S positions with materialised scores.

    Query heads that share a key head are rows of one matrix, so that keys are not repeated.

    Args:
        module: the attention layer.
        query: (B, heads, L, d).
        key: (B, key heads, S, d); key heads divide heads.
        value: (B, key heads, S, d).
        attention_mask: None, or (B or 1, 1, L, S), True where attention is allowed.
        scaling: factor of the scores.
        **kwargs: further arguments of transformers' interface.

    Returns:
        (B, L, heads, d), and no scores.
    """
    batch, heads, length, width = query.shape
    groups, num_keys = key.shape[1:3]
    # (B, heads, L, d) -> (B, key heads, heads / key heads * L, d)
    rows = query.reshape(batch, groups, -1, width) * (width**-0.5 if scaling is None else scaling)
    # (B, key heads, heads / key heads, L, S)
    scores = (rows @ key.transpose(-1, -2)).float().view(batch, groups, -1, length, num_keys)
    if attention_mask is None:
        hidden = scores.new_ones(length, num_keys, dtype=torch.bool).triu(num_keys - length + 1)
    else:
        hidden = ~attention_mask[:, :, None]  # (B, 1, 1, L, S)
    # Added, not filled in: the gradient of a sum is the gradient itself.
    bias = scores.new_zeros(hidden.shape).masked_fill_(hidden, torch.finfo(scores.dtype).min)
    weights = (scores + bias).softmax(-1)
    attended = weights.to(value.dtype).view(batch, groups, -1, num_keys) @ value
    return attended.view(batch, heads, length, width).transpose(1, 2).contiguous(), None


AttentionInterface.register(PACKED, packed_attention)
AttentionInterface.register(WRITTEN, written_attention)
AttentionMaskInterface.register(WRITTEN, sdpa_mask)
