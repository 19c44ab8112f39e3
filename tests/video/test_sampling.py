"""Indices as the official code computes them, and times for videos that are not even."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llava_video.video import read_video, sample_times, sampling
from tests.video.media import write_video

counts = st.integers(1, 5000)


@given(counts, st.integers(1, 500))
def test_spread_indices_equal_the_official_formula(num_total, num_frames):
    indices = sampling.spread_indices(num_total, num_frames)
    assert indices.tolist() == np.linspace(0, num_total - 1, num_frames, dtype=int).tolist()
    assert indices[0] == 0
    assert num_frames == 1 or indices[-1] == num_total - 1


@given(counts, st.sampled_from([23.976, 24.0, 25.0, 29.97, 30.0, 60.0]), st.floats(0.1, 30), counts)
def test_rate_indices_equal_the_official_formula(num_total, average_fps, fps, max_frames):
    step = max(1, round(average_fps / fps))
    official = list(range(0, num_total, step))
    if len(official) > max_frames:
        official = np.linspace(0, num_total - 1, max_frames, dtype=int).tolist()
    assert sampling.rate_indices(num_total, average_fps, fps, max_frames).tolist() == official


def test_a_rate_above_the_videos_own_takes_every_frame():
    assert sampling.rate_indices(5, 10.0, 1000.0, None).tolist() == [0, 1, 2, 3, 4]


@given(st.integers(1, 300), st.integers(1, 80), st.sampled_from([10.0, 25.0, 30.0]))
def test_on_an_even_clock_spreading_times_is_spreading_indices(num_total, num_frames, fps):
    times = np.arange(num_total) / fps
    by_time = sampling.spread_times(times, num_frames)
    by_index = sampling.spread_indices(num_total, num_frames)
    # Where a moment falls on a frame exactly, the official formula may truncate to the one before.
    hits = np.arange(num_frames) * (num_total - 1) % max(num_frames - 1, 1) == 0
    assert by_time[~hits].tolist() == by_index[~hits].tolist()
    assert np.all((by_time - by_index)[hits] <= 1)


@given(st.integers(1, 300), st.integers(1, 30), st.integers(2, 12))
def test_on_an_even_clock_a_rate_in_time_is_a_step_in_indices(num_total, step, fps):
    average_fps = float(step * fps)
    times = np.arange(num_total) / average_fps
    by_time = sampling.rate_times(times, num_total / average_fps, float(fps), None)
    assert by_time.tolist() == sampling.rate_indices(num_total, average_fps, fps, None).tolist()


@st.composite
def uneven_times(draw):
    gaps = draw(st.lists(st.integers(1, 500), min_size=0, max_size=60))
    return np.cumsum([0, *gaps]) / 1000


@given(uneven_times(), st.integers(1, 50))
def test_spread_times_takes_the_frame_on_screen(times, num_frames):
    moments = np.linspace(0, times[-1], num_frames)
    for index, moment in zip(sampling.spread_times(times, num_frames), moments, strict=True):
        assert times[index] <= moment + 1e-5
        assert index == len(times) - 1 or times[index + 1] > moment - 1e-5


@given(uneven_times(), st.floats(0.2, 100), st.integers(1, 40))
def test_rate_times_never_exceeds_the_limit_nor_goes_back(times, fps, max_frames):
    indices = sampling.rate_times(times, float(times[-1]) + 0.04, fps, max_frames)
    assert 1 <= len(indices) <= max_frames
    assert np.all(np.diff(indices) >= 0)


def test_a_frame_that_stays_is_taken_at_every_moment():
    times = np.array([0.0, 0.1, 0.2, 5.0])
    assert sampling.rate_times(times, 6.0, 1.0, None).tolist() == [0, 2, 2, 2, 2, 3]


@pytest.mark.parametrize(
    ("start", "end", "span"),
    [
        (0.0, None, (0, 10)),
        (0.3, None, (3, 10)),
        (0.3, 0.6, (3, 6)),
        (0.25, 0.28, (2, 3)),
        (0.95, 9.0, (9, 10)),
    ],
)
def test_a_span_holds_the_frames_that_appear_in_it(start, end, span):
    assert sampling.span_indices(np.arange(10) / 10, start, end) == span


@pytest.mark.parametrize(
    "request_", [{"num_frames": 7}, {"fps": 3.0}, {"fps": 25.0, "max_frames": 9}]
)
def test_times_are_known_without_decoding(tmp_path: Path, request_: dict) -> None:
    path = write_video(tmp_path / "a.mp4", num_frames=40)
    times_seconds, duration_seconds = sample_times(path, **request_)
    frames = read_video(path, **request_)
    assert np.array_equal(times_seconds, frames.timestamps_seconds)
    assert duration_seconds == frames.duration_seconds
