"""Files that are broken, have wrong metadata, or are not videos; invalid requests."""

import io
import math
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from llava_video.errors import InputError, LlavaVideoError, VideoError
from llava_video.video import probe_video, read_video

from .media import draw, read_barcode, read_everything, write_video

FAST_START = {"movflags": "faststart"}


def write_sound(path: Path, codec: str = "aac") -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=48000)
        resampler = av.AudioResampler(stream.format, "stereo", 48000, frame_size=1024)
        for _ in range(20):
            sound = av.AudioFrame.from_ndarray(
                np.zeros((2, 1024), np.float32), format="fltp", layout="stereo"
            )
            sound.sample_rate = 48000
            for frame in resampler.resample(sound):
                container.mux(stream.encode(frame))
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


SOUND_FILES = {"mp3": "libmp3lame", "ogg": "libopus", "flac": "flac", "wav": "pcm_s16le"}


@pytest.mark.parametrize("suffix", [*SOUND_FILES, "m4a", "mka"])
def test_a_sound_file_is_said_to_be_one(tmp_path, suffix):
    path = write_sound(tmp_path / f"song.{suffix}", SOUND_FILES.get(suffix, "aac"))
    with pytest.raises(VideoError, match=rf"song\.{suffix}: has sound only.*; name a file with"):
        read_video(path)


def test_the_cover_of_a_song_is_no_video(tmp_path):
    song = write_sound(tmp_path / "song.mp3", "libmp3lame").read_bytes()
    picture = io.BytesIO()
    Image.fromarray(draw(1)).save(picture, "JPEG")
    cover = b"\x00image/jpeg\x00\x03\x00" + picture.getvalue()
    frame = b"APIC" + len(cover).to_bytes(4) + b"\x00\x00" + cover
    size = bytes(len(frame) >> shift & 0x7F for shift in (21, 14, 7, 0))
    path = tmp_path / "cover.mp3"
    path.write_bytes(b"ID3\x03\x00\x00" + size + frame + song)
    with pytest.raises(VideoError, match=r"cover\.mp3: has sound only"):
        read_video(path)


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_an_encrypted_file_is_said_to_be_one(tmp_path, codec):
    path = write_video(
        tmp_path / "video.mp4",
        codec=codec,
        num_frames=10,
        options={"x265-params": "log-level=none"} if codec == "libx265" else {},
        container_options={
            "encryption_scheme": "cenc-aes-ctr",
            "encryption_key": "00112233445566778899aabbccddeeff",
            "encryption_kid": "ffeeddccbbaa99887766554433221100",
        },
    )
    for read in (read_video, probe_video):
        with pytest.raises(VideoError, match=r"video\.mp4: is encrypted; read a copy without"):
            read(path)


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv", "webm", "avi", "flv"])
@pytest.mark.parametrize("title", [b"\xdcberfahrt", b"\xff\xfe\x00\xd8\x80\x81\x82\xc3\x28"])
def test_metadata_may_be_in_any_encoding(tmp_path, suffix, title):
    plain = b"Uberfahrt"[: len(title)]
    codec = "libvpx" if suffix == "webm" else "mpeg4" if suffix == "avi" else "libx264"
    path = write_video(
        tmp_path / f"video.{suffix}",
        codec=codec,
        num_frames=10,
        metadata={key: plain.decode() for key in ("title", "comment", "artist")},
    )
    data = path.read_bytes()
    assert plain in data
    path.write_bytes(data.replace(plain, title))
    frames = read_video(path, num_frames=10)
    assert [read_barcode(picture) for picture in frames.pixels] == list(range(10))
    assert frames.warnings == ()


def test_names_of_tracks_and_chapters_may_be_in_any_encoding(tmp_path):
    source = write_video(tmp_path / "source.mp4", num_frames=10)
    path = tmp_path / "video.mkv"
    with av.open(str(source)) as read, av.open(str(path), "w") as write:
        stream = write.add_stream_from_template(read.streams.video[0], opaque=True)
        stream.metadata["title"] = "Uberfahrt"
        second = Fraction(1, 1)
        write.set_chapters(
            [{"id": 1, "start": 0, "end": 1, "time_base": second, "metadata": {"title": "Uber"}}]
        )
        for packet in read.demux(video=0):
            if packet.size:
                packet.stream = stream
                write.mux(packet)
    assert path.read_bytes().count(b"Uber") == 2
    path.write_bytes(path.read_bytes().replace(b"Uber", b"\xdcber"))
    assert len(read_video(path, num_frames=10)) == 10
    assert probe_video(path).num_frames == 10


def test_a_camera_that_sends_pictures_in_parts_is_read(tmp_path):
    """Motion JPEG over HTTP, as saved by curl."""
    parts = []
    for place in range(20):
        picture = io.BytesIO()
        Image.fromarray(draw(place)).save(picture, "JPEG", quality=95)
        parts += [b"--frame\r\nContent-Type: image/jpeg\r\n"]
        parts += [b"Content-Length: %d\r\n\r\n" % len(picture.getvalue()), picture.getvalue()]
        parts += [b"\r\n"]
    for end in (b"", b"--frame\r\n", b"--frame--\r\n"):
        path = tmp_path / "camera.mjpeg"
        path.write_bytes(b"".join(parts) + end)
        frames = read_video(path, num_frames=7)
        codes = [read_barcode(picture) for picture in frames.pixels]
        assert codes == frames.indices.tolist() == [0, 3, 6, 9, 12, 15, 19]
        assert frames.warnings == ()


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


@pytest.mark.parametrize("request_", [
    {"fps": 1.0},
    {"fps": 5.0, "max_frames": 110},
    {"fps": 25.0, "start_seconds": 1.0, "end_seconds": 3.0},
    {"fps": 2.0, "end_seconds": 1.2},
    {"num_frames": 16, "start_seconds": 1.5},
    {"num_frames": 5, "start_seconds": 1.9, "end_seconds": 2.1},
])  # fmt: skip
@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_a_file_damaged_in_the_middle_is_sampled_in_every_way(tmp_path, codec, request_):
    path = write_video(
        tmp_path / "video.mp4",
        codec=codec,
        num_frames=100,
        options={"g": "10"},
        container_options=FAST_START,
    )
    whole = read_everything(path)
    data = bytearray(path.read_bytes())
    middle = (data.index(b"mdat") + len(data)) // 2
    data[middle : middle + 1000] = np.random.default_rng(1).bytes(1000)
    path.write_bytes(data)
    assert "damaged" in read_video(path, num_frames=100).warnings[0]
    frames = read_video(path, **request_)
    assert np.array_equal(frames.pixels, whole[frames.indices])
    assert np.array_equal(frames.timestamps_seconds, frames.indices / 25)
    start = request_.get("start_seconds", 0)
    assert np.all(frames.timestamps_seconds >= start - 1)
    assert np.all(frames.timestamps_seconds < request_.get("end_seconds", 4.0))


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
