"""Frames survive the way through vLLM's metadata; needs no vLLM."""

import json

import numpy as np

from llava_video.plugins.vllm.metadata import frames_of, metadata_of
from llava_video.types import Frames


def test_times_and_indices_come_back() -> None:
    pixels = np.zeros((3, 4, 5, 3), np.uint8)
    times = np.array([0.1, 0.2, 2.0 / 3.0])
    frames = Frames(pixels, times, np.array([1, 2, 2]), 1.25, "a file", ("a warning",))
    metadata = json.loads(json.dumps(metadata_of(frames)))  # plain values, for hashes and wires
    back = frames_of(pixels, metadata)
    assert back is not None
    assert back.duration_seconds == frames.duration_seconds
    np.testing.assert_array_equal(back.timestamps_seconds, times)
    np.testing.assert_array_equal(back.indices, frames.indices)
    assert metadata["total_num_frames"] == 3


def test_metadata_of_another_loader_is_not_ours() -> None:
    assert frames_of(np.zeros((1, 4, 4, 3), np.uint8), {"fps": 2.0, "frames_indices": [0]}) is None
