"""Frames that exist are consistent: what no video has is refused, and nothing changes them."""

from collections.abc import Sequence

import numpy as np
import pytest

from llava_video.errors import InputError
from llava_video.types import Frames


def frames(
    times: Sequence[float] = (0.0, 0.5, 1.0),
    indices: Sequence[float] = (0, 1, 2),
    duration_seconds: float = 1.5,
) -> Frames:
    pixels = np.zeros((len(times), 2, 2, 3), np.uint8)
    return Frames(pixels, np.array(times), np.array(indices), duration_seconds, "clip.mp4")


def test_what_a_video_has_is_taken() -> None:
    assert len(frames()) == 3
    frames(indices=(0, 0, 7))  # a short video shows a frame twice, and frames may be left out
    frames(times=(0.0, 0.0, 1.5))  # up to its very end


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"times": (0.0, float("nan"), 1.0)}, "timestamps must be numbers"),
        ({"times": (0.0, 0.5, float("nan"))}, "timestamps must be numbers"),
        ({"times": (0.0, 0.5, float("inf"))}, "timestamps must be numbers"),
        ({"times": (0.5, 0.0, 1.0)}, "timestamps must be numbers and not decrease"),
        ({"times": (-0.1, 0.5, 1.0)}, "outside the video of 1.5 s"),
        ({"times": (0.0, 0.5, 1.6)}, "outside the video of 1.5 s"),
        ({"indices": (0, 2, 1)}, "indices must start at 0 or later and not decrease"),
        ({"indices": (-1, 0, 1)}, "indices must start at 0"),
        ({"indices": (0.0, 0.5, 1.0)}, "whole numbers, got float64"),
        ({"duration_seconds": -1.0}, "no video lasts -1.0 s"),
        ({"duration_seconds": float("nan")}, "no video lasts nan s"),
        ({"duration_seconds": float("inf")}, "no video lasts inf s"),
        ({"times": (-2.0, -1.5, -1.0), "duration_seconds": -1.0}, "no video lasts"),
        ({"times": (), "indices": ()}, "no frames"),
        ({"indices": (0, 1)}, "as many timestamps and indices"),
    ],
)
def test_what_no_video_has_is_refused(changes: dict, said: str) -> None:
    with pytest.raises(InputError, match=f"clip.mp4: .*{said}"):
        frames(**changes)


@pytest.mark.parametrize("fps", [0.0, -1.0, float("nan"), float("inf")])
def test_a_rate_is_a_positive_number(fps: float) -> None:
    with pytest.raises(InputError, match="fps must be positive"):
        Frames.from_array(np.zeros((2, 2, 2, 3), np.uint8), fps=fps)


@pytest.mark.parametrize("name", ["pixels", "timestamps_seconds", "indices"])
def test_arrays_can_be_read_only_and_those_given_stay_as_they_are(name: str) -> None:
    pixels = np.zeros((2, 2, 2, 3), np.uint8)
    seen = Frames.from_array(pixels)
    with pytest.raises(ValueError, match="read-only"):
        getattr(seen, name)[0] = 1
    assert pixels.flags.writeable
    assert np.shares_memory(seen.pixels, pixels), "pictures are not copied"
