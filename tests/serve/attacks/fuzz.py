"""Sound files of many codecs and containers, and seeded damage to them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from llava_video.chat.protocol import Sampling
from llava_video.errors import MediaRefused
from llava_video.serve.media import MediaGuard

from .hostile_files import picture, sound_video

CORPUS = {
    "h264.mp4": ("mp4", "libx264", "yuv420p"),
    "h264.mkv": ("mkv", "libx264", "yuv420p"),
    "hevc.mp4": ("mp4", "libx265", "yuv420p"),
    "av1.mkv": ("mkv", "libsvtav1", "yuv420p"),
    "vp9.webm": ("webm", "libvpx-vp9", "yuv420p"),
    "vp8.webm": ("webm", "libvpx", "yuv420p"),
    "mpeg4.avi": ("avi", "mpeg4", "yuv420p"),
    "mpeg2.ts": ("ts", "mpeg2video", "yuv420p"),
    "mpeg1.mpg": ("mpg", "mpeg1video", "yuv420p"),
    "flash.flv": ("flv", "flv", "yuv420p"),
    "wmv2.asf": ("asf", "wmv2", "yuv420p"),
    "mjpeg.avi": ("avi", "mjpeg", "yuvj420p"),
    "prores.mov": ("mov", "prores", "yuv422p10le"),
    "moving.gif": ("gif", "gif", "rgb8"),
}
"""Container, encoder and pixel format of each video."""

PICTURES = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
MOST_CHANGES = 40


@dataclass(frozen=True)
class Damaged:
    """A damaged file: of what kind, and whether it is shown as a video."""

    name: str
    content: bytes
    is_video: bool


def corpus() -> list[Damaged]:
    """The sound files."""
    videos = [
        Damaged(name, sound_video(suffix, codec, 8, pixels), True)
        for name, (suffix, codec, pixels) in CORPUS.items()
    ]
    return videos + [Damaged(name, picture(40, 30, name), False) for name in PICTURES]


def damage(file: Damaged, seed: int) -> Damaged:
    """Overwrite some bytes, more of them near the begin; some files are cut or repeated in part."""
    generator = np.random.default_rng(seed)
    data = bytearray(file.content)
    for _ in range(round(MOST_CHANGES ** generator.random())):  # often few, which get further
        reach = len(data) if generator.random() < 0.7 else min(len(data), 600)
        place = int(generator.integers(reach))
        kind = generator.random()
        if kind < 0.5:
            data[place] ^= 1 << int(generator.integers(8))
        elif kind < 0.8:
            data[place] = int(generator.choice([0, 1, 0x7F, 0x80, 0xFF]))
        else:
            data[place : place + 4] = generator.bytes(4)
    cut = generator.random()
    if cut < 0.1:
        del data[int(generator.integers(len(data))) :]
    elif cut < 0.2:
        start, stop = sorted(int(n) for n in generator.integers(len(data), size=2))
        data[start:start] = data[start:stop]
    return Damaged(file.name, bytes(data), file.is_video)


def read_all(
    guard: MediaGuard, folder: Path, seeds: Iterable[int], num_threads: int
) -> Counter[str]:
    """Read one damaged file for each seed, and count how that went.

    Args:
        guard: whose media folder is the next.
        folder: to write files into.
        seeds: of the damage.
        num_threads: files at a time.
    """
    sound = corpus()

    def read(seed: int) -> str:
        file = damage(sound[seed % len(sound)], seed)
        path = folder / f"{seed}.bin"
        path.write_bytes(file.content)
        try:
            stored = guard.fetch(path.name)
            if file.is_video:
                guard.read_video(stored, Sampling(), max_frames=4, size=(24, 24))
            else:
                guard.read_picture(stored)
        except MediaRefused as refusal:
            assert "\n" not in str(refusal)
            return f"refused {refusal.status}"
        finally:
            path.unlink()
        return "read"

    with ThreadPoolExecutor(num_threads) as pool:
        return Counter(pool.map(read, seeds))
