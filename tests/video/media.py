"""Small videos whose every picture tells its own index, written with PyAV."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

TICKS_PER_SECOND = 12800
WIDTH, HEIGHT = 96, 64
_BITS = 8
_CELL = 12


def draw(index: int, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """An RGB picture: its index as a barcode on top, a moving texture below."""
    rows, columns = np.mgrid[0:height, 0:width]
    picture = np.empty((height, width, 3), np.uint8)
    picture[..., 0] = (rows * 3 + index * 5) % 200
    picture[..., 1] = (columns * 2 + index * 3) % 200
    picture[..., 2] = ((rows + columns + index * 7) // 4 * 9) % 200
    for bit in range(_BITS):
        picture[:_CELL, bit * _CELL : (bit + 1) * _CELL] = 255 if index >> bit & 1 else 0
    return picture


def read_barcode(picture: np.ndarray) -> int:
    """The index that ``draw`` put into a picture."""
    middles = [picture[3 : _CELL - 3, b * _CELL + 3 : (b + 1) * _CELL - 3] for b in range(_BITS)]
    return sum(int(middle.mean() > 127) << bit for bit, middle in enumerate(middles))


def write_video(
    path: Path,
    *,
    codec: str = "libx264",
    num_frames: int = 60,
    fps: int = 25,
    ticks: Sequence[int] | None = None,
    options: dict[str, str] | None = None,
    pixel_format: str = "yuv420p",
    picture: Callable[[int], np.ndarray] = draw,
    with_sound: bool = False,
    sample_aspect_ratio: Fraction | None = None,
    container_options: dict[str, str] | None = None,
    metadata: dict[str, str] | None = None,
) -> Path:
    """Write a video of ``picture(0), picture(1), ...``; ``ticks`` sets times in 1/12800 s."""
    height, width, _ = picture(0).shape
    with av.open(str(path), "w", options=container_options or {}) as container:
        container.metadata.update(metadata or {})
        stream = container.add_stream(codec, rate=fps, options=options or {})
        stream.width, stream.height, stream.pix_fmt = width, height, pixel_format
        stream.codec_context.time_base = Fraction(1, TICKS_PER_SECOND if ticks else fps)
        if sample_aspect_ratio is not None:
            stream.codec_context.sample_aspect_ratio = sample_aspect_ratio
        sound = container.add_stream("aac", rate=48000) if with_sound else None
        for index in range(num_frames):
            frame = av.VideoFrame.from_ndarray(picture(index), format="rgb24")
            frame = frame.reformat(format=pixel_format)
            frame.pts = ticks[index] if ticks else index
            frame.time_base = stream.codec_context.time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if sound is not None:
            silence = av.AudioFrame.from_ndarray(
                np.zeros((1, 1024), np.float32), format="fltp", layout="mono"
            )
            silence.sample_rate = 48000
            container.mux(sound.encode(silence))
            container.mux(sound.encode())
    if codec == "libsvtav1" and hasattr(os, "sched_setscheduler"):
        # As root this encoder makes its caller a real-time thread, which starves all others.
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    return path


def read_everything(path: Path) -> np.ndarray:
    """All pictures, decoded in order on one thread, the plain way."""
    pictures = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        for frame in container.decode(stream):
            pictures.append(frame.to_ndarray(format="rgb24"))
    return np.stack(pictures)
