"""The prefix tree: it returns what was put in, for the longest prefix, within its bytes."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from llava_video.chat.local.prefill import join
from llava_video.chat.local.prefix_tree import KeysValues, PrefixTree
from llava_video.chat.local.rows import common_length

BYTES_PER_TOKEN = 2 * 2 * 3 * 4  # keys and values of two layers of width 3 in float32

prompts = st.lists(st.integers(0, 2), min_size=1, max_size=8).map(np.array)


def keys_values(prompt: np.ndarray) -> KeysValues:
    """Values that follow from all tokens up to each position, as those of a model do."""
    prefixes = [hash(tuple(prompt[: end + 1].tolist())) % 9973 for end in range(len(prompt))]
    values = torch.tensor(prefixes, dtype=torch.float32)[None, :, None].expand(1, -1, 3)
    return ((values, values + 1), (values + 2, values + 3))


def tail(prompt: np.ndarray, start: int) -> KeysValues:
    return tuple((keys[:, start:], values[:, start:]) for keys, values in keys_values(prompt))


@settings(deadline=None)
@given(st.lists(prompts, max_size=12), prompts, st.sampled_from([10**6, 10 * BYTES_PER_TOKEN, 0]))
def test_the_longest_prefix_is_found(
    inserted: list[np.ndarray], asked: np.ndarray, max_bytes: int
) -> None:
    tree = PrefixTree(max_bytes)
    for prompt in inserted:
        start, _ = tree.match(prompt)
        tree.insert(prompt, start, tail(prompt, start))
        assert tree.num_bytes <= max_bytes
    length, parts = tree.match(asked)
    longest = max((common_length(asked, prompt) for prompt in inserted), default=0)
    assert length <= longest
    if max_bytes == 10**6:
        assert length == longest
        prefixes = {tuple(prompt[:end]) for prompt in inserted for end in range(1, len(prompt) + 1)}
        assert tree.num_bytes == len(prefixes) * BYTES_PER_TOKEN
    if length:
        for found, expected in zip(join(parts), keys_values(asked), strict=True):
            assert torch.equal(found[0], expected[0][:, :length])
            assert torch.equal(found[1], expected[1][:, :length])


def test_what_does_not_follow_what_is_held_is_left_out() -> None:
    tree = PrefixTree(10**6)
    prompt = np.arange(5)
    tree.insert(prompt, 2, tail(prompt, 2))
    assert (tree.match(prompt)[0], tree.num_bytes) == (0, 0)


def test_the_leaf_used_longest_ago_goes_first() -> None:
    tree = PrefixTree(6 * BYTES_PER_TOKEN)
    one, two, three = (np.array([0, 0, n, n]) for n in (1, 2, 3))
    for prompt in (one, two):
        start, _ = tree.match(prompt)
        tree.insert(prompt, start, tail(prompt, start))
    tree.match(one)
    start, _ = tree.match(three)
    tree.insert(three, start, tail(three, start))
    assert [tree.match(prompt)[0] for prompt in (one, two, three)] == [4, 2, 4]
