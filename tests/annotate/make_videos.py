"""Small videos for tests, written with PyAV."""

from __future__ import annotations

from collections.abc import Collection
from fractions import Fraction
from pathlib import Path

import av
import numpy as np


def write_video(
    path: Path,
    *,
    seconds: float = 4.0,
    fps: float = 4,
    size: tuple[int, int] = (48, 64),
    scenes: int = 1,
    seed: int = 0,
    crf: int = 20,
    gaps: Collection[int] = (),
) -> Path:
    """A video with moving stripes whose colours change with every scene; ``gaps`` lack frames."""
    rng = np.random.default_rng(seed)
    colours = rng.integers(40, 255, (scenes, 3))
    num_frames = round(seconds * fps)
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001))
        stream.height, stream.width = size
        stream.pix_fmt = "yuv420p"
        stream.options = {"preset": "ultrafast", "crf": str(crf)}
        stream.thread_count = 1
        columns = np.arange(size[1])
        for number in range(num_frames):
            scene = number * scenes // num_frames
            # The width of the stripes depends on the scene, so that cuts change brightness too.
            wave = (np.sin((columns + number) / (2 + 3 * scene % 7)) + 1) / 2
            picture = wave[None, :, None] * colours[scene]
            picture = np.broadcast_to(picture, (*size, 3)).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame.pts = number
            if number not in gaps:
                container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def write_toy_video(path: Path, seed: int, level: str = "simple", fps: int = 4) -> Path:
    """A toyworld video with its script beside it."""
    from llava_video.toyworld import generate_script, render, script_path_of

    script = generate_script(seed, level)
    num_frames = max(2, int(script.duration_seconds * fps))
    pixels = render(script, num_frames, 48, fps=fps).pixels
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=fps)
        stream.height, stream.width = pixels.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.options = {"preset": "ultrafast"}
        stream.thread_count = 1
        for picture in pixels:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    script_path_of(path).write_text(str(script))
    return path
