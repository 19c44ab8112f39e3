"""The cache of values: within its bytes, least recently used first, made once for all threads."""

from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llava_video.chat.local.byte_cache import ByteCache


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9))), st.integers(0, 20))
def test_a_value_is_right_whether_kept_or_not(asked: list[tuple[int, int]], limit: int) -> None:
    cache: ByteCache[tuple[int, int], str] = ByteCache(limit, len)
    for key in asked:
        assert cache.get_or_make(key, lambda key=key: str(key[0]) * key[1]) == str(key[0]) * key[1]
        assert cache.num_bytes <= limit


def test_the_value_used_longest_ago_goes_first() -> None:
    cache: ByteCache[str, str] = ByteCache(2, len)
    made: list[str] = []

    def make(key: str) -> str:
        made.append(key)
        return key

    for key in ("a", "b", "a", "c", "a", "b"):
        cache.get_or_make(key, lambda key=key: make(key))
    assert made == ["a", "b", "c", "b"]


def test_threads_wait_for_the_one_that_makes_a_value() -> None:
    cache: ByteCache[str, str] = ByteCache(0, len)  # even where it is not kept
    started, may_end = Event(), Event()

    def slow() -> str:
        started.set()
        assert may_end.wait(10)
        return "value"

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(cache.get_or_make, "key", slow)
        assert started.wait(10)
        second = pool.submit(cache.get_or_make, "key", lambda: "another")
        while not second.running():
            pass
        may_end.set()
        assert first.result() == "value"
        assert second.result() in ("value", "another")


def test_a_failure_is_that_of_its_thread_alone() -> None:
    cache: ByteCache[str, str] = ByteCache(100, len)
    started, may_fail = Event(), Event()

    def fail() -> str:
        started.set()
        assert may_fail.wait(10)
        raise ValueError("no value")

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(cache.get_or_make, "key", fail)
        assert started.wait(10)
        second = pool.submit(cache.get_or_make, "key", lambda: "value")
        may_fail.set()
        with pytest.raises(ValueError, match="no value"):
            first.result()
        assert second.result() == "value"
