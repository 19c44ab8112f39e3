"""Pack several conversations into one row.

Each attends to itself alone and its positions start at 0, so that loss and gradients are those of
single conversations. There are two ways: `pack` concatenates conversations, for attention that is
given their boundaries (`train.attention`). `join` and `pad_rows` make rows where conversations
about one video share its tokens, for attention with the mask of `branch_mask`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

LABEL_IGNORED = -100

_SAMPLES_PER_STRETCH = 1024


@dataclass(frozen=True, slots=True)
class Row:
    """Tokens of one row, each tensor (L,).

    Attributes:
        input_ids: token ids.
        labels: ids to predict, ``LABEL_IGNORED`` elsewhere.
        position_ids: positions, counted in each conversation.
        branch: 0 for the shared prefix, then the number of the conversation.
    """

    input_ids: Tensor
    labels: Tensor
    position_ids: Tensor
    branch: Tensor


def pack(conversations: Sequence[tuple[Sequence[int], Sequence[int]]]) -> dict[str, Any]:
    """Concatenate conversations, each ``(ids, labels)``, without padding.

    Returns:
        ``input_ids``, ``labels`` and ``position_ids`` (1, L). For attention, under transformers'
        names, the boundaries and the longest length: ``cu_seq_lens_q`` and ``_k`` (N + 1,)
        int32, ``max_length_q`` and ``_k``. For the output layer, which takes the most memory where
        most tokens are those of videos, the positions that something is asked of and what:
        ``logits_to_keep`` (K,), ``shift_labels`` (1, K).
    """
    lengths = [len(ids) for ids, _ in conversations]
    ids = torch.tensor([i for ids, _ in conversations for i in ids])
    # The first token of a conversation has no context to be predicted from.
    labels = torch.tensor([i for _, own in conversations for i in (LABEL_IGNORED, *own[1:])])
    positions = torch.cat([torch.arange(length) for length in lengths])
    begins = torch.tensor([0, *accumulate(lengths)], dtype=torch.int32)
    shifted = torch.cat([labels[1:], torch.tensor([LABEL_IGNORED])])
    asked = (shifted != LABEL_IGNORED).nonzero().squeeze(1)
    if len(asked) == 0:
        asked = torch.tensor([0])  # a loss of zero, so that there is a graph
    return {
        "input_ids": ids[None],
        "labels": labels[None],
        "position_ids": positions[None],
        "cu_seq_lens_q": begins,
        "cu_seq_lens_k": begins,
        "max_length_q": max(lengths),
        "max_length_k": max(lengths),
        "logits_to_keep": asked,
        "shift_labels": shifted[asked][None],
    }


def join(conversations: Sequence[tuple[Sequence[int], Sequence[int]]], num_shared: int = 0) -> Row:
    """Join conversations, each ``(ids, labels)``, into one row with a shared prefix.

    Args:
        conversations: at least one.
        num_shared: length of the shared prefix; none of its tokens is a label.
    """
    ids = list(conversations[0][0][:num_shared])
    labels = [LABEL_IGNORED] * num_shared
    positions = list(range(num_shared))
    branch = [0] * num_shared
    for number, (own_ids, own_labels) in enumerate(conversations, start=1):
        ids += own_ids[num_shared:]
        labels += own_labels[num_shared:]
        positions += range(num_shared, len(own_ids))
        branch += [number] * (len(own_ids) - num_shared)
    return Row(*(torch.tensor(values) for values in (ids, labels, positions, branch)))


def pad_rows(rows: Sequence[Row], padding_id: int) -> dict[str, Tensor]:
    """Pad rows on the right and batch them.

    Returns:
        ``input_ids``, ``labels``, ``position_ids`` and ``branches``, each (B, L). Padding counts as
        shared, which is harmless: it comes last, and attention is causal.
    """
    padding = {"input_ids": padding_id, "labels": LABEL_IGNORED, "position_ids": 0, "branch": 0}
    batch = {
        name: pad_sequence([getattr(row, name) for row in rows], True, value)
        for name, value in padding.items()
    }
    batch["branches"] = batch.pop("branch")
    return batch


def branch_mask(branches_BL: Tensor, dtype: torch.dtype) -> Tensor:
    """The mask of `pad_rows`: earlier tokens of the own conversation and of the shared prefix.

    A mask of another dtype than the computation's would be converted, and kept, in every layer.

    Args:
        branches_BL: ``branches`` of `pad_rows`, on the device of the model.
        dtype: dtype of the attention.

    Returns:
        (B, 1, L, L), added to scores: 0 where attention is allowed, the lowest number elsewhere.
    """
    size, length = branches_BL.shape
    hidden = branches_BL[:, None, :, None] != branches_BL[:, None, None, :]  # (B, 1, L, L)
    hidden &= (branches_BL != 0)[:, None, None, :]
    hidden |= torch.ones(length, length, dtype=torch.bool, device=hidden.device).triu_(1)
    # Kernels of GPUs copy a mask whose rows do not begin at multiples of 8.
    wide = torch.zeros(size, 1, length, -(-length // 8) * 8, dtype=dtype, device=hidden.device)
    return wide[..., :length].masked_fill_(hidden, torch.finfo(dtype).min)


def plan_rows(
    lengths: Sequence[int], max_tokens: int, *, packing: bool, rows_per_step: int, seed: int
) -> list[tuple[int, ...]]:
    """Assign samples to rows, for one epoch, in the order of training.

    Packed rows are filled best-fit-decreasing within shuffled stretches of samples. Rows of one
    sample are sorted by length within stretches, so that those of one step are about as long.

    Args:
        lengths: tokens per sample, those of videos included; none above ``max_tokens``.
        max_tokens: the longest row.
        packing: whether rows may hold several samples.
        rows_per_step: rows that are computed together.
        seed: order of the samples.
    """
    generator = torch.Generator().manual_seed(seed)
    order: list[int] = torch.randperm(len(lengths), generator=generator).tolist()
    rows: list[tuple[int, ...]] = []
    for start in range(0, len(order), _SAMPLES_PER_STRETCH):
        stretch = sorted(order[start : start + _SAMPLES_PER_STRETCH], key=lambda i: -lengths[i])
        rows += _fill(stretch, lengths, max_tokens) if packing else [(i,) for i in stretch]
    num_steps = len(rows) // rows_per_step
    mixed: list[int] = torch.randperm(num_steps, generator=generator).tolist()
    # A last step of fewer rows stays last: elsewhere it would shift all steps behind it.
    return [
        row
        for step in (*mixed, num_steps)
        for row in rows[step * rows_per_step : (step + 1) * rows_per_step]
    ]


def _fill(
    longest_first: Sequence[int], lengths: Sequence[int], max_tokens: int
) -> list[tuple[int, ...]]:
    """Put each sample into the fullest row that still has room for it."""
    rows: list[list[int]] = []
    room: list[int] = []
    for sample in longest_first:
        fits = [row for row, left in enumerate(room) if left >= lengths[sample]]
        if fits:
            best = min(fits, key=room.__getitem__)
            rows[best].append(sample)
            room[best] -= lengths[sample]
        else:
            rows.append([sample])
            room.append(max_tokens - lengths[sample])
    return [tuple(row) for row in rows]
