"""Colours, rotation, aspect, transparency and sizes of the pictures that come out."""

import io
import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.packet import Packet
from av.video.reformatter import ColorRange, Colorspace
from PIL import ExifTags, Image

from llava_video.video import probe_video, read_video

from .mangling import copy_packets, element, write_matroska_with
from .media import draw, read_barcode, write_video

PATCHES = np.array(
    [[200, 30, 30], [30, 200, 30], [30, 30, 200], [220, 220, 60], [20, 20, 20], [235, 235, 235]],
    np.uint8,
)
BT709, BT601 = 1, 6  # as AVColorSpace numbers them


def draw_patches(height: int = 64, width: int = 96) -> np.ndarray:
    """Flat coloured columns."""
    columns = np.arange(width) * len(PATCHES) // width
    return np.broadcast_to(PATCHES[columns], (height, width, 3)).copy()


def patch_middles(picture: np.ndarray) -> np.ndarray:
    width = picture.shape[1]
    middles = (np.arange(len(PATCHES)) * 2 + 1) * width // (2 * len(PATCHES))
    return picture[picture.shape[0] // 2, middles].astype(int)


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv444p", "yuv420p10le", "yuv422p"])
@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize("matrix", [BT601, BT709])
def test_colours_follow_the_files_own_tags(tmp_path, pixel_format, full_range, matrix):
    path = tmp_path / "video.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"qp": "4"})
        stream.width, stream.height, stream.pix_fmt = 96, 64, pixel_format
        stream.codec_context.colorspace = matrix
        stream.codec_context.color_range = 2 if full_range else 1
        frame = av.VideoFrame.from_ndarray(draw_patches(), format="rgb24").reformat(
            format=pixel_format,
            dst_colorspace=Colorspace.ITU709 if matrix == BT709 else Colorspace.ITU601,
            dst_color_range=ColorRange.JPEG if full_range else ColorRange.MPEG,
        )
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    seen = patch_middles(read_video(path, num_frames=1).pixels[0])
    assert np.abs(seen - PATCHES).max() <= 4


def orient_file(path: Path, matrix: tuple[float, float, float, float]) -> None:
    """Write a display matrix into the track header of an mp4 file."""
    data = bytearray(path.read_bytes())
    place = data.index(b"tkhd") + 4 + 40
    a, b, c, d = (int(value * 0x10000) for value in matrix)
    data[place : place + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 0x40000000)
    path.write_bytes(data)


def put_upright(stored: np.ndarray, is_mirrored: bool, degrees: int) -> np.ndarray:
    """(T, H, W, 3) pictures mirrored left to right, then turned clockwise."""
    pictures = stored[:, :, ::-1] if is_mirrored else stored
    return np.rot90(pictures, -degrees // 90, axes=(1, 2))


@pytest.mark.parametrize(
    ("matrix", "is_mirrored", "degrees"),
    [
        ((1, 0, 0, 1), False, 0),
        ((0, 1, -1, 0), False, 90),
        ((-1, 0, 0, -1), False, 180),
        ((0, -1, 1, 0), False, 270),
        ((-1, 0, 0, 1), True, 0),
        ((0, -1, -1, 0), True, 90),
        ((1, 0, 0, -1), True, 180),
        ((0, 1, 1, 0), True, 270),
        ((0, 0, 0, 0), False, 0),
        ((1, 1, 1, 1), False, 0),
        ((1, 0, 0, 0), False, 0),
        ((0, 30000, -30000, 0), False, 90),
        ((0.001, 0, 0, -0.001), True, 180),
    ],
)
def test_recordings_are_put_upright(tmp_path, matrix, is_mirrored, degrees):
    """All eight ways a picture can lie; matrices that show nothing change nothing."""
    path = write_video(tmp_path / "video.mp4", num_frames=4, options={"qp": "4"})
    stored = read_video(path, num_frames=4).pixels
    orient_file(path, matrix)
    frames, info = read_video(path, num_frames=4), probe_video(path)
    assert np.array_equal(frames.pixels, put_upright(stored, is_mirrored, degrees))
    assert (info.is_mirrored, info.rotation_degrees) == (is_mirrored, degrees)
    assert (info.height, info.width) == (frames.height, frames.width)
    assert frames.warnings == ()


def say_orientation(packet: Packet, flips: int, quarter_turns: int) -> Packet:
    """Put the message of display orientation (H.264, D.1.27) before the pictures of a packet."""
    bits = f"0{flips:02b}{quarter_turns << 14:016b}" + "1" + "0" + "10000000"
    message = int(bits[: len(bits) // 8 * 8], 2).to_bytes(len(bits) // 8)
    unit = b"\x06\x2f" + bytes([len(message)]) + message + b"\x80"
    spoken = Packet(len(unit).to_bytes(4) + unit + bytes(packet))
    spoken.pts, spoken.dts, spoken.duration = packet.pts, packet.dts, packet.duration
    spoken.time_base, spoken.is_keyframe = packet.time_base, packet.is_keyframe
    return spoken


@pytest.mark.parametrize(
    ("flips", "quarter_turns", "is_mirrored", "degrees"),
    [(0b00, 1, False, 270), (0b00, 3, False, 90), (0b10, 0, True, 0), (0b01, 0, True, 180)],
)
@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_an_orientation_that_is_said_once_holds_for_all(
    tmp_path, suffix, flips, quarter_turns, is_mirrored, degrees
):
    source = write_video(tmp_path / "source.mp4", num_frames=30, options={"g": "10", "bf": "0"})
    stored = read_video(source, num_frames=30).pixels

    def say_once(place: int, packet: Packet) -> Packet:
        return packet if place else say_orientation(packet, flips, quarter_turns)

    path = copy_packets(source, tmp_path / f"video.{suffix}", say_once)
    for wanted in ({"num_frames": 30}, {"num_frames": 4, "start_seconds": 0.8}):
        frames = read_video(path, **wanted)
        upright = put_upright(stored[frames.indices], is_mirrored, degrees)
        assert np.array_equal(frames.pixels, upright)
        assert frames.warnings == ()
    info = probe_video(path)
    assert (info.is_mirrored, info.rotation_degrees) == (is_mirrored, degrees)


def test_the_orientation_of_a_photograph_holds_in_motion_jpeg(tmp_path):
    photograph = Image.fromarray(draw(5))
    exif = photograph.getexif()
    exif[ExifTags.Base.Orientation] = 6
    content = io.BytesIO()
    photograph.save(content, "JPEG", exif=exif, quality=90)
    path = tmp_path / "video.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=10)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuvj420p"
        for place in range(5):
            packet = Packet(content.getvalue())
            packet.stream, packet.time_base = stream, Fraction(1, 10)
            packet.pts = packet.dts = place
            container.mux(packet)
    frames = read_video(path, num_frames=3)
    assert (frames.height, frames.width) == (96, 64)
    assert read_barcode(np.rot90(frames.pixels[1])) == 5


def test_pixels_that_are_not_square_are_made_square(tmp_path):
    path = write_video(tmp_path / "video.mp4", num_frames=3, sample_aspect_ratio=Fraction(4, 3))
    frames, info = read_video(path, num_frames=3), probe_video(path)
    assert (frames.width, frames.height) == (info.width, info.height) == (128, 64)


@pytest.mark.parametrize("ratio", [Fraction(40_000), Fraction(1, 5000), Fraction(9)])
def test_shapes_that_no_pixel_has_are_not_believed(tmp_path, ratio):
    path = write_video(
        tmp_path / "video.mp4",
        num_frames=3,
        sample_aspect_ratio=Fraction(4, 3),
        options={"bf": "0"},
    )
    data = bytearray(path.read_bytes())
    place = data.index(b"pasp") + 4
    data[place : place + 8] = struct.pack(">2I", ratio.numerator, ratio.denominator)
    path.write_bytes(data)
    frames, info = read_video(path, num_frames=3), probe_video(path)
    assert (frames.width, frames.height) == (info.width, info.height) == (128, 64)
    assert "times as wide as high; the codec's shape is taken" in frames.warnings[0]
    assert info.warnings == frames.warnings


def test_a_display_that_no_screen_has_is_not_believed(tmp_path):
    unit, width = b"\x54\xb2", b"\x54\xb0"
    display = element(unit, b"\x00") + element(width, (4_000_000).to_bytes(4))
    path = write_matroska_with(tmp_path / "video.mkv", display)
    frames = read_video(path, num_frames=3)
    assert (frames.width, frames.height) == (96, 64)
    assert "square is taken" in frames.warnings[0]


@pytest.mark.parametrize(
    ("codec", "pixel_format", "is_limited"),
    [
        ("libx264", "gray", True),
        ("libx265", "gray", True),
        ("libx265", "gray10le", True),
        ("ffv1", "gray", False),
        ("ffv1", "gray16le", False),
    ],
)
def test_grey_pictures_have_the_levels_of_their_codec(tmp_path, codec, pixel_format, is_limited):
    levels = np.broadcast_to(np.linspace(0, 255, 96).astype(np.uint8), (64, 96))
    coded = np.round(16 + levels / 255 * 219).astype(np.uint8) if is_limited else levels
    path = tmp_path / "video.mkv"
    with av.open(str(path), "w") as container:
        options = {"x265-params": "log-level=none:qp=2"} if codec == "libx265" else {"qp": "2"}
        stream = container.add_stream(codec, rate=10, options=options)
        stream.width, stream.height, stream.pix_fmt = 96, 64, pixel_format
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(coded), format="gray")
        container.mux(stream.encode(frame.reformat(format=pixel_format)))
        container.mux(stream.encode())
    picture = read_video(path, num_frames=1).pixels[0].astype(int)
    assert np.abs(picture - levels[..., None]).max() <= 4


@pytest.mark.parametrize("codec", ["libvpx", "libvpx-vp9"])
def test_transparency_of_vp8_and_vp9_counts(tmp_path, codec):
    rgba = np.full((64, 96, 4), 200, np.uint8)
    rgba[:, :48, 3], rgba[:, 48:, 3] = 0, 255
    path = tmp_path / "video.webm"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10, options={"b": "2M", "auto-alt-ref": "0"})
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuva420p"
        stream.metadata["alpha_mode"] = "1"
        for place in range(12):
            frame = av.VideoFrame.from_ndarray(rgba, format="rgba").reformat(format="yuva420p")
            frame.pts, frame.time_base = place, Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    frames = read_video(path, num_frames=5)
    assert frames.indices.tolist() == [0, 2, 5, 8, 11]
    assert frames.pixels[:, :, :40].max() <= 8
    assert np.abs(frames.pixels[:, :, 56:].astype(int) - 200).max() <= 8


def test_transparent_pixels_lie_over_black(tmp_path):
    rgba = np.zeros((16, 32, 4), np.uint8)
    rgba[..., :3] = 200
    rgba[:, 16:24, 3], rgba[:, 24:, 3] = 128, 255
    path = tmp_path / "video.mov"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("png", rate=10)
        stream.width, stream.height, stream.pix_fmt = 32, 16, "rgba"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(rgba, format="rgba")))
        container.mux(stream.encode())
    picture = read_video(path, num_frames=1).pixels[0]
    assert picture[0, [0, 20, 31]].tolist() == [[0] * 3, [100] * 3, [200] * 3]


@pytest.mark.parametrize("size", [(61, 97), (33, 101), (2, 2)])
def test_odd_sizes_keep_every_row_and_column(tmp_path, size):
    height, width = size
    path = write_video(
        tmp_path / "video.mkv",
        codec="ffv1",
        num_frames=3,
        pixel_format="bgr0",
        picture=lambda index: draw(index, width, height),
    )
    frames = read_video(path, num_frames=3)
    assert np.array_equal(frames.pixels, np.stack([draw(i, width, height) for i in range(3)]))


def test_an_animated_gif_is_a_video(tmp_path):
    path = write_video(
        tmp_path / "video.gif", codec="gif", num_frames=20, fps=10, pixel_format="rgb8"
    )
    frames = read_video(path, num_frames=7)
    assert [read_barcode(p) for p in frames.pixels] == [0, 3, 6, 9, 12, 15, 19]
    assert frames.timestamps_seconds == pytest.approx(frames.indices / 10)


def test_a_video_of_one_frame_repeats_it(tmp_path):
    path = write_video(tmp_path / "video.mp4", num_frames=1)
    frames = read_video(path, num_frames=3)
    assert frames.indices.tolist() == [0, 0, 0]
    assert np.array_equal(frames.pixels[0], frames.pixels[2])


def test_sizes_that_change_on_the_way_take_the_first(tmp_path):
    path = tmp_path / "video.h264"
    parts = [
        write_video(
            tmp_path / f"{width}.h264",
            num_frames=5,
            picture=lambda index, width=width: draw(index, width),
        ).read_bytes()
        for width in (96, 128)
    ]
    path.write_bytes(b"".join(parts))
    frames = read_video(path, num_frames=10)
    assert (frames.height, frames.width) == (64, 96)
    assert "size changes" in frames.warnings[0]
