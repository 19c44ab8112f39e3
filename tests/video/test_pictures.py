"""Colours, rotation, aspect, transparency and sizes of the pictures that come out."""

import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.reformatter import ColorRange, Colorspace

from llava_video.video import probe_video, read_video

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


def rotate_file(path: Path, matrix: tuple[int, int, int, int]) -> None:
    """Write a rotation into the track header of an mp4 file."""
    data = bytearray(path.read_bytes())
    place = data.index(b"tkhd") + 4 + 40
    a, b, c, d = (value * 0x10000 for value in matrix)
    data[place : place + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 0x40000000)
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("matrix", "degrees"),
    [((0, 1, -1, 0), 90), ((-1, 0, 0, -1), 180), ((0, -1, 1, 0), 270), ((1, 0, 0, 1), 0)],
)
def test_rotated_videos_come_out_upright(tmp_path, matrix, degrees):
    path = write_video(tmp_path / "video.mp4", num_frames=4, options={"qp": "4"})
    stored = read_video(path, num_frames=4).pixels
    rotate_file(path, matrix)
    frames, info = read_video(path, num_frames=4), probe_video(path)
    assert np.array_equal(frames.pixels, np.rot90(stored, -degrees // 90, axes=(1, 2)))
    assert info.rotation_degrees == degrees
    assert (info.height, info.width) == (frames.height, frames.width)


def test_pixels_that_are_not_square_are_made_square(tmp_path):
    path = write_video(tmp_path / "video.mp4", num_frames=3, sample_aspect_ratio=Fraction(4, 3))
    frames, info = read_video(path, num_frames=3), probe_video(path)
    assert (frames.width, frames.height) == (info.width, info.height) == (128, 64)


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
