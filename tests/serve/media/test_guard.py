"""The guard gives what reading in this process gives, within its limits."""

import base64
import io
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from llava_video.chat.protocol import Sampling
from llava_video.errors import MediaRefused
from llava_video.processing.media import read_picture
from llava_video.serve.media import MediaGuard
from llava_video.video import probe_video, read_video
from tests.video.media import write_video

VIDEOS = [
    "h264.mp4", "hevc.mp4", "vp9.webm", "vp8.webm", "av1.mkv", "mpeg4.avi", "mpeg2.ts",
    "prores.mov", "flash.flv", "moving.gif", "moving.webp",
]  # fmt: skip
SIZE = (32, 48)


@pytest.mark.parametrize("name", VIDEOS)
def test_frames_are_those_of_read_video(guard: MediaGuard, root: Path, name: str) -> None:
    frames = guard.read_video(guard.fetch(name), Sampling(), max_frames=7, size=SIZE)
    same = read_video(root / name, num_frames=7, size=SIZE)
    assert np.array_equal(frames.pixels, same.pixels)
    assert np.array_equal(frames.timestamps_seconds, same.timestamps_seconds)
    assert np.array_equal(frames.indices, same.indices)
    assert frames.duration_seconds == same.duration_seconds
    assert frames.source == name


@pytest.mark.parametrize(
    ("sampling", "wanted"), [
        (Sampling(num_frames=3), {"num_frames": 3}),
        (Sampling(fps=5.0), {"fps": 5.0, "max_frames": 6}),
        (Sampling(fps=25.0), {"fps": 25.0, "max_frames": 6}),
        (Sampling(start_seconds=0.5), {"num_frames": 6, "start_seconds": 0.5}),
        (
            Sampling(fps=10.0, start_seconds=0.2, end_seconds=0.6),
            {"fps": 10.0, "max_frames": 6, "start_seconds": 0.2, "end_seconds": 0.6},
        ),
    ],
)  # fmt: skip
def test_every_way_of_sampling_is_that_of_read_video(
    guard: MediaGuard, root: Path, sampling: Sampling, wanted: dict[str, Any]
) -> None:
    frames = guard.read_video(guard.fetch("h264.mp4"), sampling, max_frames=6, size=SIZE)
    same = read_video(root / "h264.mp4", size=SIZE, **wanted)
    assert np.array_equal(frames.pixels, same.pixels)
    assert np.array_equal(frames.timestamps_seconds, same.timestamps_seconds)


@pytest.mark.parametrize("name", [f"picture.{s}" for s in ("jpg", "png", "webp", "gif", "bmp")])
def test_pictures_are_those_of_read_picture(guard: MediaGuard, root: Path, name: str) -> None:
    assert np.array_equal(guard.read_picture(guard.fetch(name)), read_picture(root / name))


def test_a_picture_comes_upright(guard: MediaGuard, root: Path) -> None:
    picture = guard.read_picture(guard.fetch("turned.jpg"))
    assert picture.shape == (80, 60, 3)
    assert np.array_equal(picture, read_picture(root / "turned.jpg"))


@pytest.mark.parametrize("name", ["h264.mp4", "moving.gif", "moving.webp"])
def test_facts_are_those_of_probe_video(guard: MediaGuard, root: Path, name: str) -> None:
    facts, same = guard.probe(guard.fetch(name)), probe_video(root / name)
    for field in ("duration_seconds", "width", "height", "codec", "num_frames", "average_fps"):
        assert getattr(facts, field) == getattr(same, field)


def test_thumbnails_show_the_frames_on_screen(guard: MediaGuard, root: Path) -> None:
    seconds = [0.0, 0.5, 0.5, 1.0, 99.0]
    thumbnails = guard.thumbnails(guard.fetch("h264.mp4"), seconds, 32)
    frames = read_video(root / "h264.mp4", at_seconds=seconds, size=(32, 48))
    assert frames.indices.tolist() == [0, 12, 12, 25, 39]
    for thumbnail, frame in zip(thumbnails, frames.pixels, strict=True):
        with Image.open(io.BytesIO(thumbnail)) as picture:
            assert (picture.format, picture.size) == ("JPEG", (48, 32))
            difference = np.asarray(picture).astype(int) - frame
        assert np.abs(difference).mean() < 12


def test_frames_are_read_once_for_the_same_question(guard: MediaGuard) -> None:
    decoded: list[int] = []
    file = guard.fetch("vp9.webm")
    for _ in range(3):
        frames = guard.read_video(
            file, Sampling(), max_frames=5, size=SIZE, on_decode=decoded.append
        )
    assert decoded == [5]
    other = replace(file, name="other.webm")  # the same bytes by another name
    named = guard.read_video(other, Sampling(), max_frames=5, size=SIZE, on_decode=decoded.append)
    assert decoded == [5]
    assert (named.source, frames.source) == ("other.webm", "vp9.webm")
    guard.read_video(file, Sampling(), max_frames=4, size=SIZE, on_decode=decoded.append)
    assert decoded == [5, 4]


def test_the_key_of_what_is_kept_is_the_content(guard: MediaGuard, root: Path) -> None:
    path = write_video(root / "changing.mp4", num_frames=10)
    first = guard.fetch("changing.mp4")
    write_video(path, num_frames=20)
    with pytest.raises(MediaRefused, match="has changed"):
        guard.read_video(first, Sampling(), max_frames=10, size=SIZE)
    second = guard.fetch("changing.mp4")
    assert first.digest != second.digest
    assert guard.probe(second).num_frames == 20


def test_a_data_address_is_removed_when_nothing_holds_its_file(
    guard: MediaGuard, root: Path
) -> None:
    content = base64.b64encode((root / "h264.mp4").read_bytes()).decode()
    file = guard.fetch(f"data:video/mp4;base64,{content}")
    path = file.path
    assert file.digest == guard.fetch("h264.mp4").digest
    assert path.stat().st_mode & 0o077 == 0
    assert guard.folder.num_bytes == file.num_bytes
    assert guard.read_video(file, Sampling(), max_frames=3, size=SIZE).source == "data:video/mp4"
    del file
    assert not path.exists()
    assert guard.folder.num_bytes == 0


def test_threads_share_a_guard(guard: MediaGuard, root: Path) -> None:
    found: dict[str, int] = {}

    def read(name: str) -> None:
        file = guard.fetch(name)
        frames = guard.read_video(file, Sampling(num_frames=4), max_frames=4, size=(20, 20))
        found[name] = len(frames)

    threads = [threading.Thread(target=read, args=(name,)) for name in VIDEOS]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert found == dict.fromkeys(VIDEOS, 4)


@pytest.mark.parametrize(
    ("sampling", "max_frames"), [
        (Sampling(), 0), (Sampling(), 65), (Sampling(num_frames=9), 8), (Sampling(fps=1e-300), 8),
        (Sampling(fps=1e300), 8), (Sampling(start_seconds=1e300), 8),
    ],
)  # fmt: skip
def test_requests_beyond_the_limits_are_refused(
    guard: MediaGuard, sampling: Sampling, max_frames: int
) -> None:
    with pytest.raises(MediaRefused) as caught:
        guard.read_video(guard.fetch("h264.mp4"), sampling, max_frames=max_frames, size=SIZE)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("seconds", "height"), [([], 32), ([0.0] * 65, 32), ([0.0], 8), ([0.0], 4000)]
)
def test_thumbnails_are_bounded(guard: MediaGuard, seconds: list[float], height: int) -> None:
    with pytest.raises(MediaRefused):
        guard.thumbnails(guard.fetch("h264.mp4"), seconds, height)


@pytest.mark.parametrize("seconds", [[1.0, 0.0], [float("nan")], [float("inf")]])
def test_moments_that_fall_or_are_none_are_refused(guard: MediaGuard, seconds: list[float]) -> None:
    with pytest.raises(MediaRefused):
        guard.thumbnails(guard.fetch("h264.mp4"), seconds, 32)
