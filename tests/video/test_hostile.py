"""Files that are broken, have wrong metadata, or are not videos; invalid requests."""

import math
from pathlib import Path

import av
import numpy as np
import pytest

from llava_video.errors import InputError, LlavaVideoError, VideoError
from llava_video.video import probe_video, read_video

from .media import draw, read_barcode, read_everything, write_video

FAST_START = {"movflags": "faststart"}


def write_sound(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=48000)
        sound = av.AudioFrame.from_ndarray(
            np.zeros((1, 1024), np.float32), format="fltp", layout="mono"
        )
        sound.sample_rate = 48000
        container.mux(stream.encode(sound))
        container.mux(stream.encode())
    return path


def make_bad_file(kind: str, folder: Path) -> Path:
    path = folder / "bad.mp4"
    video = write_video(folder / "good.mp4", num_frames=10)
    if kind == "missing":
        return path
    if kind == "directory":
        path.mkdir()
        return path
    if kind == "sound only":
        return write_sound(path)
    content = {
        "empty": b"",
        "text": b"This is not a video.\n" * 50,
        "random bytes": np.random.default_rng(0).bytes(20_000),
        "header cut off": video.read_bytes()[:200],
        "no index": video.read_bytes()[: video.read_bytes().index(b"moov") - 4],
        "playlist": b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\ngood.mp4\n#EXT-X-ENDLIST\n",
        "file list": b"ffconcat version 1.0\nfile good.mp4\n",
    }[kind]
    path.write_bytes(content)
    return path


BAD_KINDS = ["missing", "directory", "sound only", "empty", "text", "random bytes"]
BAD_KINDS += ["header cut off", "no index", "playlist", "file list"]


@pytest.mark.parametrize("kind", BAD_KINDS)
@pytest.mark.parametrize("read", [probe_video, read_video])
def test_what_is_no_video_is_refused_in_one_line(tmp_path, kind, read):
    path = make_bad_file(kind, tmp_path)
    with pytest.raises(VideoError) as caught:
        read(path)
    message = str(caught.value)
    assert "bad.mp4" in message
    assert "\n" not in message
    assert ";" in message  # after it comes what to do


@pytest.mark.parametrize("address", ["http://127.0.0.1:9/a.mp4", "https://x/a.mp4", "concat:a|b"])
def test_addresses_are_not_opened(address):
    with pytest.raises(VideoError):
        read_video(address)


@pytest.mark.parametrize(
    "request_", [
        {"num_frames": 0},
        {"num_frames": -3},
        {"fps": 0.0},
        {"fps": -1.0},
        {"fps": math.nan},
        {"fps": math.inf},
        {"fps": 1.0, "num_frames": 4},
        {"fps": 1.0, "max_frames": 0},
        {"max_frames": 4},
        {"start_seconds": -1.0},
        {"start_seconds": math.nan},
        {"start_seconds": 99.0},
        {"start_seconds": 0.3, "end_seconds": 0.2},
        {"end_seconds": math.nan},
        {"size": 0},
        {"size": (-1, 4)},
    ],
)  # fmt: skip
def test_requests_without_sense_are_refused_in_one_line(tmp_path, request_):
    path = write_video(tmp_path / "video.mp4", num_frames=10)
    with pytest.raises(InputError) as caught:
        read_video(path, **request_)
    assert "video.mp4" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_nothing_asked_for_means_64_frames(tmp_path):
    assert len(read_video(write_video(tmp_path / "video.mp4", num_frames=10))) == 64


def test_cover_pictures_and_sound_do_not_count(tmp_path):
    path = write_video(tmp_path / "video.mp4", num_frames=10, with_sound=True)
    assert probe_video(path).num_frames == 10


@pytest.mark.parametrize("suffix", ["mkv", "mp4", "ts"])
def test_a_file_cut_in_half_gives_the_frames_before_the_cut(tmp_path, suffix):
    options = FAST_START if suffix == "mp4" else {}
    path = write_video(
        tmp_path / f"video.{suffix}",
        num_frames=100,
        options={"g": "10", "bf": "2"},
        container_options=options,
    )
    whole = read_everything(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    frames = read_video(path, num_frames=12)
    codes = [read_barcode(p) for p in frames.pixels]
    assert codes == np.round(frames.timestamps_seconds * 25).tolist()
    assert np.array_equal(frames.pixels, whole[codes])
    assert 20 <= codes[-1] < 70


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
@pytest.mark.parametrize("seed", range(6))
def test_overwritten_bytes_do_not_bring_a_wrong_picture(tmp_path, codec, seed):
    path = write_video(
        tmp_path / "video.mp4",
        codec=codec,
        num_frames=100,
        options={"g": "10"},
        container_options=FAST_START,
    )
    whole = read_everything(path)
    data = bytearray(path.read_bytes())
    start = data.index(b"mdat")
    generator = np.random.default_rng(seed)
    place = int(generator.integers(start + 600, len(data) - 600))
    data[place : place + 400] = generator.bytes(400)
    path.write_bytes(data)
    frames = read_video(path, num_frames=50)
    assert np.array_equal(frames.pixels, whole[frames.indices])
    assert "damaged" in frames.warnings[0]


@pytest.mark.parametrize("codec", ["libx264", "libx265", "libvpx-vp9", "libsvtav1", "mpeg4"])
@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_any_damage_ends_in_frames_or_in_one_line(tmp_path, codec, suffix):
    path = write_video(tmp_path / f"video.{suffix}", codec=codec, num_frames=30)
    sound = path.read_bytes()
    for seed in range(8):
        generator = np.random.default_rng(seed)
        data = bytearray(sound)
        for place in generator.integers(0, len(data), 20):
            data[place] = int(generator.integers(0, 256))
        path.write_bytes(data[: int(generator.integers(len(data) // 2, len(data) + 1))])
        try:
            frames = read_video(path, num_frames=8, size=32)
        except LlavaVideoError as error:
            assert "\n" not in str(error)
        else:
            assert frames.pixels.shape == (8, 32, 32, 3)


def test_frame_counts_that_lie_do_not_matter(tmp_path):
    path = write_video(tmp_path / "video.avi", codec="mpeg4", num_frames=20, picture=draw)
    data = bytearray(path.read_bytes())
    place = data.index(b"strh") + 8 + 32  # the header's claim of how many frames there are
    data[place : place + 4] = (999).to_bytes(4, "little")
    path.write_bytes(data)
    assert probe_video(path).num_frames == 20
    assert read_video(path, num_frames=2).indices.tolist() == [0, 19]


def test_a_stream_cut_out_in_mid_air_starts_at_its_first_keyframe(tmp_path):
    path = write_video(tmp_path / "video.ts", num_frames=60, options={"g": "20", "bf": "0"})
    packet_bytes = 188
    data = path.read_bytes()
    third = len(data) // 3 // packet_bytes * packet_bytes
    path.write_bytes(data[: 2 * packet_bytes] + data[third:])
    frames = read_video(path, num_frames=5)
    codes = [read_barcode(p) for p in frames.pixels]
    assert codes == sorted(codes)
    assert codes[-1] == 59
    assert [code - codes[0] for code in codes] == frames.indices.tolist()


@pytest.mark.parametrize("name", ["x" * 300, "x/" * 4000, "a\0.mp4"])
def test_names_that_no_file_has_are_one_line(name: str) -> None:
    with pytest.raises(VideoError, match="is no name of a file") as caught:
        read_video(name)
    assert len(str(caught.value)) < 300
