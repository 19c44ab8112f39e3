"""Times, rates and durations, and clocks that start anew."""

from pathlib import Path

import numpy as np
import pytest
from av.packet import Packet
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from llava_video.video import probe_video, read_video
from llava_video.video.clock import join_clocks, measure_clock

from .mangling import copy_packets
from .media import draw, read_barcode, write_video

PERIOD = 40  # ticks of a millisecond


@given(
    st.lists(st.integers(5, 30), min_size=1, max_size=4),
    st.lists(st.integers(0, 100).map(lambda second: second * 1000), min_size=4, max_size=4),
)
def test_parts_follow_each_other_wherever_their_clocks_start(lengths, starts):
    parts = [
        start + PERIOD * np.arange(length) for start, length in zip(starts, lengths, strict=False)
    ]
    ticks = np.concatenate(parts)
    durations = np.full(len(ticks), PERIOD)
    joined, _ = join_clocks(ticks, ticks, durations, 1e-3, may_jump_ahead=True)
    gaps = np.diff(joined)
    assert np.all(gaps > 0)
    inside = np.delete(gaps, np.cumsum(lengths)[:-1] - 1)
    assert np.all(inside == PERIOD)
    assert np.all(gaps <= max(10_000, 30 * PERIOD))


@pytest.mark.parametrize("may_jump_ahead", [True, False])
def test_a_clock_that_runs_on_is_left_alone(may_jump_ahead):
    ticks = np.cumsum([0, 40, 40, 9000, 40, 500, 40])
    joined, is_joined = join_clocks(
        ticks, ticks, np.full(7, 40), 1e-3, may_jump_ahead=may_jump_ahead
    )
    assert (joined.tolist(), is_joined) == (ticks.tolist(), False)


def test_slides_do_not_count_as_a_clock_that_jumps():
    ticks = np.arange(6) * 20_000
    assert not join_clocks(ticks, ticks, np.zeros(6, int), 1e-3, may_jump_ahead=True)[1]


def test_reordered_pictures_do_not_count_as_a_clock_that_falls():
    pts = np.array([0, 4, 2, 1, 3, 8, 6, 5, 7]) * PERIOD
    dts = (np.arange(9) - 2) * PERIOD
    assert not join_clocks(pts, dts, np.full(9, PERIOD), 1e-3, may_jump_ahead=True)[1]


@pytest.mark.parametrize(
    ("stays", "duration", "is_variable"), [(40, 0.4, False), (0, 0.4, False), (3000, 3.36, True)]
)
def test_a_last_picture_that_stays_counts_in_full(stays, duration, is_variable):
    durations = np.array([PERIOD] * 9 + [stays])
    clock = measure_clock(np.arange(10) * PERIOD, durations, 1e-3, [25.0])
    assert clock.duration_seconds == pytest.approx(duration)
    assert clock.is_variable_rate == is_variable
    assert clock.times_seconds == pytest.approx(np.arange(10) / 25)


def test_one_still_lasts_as_long_as_the_file_says():
    clock = measure_clock(np.array([0]), np.array([9000]), 1e-3, [25.0])
    assert (clock.duration_seconds, clock.is_variable_rate) == (pytest.approx(9.0), False)


def write_slides(path: Path) -> Path:
    """Five pictures: two seconds each, the last one a minute."""
    source = write_video(
        path.with_name("source.mp4"),
        num_frames=5,
        ticks=[25600 * place for place in range(5)],
        options={"bf": "0"},
    )

    def stay(place: int, packet: Packet) -> Packet:
        if place == 4:
            packet.duration = round(60 / packet.time_base)
        return packet

    return copy_packets(source, path, stay)


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv"])
def test_the_last_slide_is_seen_as_long_as_it_stays(tmp_path, suffix):
    path = write_slides(tmp_path / f"slides.{suffix}")
    assert probe_video(path).duration_seconds == pytest.approx(68)
    frames = read_video(path, fps=0.5)
    codes = [read_barcode(picture) for picture in frames.pixels]
    assert codes == [0, 1, 2, 3] + [4] * 30
    assert frames.timestamps_seconds == pytest.approx([2.0 * code for code in codes])


@pytest.mark.parametrize("suffix", ["gif", "png", "webp"])
def test_the_last_picture_of_an_animation_is_seen_as_long_as_it_stays(tmp_path, suffix):
    pictures = [Image.fromarray(draw(place)) for place in range(6)]
    path = tmp_path / f"animation.{suffix}"
    pictures[0].save(
        path, save_all=True, append_images=pictures[1:], duration=[100] * 5 + [2000], lossless=True
    )
    info = probe_video(path)
    assert (info.num_frames, info.duration_seconds) == (6, pytest.approx(2.5))
    frames = read_video(path, fps=1.0)
    assert frames.indices.tolist() == [0, 5, 5]


@pytest.mark.parametrize(
    ("codec", "suffix"), [("libx264", "h264"), ("libx265", "hevc"), ("mpeg2video", "m2v")]
)
@pytest.mark.parametrize("fps", [10, 24, 60])
def test_bare_streams_have_the_rate_of_their_headers(tmp_path, codec, suffix, fps):
    if codec == "mpeg2video" and fps == 10:
        pytest.skip("MPEG-2 has no such rate")
    options = {"x265-params": "log-level=none"} if codec == "libx265" else {"bf": "2"}
    path = tmp_path / f"video.{suffix}"
    write_video(path, codec=codec, num_frames=48, fps=fps, options=options)
    info = probe_video(path)
    assert (info.average_fps, info.is_variable_rate) == (fps, False)
    assert info.duration_seconds == pytest.approx(48 / fps)
    frames = read_video(path, num_frames=7)
    assert [read_barcode(picture) for picture in frames.pixels] == frames.indices.tolist()
    assert frames.timestamps_seconds == pytest.approx(frames.indices / fps)
