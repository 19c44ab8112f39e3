"""Keys and values of prompts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import Cache, DynamicCache

from llava_video.chat.local.rows import Row
from llava_video.model.modeling import LlavaVideoForConditionalGeneration
from llava_video.model.outputs import CACHE

KeysValues = tuple[tuple[Tensor, Tensor], ...]
"""Keys and values of each layer, (key heads, S, d)."""


def embed(
    network: LlavaVideoForConditionalGeneration, row: Row, tokens: Sequence[Tensor | None]
) -> Tensor:
    """Embedded tokens of a row: (L,) -> (L, D).

    Args:
        network: the model.
        row: ids and the places of media.
        tokens: (V, D) of each medium of the row; None for those without a place in it.
    """
    is_media = torch.from_numpy(row.media >= 0)
    ids = torch.from_numpy(row.ids).masked_fill(is_media, 0).to(network.device)
    embeddings: Tensor = network.get_input_embeddings()(ids)
    for medium, tokens_VD in enumerate(tokens):
        if tokens_VD is not None:
            is_own = torch.from_numpy(row.media == medium).to(network.device)
            offsets = torch.from_numpy(row.offsets).to(network.device)[is_own]
            embeddings[is_own] = tokens_VD[offsets].to(embeddings)
    return embeddings


def prefill(
    network: LlavaVideoForConditionalGeneration, embeddings_LD: Tensor
) -> tuple[KeysValues, Tensor]:
    """Keys and values of a prompt, and its last hidden states (L, D)."""
    cache = DynamicCache()
    options: dict[str, Any] = {CACHE: cache}
    output = network.model.language_model(
        inputs_embeds=embeddings_LD[None], use_cache=True, **options
    )
    return keys_values_of(cache, 0, slice(None)), output.last_hidden_state[0]


def keys_values_of(cache: Cache, row: int, columns: slice) -> KeysValues:
    """Keys and values of some columns of a row of a batch; views."""
    return tuple(
        (layer.keys[row, :, columns], layer.values[row, :, columns]) for layer in cache.layers
    )


def pad_left(rows: Sequence[KeysValues]) -> tuple[Cache, Tensor]:
    """A batch of keys and values of rows of unequal length S, and its mask (B, S), 0 at padding."""
    lengths = [row[0][0].shape[1] for row in rows]
    longest = max(lengths)
    cache = DynamicCache()
    for layer in range(len(rows[0])):
        keys, values = (
            torch.stack(
                [
                    torch.nn.functional.pad(row[layer][which], (0, 0, longest - length, 0))
                    for row, length in zip(rows, lengths, strict=True)
                ]
            )
            for which in (0, 1)
        )
        cache.update(keys, values, layer)
    device = rows[0][0][0].device
    columns = torch.arange(longest, device=device)
    mask = columns >= longest - torch.tensor(lengths, device=device)[:, None]
    return cache, mask.long()
