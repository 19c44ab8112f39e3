"""Keys and values of prompts: what is held is taken, what several share is computed once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers import Cache, DynamicCache

from llava_video.chat.local.media import Loaded
from llava_video.chat.local.prefix_tree import KeysValues, PrefixTree, part_of
from llava_video.chat.local.rows import Row, common_length
from llava_video.model.decoding import fixed_cache
from llava_video.model.modeling import LlavaVideoForConditionalGeneration
from llava_video.model.outputs import CACHE

MIN_SHARED_TOKENS = 64
"""Fewer tokens that rows share are computed for each: a pass through the weights costs more."""

MAX_TOKENS_TOGETHER = 2048
"""Tokens of rows that are computed in one batch, padding included; longer rows go alone."""


@dataclass(slots=True, eq=False)
class PromptState:
    """A row, and the keys and values of its first tokens.

    Attributes:
        row: the prompt.
        length: tokens whose keys and values there are.
        parts: keys and values of them, one part after the other.
        num_prefilled: tokens that were computed for this row.
        num_encoded: frames and tiles that were encoded for this row.
    """

    row: Row
    length: int
    parts: list[KeysValues]
    num_prefilled: int = 0
    num_encoded: int = 0

    @property
    def num_left(self) -> int:
        """Tokens before the last whose keys and values are missing."""
        return len(self.row) - 1 - self.length

    def joined(self) -> KeysValues:
        """The parts as one."""
        if len(self.parts) != 1:
            self.parts = [join(self.parts)]
        return self.parts[0]

    def take(self, other: PromptState, length: int) -> None:
        """Take the first tokens of another row, which are the same."""
        length = min(length, other.length)
        if length > self.length:
            self.parts = [part_of(other.joined(), slice(0, length))]
            self.length = length


class Prefiller:
    """Computes the keys and values of the prompts of a batch, but for their last tokens.

    Args:
        network: the model.
        tree: holds those of earlier prompts, and gets these.
        tokens_of: the (V, D) tokens of a medium, and how many pictures it encoded for them.
    """

    def __init__(
        self,
        network: LlavaVideoForConditionalGeneration,
        tree: PrefixTree,
        tokens_of: Callable[[Loaded], tuple[Tensor, int]],
    ) -> None:
        self._network = network
        self._tree = tree
        self._tokens_of = tokens_of
        self._tokens: dict[str, Tensor] = {}

    def match(self, rows: Sequence[Row]) -> list[PromptState]:
        """The rows with what is held of them; tokens of the media after it are made."""
        states = [PromptState(row, *self._tree.match(row.keys[:-1])) for row in rows]
        for state in states:
            state.num_encoded = self.encode(state.row, state.length)
        return states

    def encode(self, row: Row, start: int) -> int:
        """Make the tokens of the media from a position on; returns how many pictures that took."""
        num_encoded = 0
        for index in np.unique(row.media[start:]):
            medium = row.loaded[index] if index >= 0 else None
            if medium is not None and medium.digest not in self._tokens:
                self._tokens[medium.digest], num = self._tokens_of(medium)
                num_encoded += num
        return num_encoded

    def run(self, states: Sequence[PromptState]) -> None:
        """Compute what is missing."""
        # Rows that begin alike are neighbours, and none shares more with a row than its neighbours.
        states = sorted(states, key=lambda state: state.row.keys.tobytes())
        shared = [0] + [
            min(common_length(one.row.keys, other.row.keys), len(one.row) - 1, len(other.row) - 1)
            for one, other in pairwise(states)
        ]
        for place, state in enumerate(states):
            if place:
                state.take(states[place - 1], shared[place])
            longest = max(shared[place : place + 2])
            if longest - state.length >= MIN_SHARED_TOKENS:
                self.advance([state], [longest])
        for group in _groups(states, shared):
            self.advance(group, [len(state.row) - 1 for state in group])

    def advance(
        self, states: Sequence[PromptState], ends: Sequence[int], *, hold: bool = True
    ) -> list[Tensor]:
        """Compute rows that have the same tokens so far up to their ends.

        Args:
            states: rows of one length so far.
            ends: the length that each shall have.
            hold: whether to hold the results for later prompts.

        Returns:
            Last hidden states of the tokens that were computed, (end - length, D) of each row.
        """
        start = states[0].length
        tails = [
            self.embed(state.row.only(np.arange(start, end)))
            for state, end in zip(states, ends, strict=True)
        ]
        longest = max(map(len, tails))
        if longest == 0:
            return tails
        past = states[0].joined() if start else ()
        cache = _cache_of(
            [(k.expand(len(tails), *k.shape), v.expand(len(tails), *v.shape)) for k, v in past]
        )
        paddings = [longest - len(tail) for tail in tails]
        device = tails[0].device
        first = torch.tensor(paddings, device=device)[:, None]
        columns = torch.arange(longest, device=device)
        options: dict[str, Any] = {CACHE: cache}
        if any(paddings):
            is_token = torch.ones(len(tails), start + longest, dtype=torch.long, device=device)
            is_token[:, start:] = columns >= first
            options["attention_mask"] = is_token
        hidden = self._network.model.language_model(
            inputs_embeds=torch.stack(
                [pad(tail, (0, 0, longest - len(tail), 0)) for tail in tails]
            ),
            position_ids=start + (columns - first).clamp(min=0),
            use_cache=True,
            **options,
        ).last_hidden_state
        for index, (state, end) in enumerate(zip(states, ends, strict=True)):
            new = columns_of(cache, index, slice(start + paddings[index], None))
            if hold:
                self._tree.insert(state.row.keys[:end], start, new)
            whole = columns_of(cache, index, slice(None)) if len(tails) == 1 else None
            state.parts = [*state.parts, new] if whole is None else [whole]
            state.num_prefilled += end - start
            state.length = end
        return [hidden[index, padding:] for index, padding in enumerate(paddings)]

    def embed(self, row: Row) -> Tensor:
        """Embedded tokens of a row, (L, D)."""
        device = self._network.device
        ids = torch.from_numpy(np.where(row.media < 0, row.ids, 0)).to(device)
        embeddings: Tensor = self._network.get_input_embeddings()(ids)
        for index, medium in enumerate(row.loaded):
            places = np.flatnonzero(row.media == index)
            if len(places):
                tokens_VD = self._tokens[medium.digest]
                offsets = torch.from_numpy(row.offsets[places]).to(device)
                embeddings[torch.from_numpy(places).to(device)] = tokens_VD[offsets].to(embeddings)
        return embeddings


def decoding_cache(
    network: LlavaVideoForConditionalGeneration,
    states: Sequence[PromptState],
    num_new_tokens: int,
) -> tuple[Cache, Tensor]:
    """What ``generate`` continues from.

    Returns:
        Keys and values of all rows but for their last tokens, padded on the left; and the mask of
        the prompts, (B, L), 0 at padding.
    """
    rows = [state.joined() for state in states]
    lengths = [state.length for state in states]
    longest = max(lengths)
    layers = []
    for layer in zip(*rows, strict=True):
        keys, values = (
            torch.stack(
                [
                    pad(one[which], (0, 0, longest - length, 0)) if length < longest else one[which]
                    for one, length in zip(layer, lengths, strict=True)
                ]
            )
            if len(rows) > 1
            else layer[0][which][None]
            for which in (0, 1)
        )
        layers.append((keys, values))
    option = network.option_lookup({"max_new_tokens": num_new_tokens})
    cache: Cache | None = fixed_cache(network, longest + 1, option)
    if cache is None:
        cache = _cache_of(layers)
    else:  # on a GPU: decoding is recorded, and needs keys and values at fixed addresses
        for index, (keys, values) in enumerate(layers):
            cache.update(keys, values, index)
    columns = torch.arange(longest + 1, device=network.device)
    first = longest - torch.tensor(lengths, device=network.device)
    return cache, (columns >= first[:, None]).long()


def join(parts: Sequence[KeysValues]) -> KeysValues:
    """Parts that follow each other as one."""
    return tuple(
        (torch.cat([keys for keys, _ in layer], 1), torch.cat([values for _, values in layer], 1))
        for layer in zip(*parts, strict=True)
    )


def columns_of(cache: Cache, row: int, columns: slice) -> KeysValues:
    """Keys and values of some columns of a row of a batch; views."""
    return tuple(
        (layer.keys[row, :, columns], layer.values[row, :, columns]) for layer in cache.layers
    )


def _cache_of(layers: Sequence[tuple[Tensor, Tensor]]) -> DynamicCache:
    """A growing cache that begins with keys and values, (B, key heads, S, d), of each layer."""
    cache = DynamicCache()
    for index, (keys, values) in enumerate(layers):
        cache.update(keys[:, :, :0], values[:, :, :0], index)  # makes the layer, without a copy
        cache.layers[index].keys, cache.layers[index].values = keys, values
    return cache


def _groups(states: Sequence[PromptState], shared: Sequence[int]) -> Iterator[list[PromptState]]:
    """Neighbours that can be computed in one batch: the same tokens so far, few to come."""
    group: list[PromptState] = []
    most = 0
    for place, state in enumerate(states):
        if state.num_left == 0:
            continue
        fits = (
            group
            and group[-1] is states[place - 1]
            and group[-1].length == state.length <= shared[place]
            and (len(group) + 1) * max(most, state.num_left) <= MAX_TOKENS_TOGETHER
        )
        if group and not fits:
            yield group
            group, most = [], 0
        group.append(state)
        most = max(most, state.num_left)
    if group:
        yield group
