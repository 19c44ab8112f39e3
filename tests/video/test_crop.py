"""Edges that a container hides: PixelCrop in Matroska, the clean aperture in MP4."""

import struct
from pathlib import Path

import av
import numpy as np
import pytest

from llava_video.video import probe_video, read_video
from llava_video.video.crop import NO_CROP, Crop, read_crop

from .mangling import element, write_matroska_with
from .media import HEIGHT, WIDTH, write_video


def write_matroska(folder: Path, crop: Crop) -> Path:
    """A Matroska file with a crop among the settings of its video."""
    names = (b"\x54\xbb", b"\x54\xaa", b"\x54\xcc", b"\x54\xdd")
    edges = b"".join(element(n, bytes([v])) for n, v in zip(names, crop, strict=True))
    return write_matroska_with(folder / "video.mkv", edges)


def write_mp4(folder: Path, clap: tuple[int, ...]) -> Path:
    """An MP4 file with a clean aperture in its sample entry."""
    path = write_video(folder / "video.mp4", num_frames=3, options={"qp": "0"})
    data = path.read_bytes()
    box = struct.pack(">I4s4I2i2i", 40, b"clap", *clap)
    entry = data.index(b"avc1", data.index(b"stsd")) - 4
    end = entry + struct.unpack(">I", data[entry : entry + 4])[0]
    grown = bytearray(data[:end] + box + data[end:])
    for name in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd"):
        place = grown.index(name) - 4
        (size,) = struct.unpack(">I", grown[place : place + 4])
        grown[place : place + 4] = struct.pack(">I", size + len(box))
    size = struct.unpack(">I", grown[entry : entry + 4])[0] + len(box)
    grown[entry : entry + 4] = struct.pack(">I", size)
    path.write_bytes(grown)
    return path


def pictures_in_full(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])


@pytest.mark.parametrize("crop", [Crop(16, 8, 0, 0), Crop(0, 0, 12, 20), Crop(2, 4, 6, 8)])
def test_matroska_hides_edges(tmp_path, crop):
    path = write_matroska(tmp_path, crop)
    frames, info = read_video(path, num_frames=3), probe_video(path)
    rows = slice(crop.top, HEIGHT - crop.bottom)
    columns = slice(crop.left, WIDTH - crop.right)
    assert np.array_equal(frames.pixels, pictures_in_full(path)[:, rows, columns])
    assert (info.height, info.width) == (frames.height, frames.width)


@pytest.mark.parametrize("claim", [Crop(60, 60, 0, 0), Crop(0, 0, 96, 0)])
def test_a_crop_that_leaves_nothing_is_none(tmp_path, claim):
    path = write_matroska(tmp_path, claim)
    assert read_crop(path, "matroska,webm", 0, HEIGHT, WIDTH) == NO_CROP


@pytest.mark.parametrize(
    ("clap", "crop"),
    [
        ((80, 1, 48, 1, 0, 1, 0, 1), Crop(8, 8, 8, 8)),
        ((160, 2, 48, 1, 4, 1, -6, 1), Crop(2, 14, 12, 4)),
        ((96, 1, 64, 1, 0, 1, 0, 1), NO_CROP),
        ((96, 0, 64, 1, 0, 1, 0, 1), NO_CROP),
        ((4_000_000, 1, 64, 1, 0, 1, 0, 1), NO_CROP),
    ],
)
def test_mp4_shows_its_clean_aperture(tmp_path, clap, crop):
    path = write_mp4(tmp_path, clap)
    rows = slice(crop.top, HEIGHT - crop.bottom)
    columns = slice(crop.left, WIDTH - crop.right)
    frames = read_video(path, num_frames=3)
    assert np.array_equal(frames.pixels, pictures_in_full(path)[:, rows, columns])


def test_files_without_a_crop_have_none(tmp_path):
    for suffix in ("mp4", "mkv", "ts"):
        path = write_video(tmp_path / f"video.{suffix}", num_frames=3)
        with av.open(str(path)) as container:
            name = container.format.name
        assert read_crop(path, name, 0, HEIGHT, WIDTH) == NO_CROP
