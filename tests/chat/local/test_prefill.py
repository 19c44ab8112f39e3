"""Prefilling: keys and values are those of each prompt alone, however rows share and are held."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import Cache

from llava_video.chat.local import prefill
from llava_video.chat.local.media import LoadedVideo
from llava_video.chat.local.prefill import Prefiller, PromptState, columns_of, decoding_cache
from llava_video.chat.local.prefix_tree import PrefixTree
from llava_video.chat.local.rows import Row
from llava_video.model.decoding import FixedCache
from llava_video.model.outputs import CACHE
from tests.model.small import random_frames, small_model

VIDEOS = [LoadedVideo(random_frames(1, seed), f"digest {seed}") for seed in range(2)]
TOKENS = torch.randn(2, 5, 48, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def network() -> torch.nn.Module:
    return small_model()


def row_of(pieces: Sequence[int]) -> Row:
    """A row of text tokens, and of the five tokens of a video at -1 and -2."""
    ids, media, offsets = [], [], []
    for piece in pieces:
        if piece < 0:
            ids += [299] * 5
            media += [-1 - piece] * 5
            offsets += range(5)
        else:
            ids.append(piece)
            media.append(-1)
            offsets.append(0)
    arrays = [np.array(values, np.int64) for values in (ids, media, offsets)]
    keys = np.where(arrays[1] >= 0, -100 - arrays[1], arrays[0])
    return Row(arrays[0], keys, arrays[1], arrays[2], tuple(VIDEOS))


def prefiller_of(network: torch.nn.Module, max_bytes: int) -> Prefiller:
    tree = PrefixTree(max_bytes)
    return Prefiller(network, tree, lambda medium: (TOKENS[VIDEOS.index(medium)], 1))


def alone(network: torch.nn.Module, row: Row) -> Cache:
    """Keys and values of all tokens of a row but its last, from one pass over it."""
    ids = torch.from_numpy(row.ids)
    embeddings = network.get_input_embeddings()(ids).clone()
    for medium in range(2):
        own = torch.from_numpy(row.media == medium)
        embeddings[own] = TOKENS[medium][torch.from_numpy(row.offsets)[own]]
    cache = network(inputs_embeds=embeddings[None, :-1], use_cache=True).get(CACHE)
    assert isinstance(cache, Cache)
    return cache


def assert_same(network: torch.nn.Module, state: PromptState) -> None:
    assert state.length == len(state.row) - 1
    expected = columns_of(alone(network, state.row), 0, slice(None))
    for (keys, values), (own_keys, own_values) in zip(expected, state.joined(), strict=True):
        torch.testing.assert_close(own_keys, keys, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(own_values, values, atol=1e-5, rtol=1e-4)


# At least two tokens of text at the end; few different ones, so that rows begin alike.
rows_drawn = st.lists(
    st.tuples(
        st.lists(st.sampled_from([-2, -1, 7, 8]), max_size=6), st.sampled_from([[7], [8, 9]])
    ).map(lambda row: [5, *row[0], *row[1], 6]),
    min_size=1,
    max_size=4,
)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("max_bytes", [10**8, 20_000, 0])
@pytest.mark.parametrize("min_shared", [1, 64])
@torch.inference_mode()
def test_every_row_gets_its_own_keys_and_values(
    network: torch.nn.Module,
    attention: str,
    max_bytes: int,
    min_shared: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(prefill, "MIN_SHARED_TOKENS", min_shared)
    network.set_attn_implementation({"text_config": attention})
    prefiller = prefiller_of(network, max_bytes)

    @settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(rows_drawn, min_size=1, max_size=2))
    def check(batches: list[list[list[int]]]) -> None:
        for batch in batches:
            states = prefiller.match([row_of(pieces) for pieces in batch])
            prefiller.run(states)
            for state in states:
                assert_same(network, state)

    check()


@torch.inference_mode()
def test_what_rows_share_is_computed_once(network: torch.nn.Module) -> None:
    shared = [5, *[-1] * 20]
    prefiller = prefiller_of(network, 0)
    rows = [row_of([*shared, *tail, 6]) for tail in ([9], [8, 9], [7, 7, 7])]
    states = prefiller.match(rows)
    prefiller.run(states)
    assert sum(state.num_prefilled for state in states) == 101 + 1 + 2 + 3
    for state in states:
        assert_same(network, state)


@torch.inference_mode()
def test_a_cache_of_fixed_addresses_continues_as_a_growing_one(network: torch.nn.Module) -> None:
    """As on a GPU, where the decoding is recorded."""
    network.set_attn_implementation({"text_config": "sdpa"})
    prefiller = prefiller_of(network, 0)
    states = prefiller.match([row_of([5, -1, 7, 6]), row_of([5, 8, -2, -1, 6])])
    prefiller.run(states)
    growing, mask = decoding_cache(network, states, 8)
    assert mask.sum(1).tolist() == [len(state.row) for state in states]
    fixed = FixedCache(network.config, 64)
    for index, layer in enumerate(growing.layers):
        fixed.update(layer.keys, layer.values, index)
    ids = torch.tensor([[6], [6]])
    outputs = [
        network.generate(
            ids,
            attention_mask=mask,
            max_new_tokens=8,
            do_sample=False,
            pad_token_id=0,
            **{CACHE: cache},
        )
        for cache in (growing, fixed)
    ]
    assert torch.equal(*outputs)
