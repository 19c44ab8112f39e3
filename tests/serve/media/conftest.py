"""A guard whose media folder holds small videos of several kinds."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from llava_video.serve.media import MediaGuard, MediaLimits, MediaSource
from tests.video.media import write_video

MAX_SECONDS = 30.0


@pytest.fixture(scope="package")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of sound files."""
    folder = tmp_path_factory.mktemp("media")
    write_video(folder / "h264.mp4", num_frames=40)
    write_video(folder / "hevc.mp4", codec="libx265", options={"x265-params": "log-level=none"})
    write_video(folder / "vp9.webm", codec="libvpx-vp9", num_frames=20)
    write_video(folder / "vp8.webm", codec="libvpx", num_frames=20)
    write_video(folder / "av1.mkv", codec="libsvtav1", num_frames=20)
    write_video(folder / "mpeg4.avi", codec="mpeg4", num_frames=20)
    write_video(folder / "mpeg2.ts", codec="mpeg2video", num_frames=20)
    write_video(folder / "prores.mov", codec="prores", num_frames=20, pixel_format="yuv422p10le")
    write_video(folder / "flash.flv", codec="flv", num_frames=20)
    write_video(folder / "moving.gif", codec="gif", num_frames=20, pixel_format="rgb8")
    rng = np.random.default_rng(0)
    noise = [Image.fromarray(rng.integers(0, 256, (60, 80, 3), np.uint8)) for _ in range(3)]
    noise[0].save(folder / "moving.webp", save_all=True, append_images=noise[1:])
    for suffix in ("jpg", "png", "webp", "gif", "bmp"):
        noise[0].save(folder / f"picture.{suffix}")
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side
    noise[0].save(folder / "turned.jpg", exif=exif)
    return folder


@pytest.fixture(scope="package")
def guard(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MediaGuard]:
    """A guard that reads what is in it."""
    limits = MediaLimits(max_seconds=MAX_SECONDS, max_frames=64)
    made = MediaGuard(MediaSource(root), limits, tmp_path_factory.mktemp("guard") / "folder")
    yield made
    made.close()
