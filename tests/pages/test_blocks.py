"""Counting for charts."""

from hypothesis import given
from hypothesis import strategies as st

from llava_video.pages.blocks import Histogram

numbers = st.integers(-1000, 1000) | st.floats(-1e6, 1e6)


@given(st.lists(numbers, min_size=1), st.integers(1, 20))
def test_every_value_is_in_one_bin_between_the_lowest_and_the_highest(
    values: list[float], num_bins: int
) -> None:
    found = Histogram.of("x", values, num_bins)
    assert sum(found.counts) == len(values)
    assert len(found.counts) == num_bins
    assert (found.low, found.high) == (min(values), max(values))
    if found.high > found.low:
        assert found.counts[0] > 0 and found.counts[-1] > 0
        assert found.bounds(0)[0] == found.low


def test_bins_are_closed_below_and_the_last_one_above_too() -> None:
    assert Histogram.of("x", [0, 1, 2, 3, 4], 4).counts == [1, 1, 1, 2]
    assert Histogram.of("x", [7, 7], 3).counts == [2, 0, 0]
    assert Histogram.of("x", [], 3).counts == ()
