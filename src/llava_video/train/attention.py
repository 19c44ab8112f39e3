"""Attention over samples that stand one behind the other in a row: each sees itself alone.

Each sample goes through PyTorch's own causal attention, which never writes down the matrix of
scores. There is no mask: one of L x L numbers for a row of L tokens would be gigabytes.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

PACKED = "llava_video_packed"
"""Name of this attention in transformers' registry, for ``attn_implementation``."""


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


AttentionInterface.register(PACKED, packed_attention)
