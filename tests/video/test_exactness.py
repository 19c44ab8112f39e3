"""The fast way returns the pictures that decoding everything in order returns."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llava_video.video import probe_video, read_video
from llava_video.video.index import index_video
from llava_video.video.planning import can_seek

from .media import TICKS_PER_SECOND, read_barcode, read_everything, write_video

NUM_FRAMES = 120

KINDS = {
    "h264 with B-frames": ("mp4", "libx264", {"bf": "3", "g": "30"}),
    "h264 with one group": ("mp4", "libx264", {"bf": "2", "g": "1000", "sc_threshold": "0"}),
    "h264 with open groups": (
        "mp4",
        "libx264",
        {"x264-params": "open-gop=1:keyint=20:min-keyint=20:bframes=3:b-pyramid=normal"},
    ),
    "h264 without B-frames in mkv": ("mkv", "libx264", {"bf": "0", "g": "12"}),
    "h264 with B-frames in mkv": ("mkv", "libx264", {"bf": "3", "g": "30"}),
    "h264 with B-frames in avi": ("avi", "libx264", {"bf": "2", "g": "30"}),
    "h264 without a container": ("h264", "libx264", {"bf": "2", "g": "30"}),
    "h264 in a transport stream": ("ts", "libx264", {"bf": "2", "g": "24"}),
    "hevc with open groups": (
        "mp4",
        "libx265",
        {"x265-params": "log-level=none:keyint=25:min-keyint=25:bframes=4:open-gop=1:b-adapt=0"},
    ),
    "vp9 with hidden frames": (
        "webm",
        "libvpx-vp9",
        {"g": "40", "auto-alt-ref": "1", "lag-in-frames": "12", "cpu-used": "8", "b": "200k"},
    ),
    "vp8 with hidden frames": (
        "webm",
        "libvpx",
        {"g": "40", "auto-alt-ref": "1", "lag-in-frames": "12", "cpu-used": "8", "b": "200k"},
    ),
    "av1": ("mp4", "libsvtav1", {"preset": "13", "g": "32", "svtav1-params": "lp=1"}),
    "mpeg4 with B-frames": ("mp4", "mpeg4", {"bf": "2", "g": "25", "b": "2M"}),
    "mpeg4 in avi": ("avi", "mpeg4", {"g": "25", "b": "2M"}),
    "mpeg2 with B-frames": ("mpg", "mpeg2video", {"bf": "2", "g": "15", "b": "2M"}),
    "motion jpeg in avi": ("avi", "mjpeg", {"qscale": "3"}),
}


@pytest.fixture(scope="module", params=list(KINDS))
def even_video(request, tmp_path_factory) -> tuple[Path, np.ndarray]:
    suffix, codec, options = KINDS[request.param]
    path = tmp_path_factory.mktemp("even") / f"video.{suffix}"
    pixel_format = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    write_video(
        path, codec=codec, num_frames=NUM_FRAMES, options=options, pixel_format=pixel_format
    )
    return path, read_everything(path)


@pytest.fixture(scope="module", params=["libx264", "libx265", "mpeg4", "libsvtav1"])
def uneven_video(request, tmp_path_factory) -> tuple[Path, np.ndarray, list[float]]:
    path = tmp_path_factory.mktemp("uneven") / "video.mp4"
    gaps = np.random.default_rng(3).integers(200, 3000, NUM_FRAMES - 1)
    ticks = [int(t) for t in np.cumsum([0, *gaps])]
    options = {"g": "30"}
    if request.param == "libx265":
        options = {"x265-params": "log-level=none:keyint=30"}
    write_video(path, codec=request.param, num_frames=NUM_FRAMES, ticks=ticks, options=options)
    pictures = read_everything(path)
    return path, pictures, [t / TICKS_PER_SECOND for t in ticks]


several = settings(
    max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@several
@given(num_frames=st.integers(1, NUM_FRAMES + 20))
def test_pictures_equal_those_decoded_in_order(even_video, num_frames):
    path, everything = even_video
    frames = read_video(path, num_frames=num_frames)
    assert frames.warnings == ()
    expected = np.linspace(0, NUM_FRAMES - 1, num_frames, dtype=int)
    assert frames.indices.tolist() == expected.tolist()
    assert [read_barcode(p) for p in frames.pixels] == expected.tolist()
    assert np.array_equal(frames.pixels, everything[expected])


@several
@given(start=st.floats(0, 4.7), length=st.floats(0.01, 2))
def test_a_span_is_cut_out_of_the_same_pictures(even_video, start, length):
    path, everything = even_video
    frames = read_video(path, fps=25, start_seconds=start, end_seconds=start + length)
    assert np.array_equal(frames.pixels, everything[frames.indices])
    assert np.array_equal(frames.timestamps_seconds, frames.indices / 25)


def test_probing_counts_what_decodes(even_video):
    path, everything = even_video
    info = probe_video(path)
    assert info.num_frames == len(everything) == NUM_FRAMES
    assert (info.average_fps, info.is_variable_rate) == (25.0, False)
    assert info.duration_seconds == pytest.approx(NUM_FRAMES / 25)


@several
@given(num_frames=st.integers(1, 60))
def test_uneven_videos_are_sampled_at_even_times(uneven_video, num_frames):
    path, everything, times = uneven_video
    frames = read_video(path, num_frames=num_frames)
    moments = np.linspace(0, times[-1], num_frames)
    shown = np.searchsorted(times, moments + 1e-6, side="right") - 1
    assert frames.indices.tolist() == shown.tolist()
    assert [read_barcode(p) for p in frames.pixels] == shown.tolist()
    assert np.array_equal(frames.pixels, everything[shown])
    assert frames.timestamps_seconds == pytest.approx(np.array(times)[shown], abs=1e-3)


def test_the_usual_files_take_the_fast_way(tmp_path):
    for name, codec in (("a.mp4", "libx264"), ("b.mkv", "libx264"), ("c.webm", "libvpx-vp9")):
        assert can_seek(index_video(write_video(tmp_path / name, codec=codec, num_frames=10)))
