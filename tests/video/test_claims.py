"""What a container says about times and keyframes does not change which pictures come.

Every file here says something that its pictures contradict; what decodes in order is the truth.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llava_video.video import probe_video, read_video
from llava_video.video.index import index_video
from llava_video.video.planning import can_seek

from .mangling import (
    concatenate,
    copy_packets,
    from_packet,
    keyframe_positions,
    later,
    marked_as_key,
    with_decoding_times,
)
from .media import read_barcode, read_everything, write_video

NUM_FRAMES = 50

CODECS = {
    "h264": ("libx264", {"bf": "3", "g": "20"}),
    "h264 in order": ("libx264", {"bf": "0", "g": "20"}),
    "h264 open": (
        "libx264",
        {"x264-params": "open-gop=1:keyint=20:min-keyint=20:bframes=3:scenecut=0"},
    ),
    "hevc open": (
        "libx265",
        {"x265-params": "log-level=none:keyint=20:min-keyint=20:bframes=4:open-gop=1:b-adapt=0"},
    ),
    "mpeg4": ("mpeg4", {"bf": "2", "g": "12", "b": "2M"}),
    "mpeg4 in order": ("mpeg4", {"g": "12", "b": "2M"}),
    "mpeg2": ("mpeg2video", {"bf": "2", "g": "12", "b": "2M"}),
    "msmpeg4": ("msmpeg4", {"g": "12", "b": "2M"}),
    "wmv2": ("wmv2", {"g": "12", "b": "2M"}),
}


def write(folder: Path, codec: str, suffix: str) -> Path:
    encoder, options = CODECS[codec]
    return write_video(
        folder / f"source.{suffix}", codec=encoder, num_frames=NUM_FRAMES, options=options
    )


def decoding_times(codec: str, suffix: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        source = write(folder, codec, "mp4")
        return copy_packets(source, folder / f"video.{suffix}", with_decoding_times)

    return make


def all_keyframes(codec: str, source_suffix: str, suffix: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        source = write(folder, codec, source_suffix)
        return copy_packets(source, folder / f"video.{suffix}", marked_as_key)

    return make


def no_index(codec: str) -> Callable[[Path], Path]:
    """An AVI file without its index, where every packet counts as a keyframe."""

    def make(folder: Path) -> Path:
        path = write(folder, codec, "avi")
        path.write_bytes(path.read_bytes()[: path.read_bytes().rindex(b"idx1")])
        return path

    return make


def joined(codec: str, suffix: str, first: float, second: float) -> Callable[[Path], Path]:
    """Two recordings, byte by byte, whose clocks start at these seconds."""

    def make(folder: Path) -> Path:
        source = write(folder, codec, "mpg" if suffix == "vob" else "mp4")
        options = {"mpegts_copyts": "1"} if suffix == "ts" else {}
        parts = [
            copy_packets(source, folder / f"{place}.{suffix}", later(seconds), options)
            for place, seconds in enumerate((first, second))
        ]
        return concatenate(parts, folder / f"video.{suffix}")

    return make


def restarted(codec: str, first: float, second: float) -> Callable[[Path], Path]:
    """FLV whose tags start anew in the middle, as recorders write it that are restarted."""

    def make(folder: Path) -> Path:
        source = write(folder, codec, "mp4")
        header = 9 + 4
        parts = [
            copy_packets(source, folder / f"{place}.flv", later(seconds)).read_bytes()
            for place, seconds in enumerate((first, second))
        ]
        path = folder / "video.flv"
        path.write_bytes(parts[0] + parts[1][header:])
        return path

    return make


def cut_open(codec: str, source_suffix: str, suffix: str) -> Callable[[Path], Path]:
    """From the second keyframe on: its leading pictures refer to what is gone."""

    def make(folder: Path) -> Path:
        source = write(folder, codec, source_suffix)
        start = from_packet(keyframe_positions(source)[1])
        return copy_packets(source, folder / f"video.{suffix}", start)

    return make


KINDS: dict[str, Callable[[Path], Path]] = {
    "h264 with decoding times in mp4": decoding_times("h264", "mp4"),
    "h264 with decoding times in mkv": decoding_times("h264", "mkv"),
    "h264 with decoding times in asf": decoding_times("h264", "asf"),
    "hevc with decoding times in mp4": decoding_times("hevc open", "mp4"),
    "mpeg4 with decoding times in mov": decoding_times("mpeg4", "mov"),
    "mpeg2 with decoding times in mp4": decoding_times("mpeg2", "mp4"),
    "h264 of keyframes in mp4": all_keyframes("h264", "mp4", "mp4"),
    "hevc of keyframes in mkv": all_keyframes("hevc open", "mp4", "mkv"),
    "mpeg4 of keyframes in mp4": all_keyframes("mpeg4 in order", "mp4", "mp4"),
    "msmpeg4 without an index": no_index("msmpeg4"),
    "wmv2 without an index": no_index("wmv2"),
    "h264 joined in ts, same clock": joined("h264", "ts", 0, 0),
    "h264 joined in ts, 30 s back": joined("h264 in order", "ts", 30, 0),
    "hevc joined in ts, 100 s back": joined("hevc open", "ts", 100, 0),
    "mpeg2 joined in ts, 1000 s ahead": joined("mpeg2", "ts", 0, 1000),
    "mpeg2 joined in vob, same clock": joined("mpeg2", "vob", 0, 0),
    "mpeg2 joined in vob, 3 s back": joined("mpeg2", "vob", 3, 0),
    "h264 restarted in flv, 17 ms later": restarted("h264", 0, 0.017),
    "h264 restarted in flv, 30 s back": restarted("h264 in order", 30, 0),
    "h264 cut open in ts": cut_open("h264 open", "ts", "ts"),
    "h264 cut open in mkv": cut_open("h264 open", "mp4", "mkv"),
    "h264 cut open in mp4": cut_open("h264 open", "mp4", "mp4"),
    "hevc cut open in mkv": cut_open("hevc open", "mp4", "mkv"),
    "hevc cut open in ts": cut_open("hevc open", "ts", "ts"),
    "mpeg2 cut open in mpg": cut_open("mpeg2", "mpg", "mpg"),
}


@pytest.fixture(scope="module", params=list(KINDS))
def mangled_video(request, tmp_path_factory) -> tuple[Path, np.ndarray]:
    path = KINDS[request.param](tmp_path_factory.mktemp("mangled"))
    return path, read_everything(path)


@settings(
    max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(num_frames=st.integers(1, NUM_FRAMES + 20), start_frame=st.integers(0, 20))
def test_pictures_equal_those_decoded_in_order(mangled_video, num_frames, start_frame):
    path, everything = mangled_video
    frames = read_video(path, num_frames=num_frames, start_seconds=start_frame / 25)
    last = len(everything) - 1 - start_frame
    expected = start_frame + np.linspace(0, last, num_frames, dtype=int)
    assert frames.indices.tolist() == expected.tolist()
    assert np.array_equal(frames.pixels, everything[expected])
    assert frames.timestamps_seconds == pytest.approx(expected / 25)
    assert frames.warnings == ()


def test_probing_tells_what_is_shown(mangled_video):
    path, everything = mangled_video
    info = probe_video(path)
    assert info.num_frames == len(everything)
    assert info.duration_seconds == pytest.approx(len(everything) / 25)
    assert (info.average_fps, info.is_variable_rate, info.warnings) == (25, False, ())


def test_files_in_order_that_could_be_otherwise_still_take_the_fast_way(tmp_path):
    """MPEG-2 says that it may reorder pictures even where it does not."""
    path = write_video(
        tmp_path / "video.mp4", codec="mpeg2video", num_frames=NUM_FRAMES, options={"g": "12"}
    )
    index = index_video(path)
    assert index.order_is_doubtful
    assert can_seek(index)
    codes = [read_barcode(picture) for picture in read_video(path, num_frames=9).pixels]
    assert codes == np.linspace(0, NUM_FRAMES - 1, 9, dtype=int).tolist()
