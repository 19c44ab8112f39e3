"""Duration buckets, by which LLaVA-Video-178K groups its files."""

from __future__ import annotations

BUCKETS = ((30.0, "0_30_s"), (60.0, "30_60_s"), (120.0, "1_2_m"), (180.0, "2_3_m"))
"""The longest video of each bucket in seconds, and the bucket's name in file names."""

LAST_BUCKET = "3_m_up"
"""Bucket of longer videos, which the release does not have."""


def bucket_of(duration_seconds: float) -> str:
    """Name of the bucket of a video; one of exactly 30, 60, 120 or 180 s is in the shorter one.

    The paper selects videos of 5 to 180 s, and the longest bucket of the release ends at 3 minutes:
    180 s must belong to ``2_3_m``, and the other limits follow the same rule.
    """
    return next((name for limit, name in BUCKETS if duration_seconds <= limit), LAST_BUCKET)
