"""When a clock counts as constant: within 1.5 ticks of the container, or within a millisecond."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from llava_video.video import probe_video
from llava_video.video.index import index_video
from tests.video.media import TICKS_PER_SECOND, draw, write_video

SEVENTHS = [0, 14, 29, 43, 57, 72, 86]
"""Moments of a video of 7 frames per second, in ticks of 1/100 s."""


def write_coarse(path: Path, ticks: list[int]) -> Path:
    """A video whose container tells time in ticks of 1/100 s."""
    with av.open(str(path), "w", options={"video_track_timescale": "100"}) as container:
        stream = container.add_stream("libx264", rate=7, options={"bf": "0"})
        picture = draw(0)
        stream.height, stream.width = picture.shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, 100)
        for number, tick in enumerate(ticks):
            frame = av.VideoFrame.from_ndarray(draw(number), format="rgb24")
            frame.pts, frame.time_base = tick, Fraction(1, 100)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def moved(ticks: list[int], place: int, tick: int) -> list[int]:
    return [*ticks[:place], tick, *ticks[place + 1 :]]


@pytest.mark.parametrize(
    ("ticks", "is_variable"),
    [
        (SEVENTHS, False),
        (moved(SEVENTHS, 1, 13), False),  # 1.29 ticks early
        (moved(SEVENTHS, 3, 44), False),  # 1.14 ticks late
        (moved(SEVENTHS, 1, 16), True),  # 1.71 ticks late
        (moved(SEVENTHS, 4, 55), True),  # 2.14 ticks early
    ],
)
def test_moments_within_one_and_a_half_ticks_are_counted(
    tmp_path: Path, ticks: list[int], is_variable: bool
) -> None:
    index = index_video(write_coarse(tmp_path / "coarse.mp4", ticks))
    assert index.clock.is_variable_rate == is_variable
    expected = np.array(ticks) / 100 if is_variable else np.arange(7) / 7
    np.testing.assert_allclose(index.clock.times_seconds, expected, rtol=1e-12)


@pytest.mark.parametrize(("num_ticks", "is_variable"), [(12, False), (13, True)])
def test_fine_ticks_are_within_a_millisecond(
    tmp_path: Path, num_ticks: int, is_variable: bool
) -> None:
    """12 ticks of 1/12800 s are 0.94 ms, 13 are 1.02 ms."""
    period = TICKS_PER_SECOND // 25
    ticks = [number * period for number in range(11)]
    ticks[4] += num_ticks
    path = tmp_path / "fine.mp4"
    write_video(path, num_frames=len(ticks), ticks=ticks)
    assert probe_video(path).is_variable_rate == is_variable
