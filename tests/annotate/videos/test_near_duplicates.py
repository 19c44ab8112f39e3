"""Near-duplicates are those that comparing every pair finds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llava_video.annotate.videos.near_duplicates import HASH_FRAMES, HASH_SIDE, near_duplicates

SIZE = HASH_FRAMES * HASH_SIDE**2 * 3


def by_every_pair(hashes, seconds, limits):
    found = {}
    for number, own in enumerate(hashes):
        rivals = [
            (np.abs(own.astype(int) - hashes[i]).mean(), i)
            for i in range(number)
            if i not in found and seconds[number] * 0.98 <= seconds[i] <= seconds[number] * 1.02
        ]
        near = [rival for rival in rivals if rival[0] <= limits[number]]
        if near:
            found[number] = min(near)[1]
    return found


@given(st.integers(0, 10**6), st.sampled_from([0.0, 2.0, 4.0, 30.0]), st.sampled_from([5, 60, 200]))
@settings(max_examples=40, deadline=None)
def test_all_pairs_give_the_same(seed, limit, spread):
    rng = np.random.default_rng(seed)
    pictures = rng.integers(0, 256, (5, SIZE))
    noise = rng.integers(-spread // 5, spread // 5 + 1, (90, SIZE)) * rng.integers(0, 2, (90, 1))
    shift = rng.integers(-6, 7, (90, 1))
    mixed = pictures[rng.integers(0, 5, 90)] * spread // 200 + noise + shift
    hashes = mixed.clip(0, 255).astype(np.uint8)
    seconds = list(rng.choice([9.9, 10.0, 10.1, 10.2, 10.4, 0.001, 3600.0], 90))
    limits = [limit] * 89 + [limit / 2]
    found = near_duplicates([own.tobytes() for own in hashes], seconds, limits)
    assert found == by_every_pair(hashes, seconds, limits)


def test_progress_is_said():
    seen = []
    hashes = [bytes([n % 256]) * SIZE for n in range(2500)]
    near_duplicates(hashes, [5.0] * 2500, [0.5] * 2500, lambda *numbers: seen.append(numbers))
    assert seen == [(1000, 2500), (2000, 2500), (2500, 2500)]


@pytest.mark.parametrize("number", [0, 1])
def test_few_videos_have_no_duplicate(number):
    assert near_duplicates([bytes(SIZE)] * number, [1.0] * number, [4.0] * number) == {}
