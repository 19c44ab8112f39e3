"""Attention for training.

`packed_attention` is for samples that stand one behind the other in a row: each sees itself alone.
It goes through PyTorch's own causal attention, which never writes down the matrix of scores. There
is no mask: one of L x L numbers for a row of L tokens would be gigabytes.

`written_attention` does write scores down. For short rows and narrow heads on a CPU that is several
times faster than the backward pass of PyTorch's own.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

PACKED = "llava_video_packed"
"""Name of this attention in transformers' registry, for ``attn_implementation``."""

WRITTEN = "llava_video_written"
"""Likewise."""


@torch.compiler.disable  # type: ignore[untyped-decorator]  # lengths are numbers on the host
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
        cu_seq_lens_q: (N + 1,) where samples begin, and the end of the last; transformers' name.
        **kwargs: what else transformers passes.

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
    """Causal attention of the last L of S positions, query heads of a group as rows of one matrix.

    Args:
        module: the attention layer.
        query: (B, heads, L, d).
        key: (B, key heads, S, d); key heads divide heads.
        value: (B, key heads, S, d).
        attention_mask: None, or (B or 1, 1, L, S), True where attention may look.
        scaling: factor of the scores.
        **kwargs: what else transformers passes.

    Returns:
        (B, L, heads, d), and no scores.
    """
    batch, heads, length, width = query.shape
    groups, seen = key.shape[1:3]
    rows = query.reshape(batch, groups, -1, width) * (width**-0.5 if scaling is None else scaling)
    scores = (rows @ key.transpose(-1, -2)).float().view(batch, groups, -1, length, seen)
    if attention_mask is None:
        hidden = scores.new_ones(length, seen, dtype=torch.bool).triu(seen - length + 1)
    else:
        hidden = ~attention_mask[:, :, None]
    # Added, not filled in: the gradient of a sum is the gradient itself.
    bias = scores.new_zeros(hidden.shape).masked_fill_(hidden, torch.finfo(scores.dtype).min)
    weights = (scores + bias).softmax(-1)
    attended = weights.to(value.dtype).view(batch, groups, -1, seen) @ value
    return attended.view(batch, heads, length, width).transpose(1, 2).contiguous(), None


AttentionInterface.register(PACKED, packed_attention)
AttentionInterface.register(WRITTEN, written_attention)
AttentionMaskInterface.register(WRITTEN, sdpa_mask)
