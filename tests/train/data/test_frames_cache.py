"""A video is decoded once, and what is kept is never anything but its frames."""

import itertools
import multiprocessing
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from llava_video.errors import InputError, VideoError
from llava_video.train.data.encode import Encoder
from llava_video.train.data.frames_cache import FramesCache
from llava_video.train.data.samples import Sample
from llava_video.train.recipe import load_recipe
from llava_video.types import Frames
from tests.annotate.make_videos import write_video
from tests.model.small import small_processor


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return write_video(tmp_path / "a.mp4")


def frames_of(video: Path, *changes: str) -> Frames:
    recipe = load_recipe("projector", ["model=m", "mixture=x", "out=o", "num_frames=4", *changes])
    content = [{"type": "video", "path": str(video)}, {"type": "text", "text": "What?"}]
    turns = ({"role": "user", "content": content}, {"role": "assistant", "content": "It is red."})
    (frames,) = Encoder(small_processor(), recipe).encode(Sample("a", turns)).seen.frames
    return frames


def same(one: Frames, other: Frames) -> bool:
    arrays = ("pixels", "timestamps_seconds", "indices")
    return (one.duration_seconds, one.warnings) == (other.duration_seconds, other.warnings) and all(
        np.array_equal(getattr(one, name), getattr(other, name)) for name in arrays
    )


def entries(cache: Path) -> list[Path]:
    return sorted(path for path in cache.rglob("*") if path.is_file())


def change(video: Path, content: bytes, *, seem_unchanged: bool) -> None:
    status = video.stat()
    video.write_bytes(content)
    if seem_unchanged:
        os.utime(video, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_a_video_is_decoded_once(video: Path, tmp_path: Path) -> None:
    cache = f"frames_cache={tmp_path / 'cache'}"
    decoded = frames_of(video)
    assert same(frames_of(video, cache), decoded)
    change(video, bytes(video.stat().st_size), seem_unchanged=True)
    assert same(frames_of(video, cache), decoded), "nothing but the cache knows them now"
    with pytest.raises(VideoError):
        frames_of(video, cache, "num_frames=3")


def test_other_frames_have_other_entries(video: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    for number, sampling in enumerate(("num_frames=4", "num_frames=3", "fps=1"), start=1):
        changes = [sampling, *(["num_frames="] if "fps" in sampling else [])]
        assert same(frames_of(video, f"frames_cache={cache}", *changes), frames_of(video, *changes))
        assert len(entries(cache)) == number
    write_video(video, seed=7)
    assert same(frames_of(video, f"frames_cache={cache}"), frames_of(video))
    assert len(entries(cache)) == 4


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty"])
def test_a_damaged_entry_is_decoded_again(video: Path, tmp_path: Path, damage: str) -> None:
    cache = tmp_path / "cache"
    decoded = frames_of(video, f"frames_cache={cache}")
    (entry,) = entries(cache)
    whole = entry.read_bytes()
    for place in (len(whole) // 10, len(whole) // 2, len(whole) - 10):
        bad = {"cut": whole[:place], "empty": b""}.get(
            damage, whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]
        )
        entry.write_bytes(bad)
        assert same(frames_of(video, f"frames_cache={cache}"), decoded)
        assert entry.read_bytes() == whole, "it is mended"


def test_a_video_that_is_gone_or_a_full_disk_is_named(video: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("no folder")
    with pytest.raises(InputError, match="cannot take decoded frames"):
        frames_of(video, f"frames_cache={tmp_path / 'cache'}")
    video.unlink()
    with pytest.raises(VideoError, match=r"a\.mp4"):
        frames_of(video, f"frames_cache={tmp_path / 'other'}")


def work(cache: Path, video: Path, num_frames: int) -> None:
    """Write and read entries of many requests, over and over."""
    pixels = np.full((64, 64, 64, 3), num_frames, np.uint8)
    for number in itertools.count():
        found = FramesCache(cache).get(video, number, lambda: Frames.from_array(pixels))
        assert len(np.unique(found.pixels)) == 1


def test_workers_that_are_killed_leave_whole_entries(video: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    context = multiprocessing.get_context("fork")
    for _ in range(3):
        workers = [context.Process(target=work, args=(cache, video, n)) for n in (1, 2)]
        for worker in workers:
            worker.start()
        start = len(entries(cache))
        while len(entries(cache)) < start + 20 and all(worker.is_alive() for worker in workers):
            time.sleep(0.01)
        for worker in workers:
            os.kill(worker.pid, signal.SIGKILL)
            worker.join()
            assert worker.exitcode == -signal.SIGKILL, "no read failed"
    whole = [entry for entry in entries(cache) if entry.suffix == ".npz"]
    assert len(whole) >= 60 - 6
    for entry in whole:
        with np.load(entry) as arrays:
            assert len(np.unique(arrays["pixels"])) == 1


SIZE = 100_000
"""Bytes of pixels of an entry, which takes some more."""


def get(cache: FramesCache, video: Path, number: int) -> None:
    """Ask for frames that are full of a number."""
    pixels = np.full((1, 100, SIZE // 300, 3), number, np.uint8)
    found = cache.get(video, number, lambda: Frames.from_array(pixels))
    assert np.array_equal(found.pixels, pixels)


def kept(folder: Path) -> set[int]:
    """The numbers that a folder has frames of."""
    numbers = set()
    for entry in entries(folder):
        with np.load(entry) as arrays:
            numbers.add(int(arrays["pixels"].flat[0]))
    return numbers


def test_nothing_is_added_beyond_the_limit(video: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    cache = FramesCache(folder, limit_bytes=5 * SIZE)
    for _ in range(2):
        for number in range(10):
            get(cache, video, number)
    assert kept(folder) == {0, 1, 2, 3}, "they do not push each other out"


def test_what_was_last_read_before_the_run_gives_way(video: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    for number in (0, 1, 2, 3):
        before = set(entries(folder))
        get(FramesCache(folder), video, number)
        (entry,) = set(entries(folder)) - before
        os.utime(entry, (number, number))
    cache = FramesCache(folder, limit_bytes=5 * SIZE)
    get(cache, video, 0)
    get(cache, video, 7)
    assert kept(folder) == {0, 2, 3, 7}, "0 was read again, 1 not for longest"
    for number in (8, 9, 10):
        get(cache, video, number)
    assert kept(folder) == {0, 7, 8, 9}


def fill(folder: Path, video: Path, numbers: range) -> None:
    cache = FramesCache(folder, limit_bytes=20 * SIZE)
    for number in numbers:
        get(cache, video, number)
        get(cache, video, 0)


def test_many_processes_keep_to_one_limit(video: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    for number in range(200, 220):
        get(FramesCache(folder), video, number)
    for entry in entries(folder):
        os.utime(entry, (0, 0))
    context = multiprocessing.get_context("fork")
    shares = [range(1 + 40 * share, 41 + 40 * share) for share in range(3)]
    workers = [context.Process(target=fill, args=(folder, video, share)) for share in shares]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    assert not kept(folder) & set(range(200, 220)), "they gave way"
    assert 15 * SIZE < sum(entry.stat().st_size for entry in entries(folder)) < 24 * SIZE


def test_a_limit_needs_a_folder(video: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="give it as frames_cache=DIR"):
        frames_of(video, "frames_cache_gb=1")
    folder = tmp_path / "cache"
    one_entry = 4 * 64 * 64 * 3 + 3000
    limit = f"frames_cache_gb={1.5 * one_entry / 1e9}"
    frames_of(video, f"frames_cache={folder}", limit)
    assert len(entries(folder)) == 1
    frames_of(video, f"frames_cache={folder}", "frames_cache_gb=1e-9", "num_frames=3")
    assert len(entries(folder)) == 1
