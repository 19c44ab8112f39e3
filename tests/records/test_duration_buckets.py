"""A video of exactly 30, 60, 120 or 180 s is in the shorter bucket, for every writer."""

import math

import pytest

from llava_video.records.duration_buckets import BUCKETS, LAST_BUCKET, bucket_of

NAMES = [name for _, name in BUCKETS] + [LAST_BUCKET]


@pytest.mark.parametrize(
    ("seconds", "name"),
    [(0.0, "0_30_s"), (30.0, "0_30_s"), (60.0, "30_60_s"), (120.0, "1_2_m"), (180.0, "2_3_m")],
)
def test_limits_belong_to_the_shorter_bucket(seconds: float, name: str) -> None:
    assert bucket_of(seconds) == name


@pytest.mark.parametrize(("limit", "name"), BUCKETS)
def test_the_next_bucket_begins_right_behind_a_limit(limit: float, name: str) -> None:
    after = bucket_of(math.nextafter(limit, math.inf))
    assert NAMES.index(after) == NAMES.index(name) + 1
