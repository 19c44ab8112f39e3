"""Decoding half a minute of 1080p: our reader on all cores, and the GPU's decoder through PyAV."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.codec.hwaccel import HWAccel

from gpu.results import Part
from llava_video.video import read_video

NUM_SAMPLED, ROUNDS, FPS = 64, 3, 30


def make_video(path: Path, codec: str, seconds: int, width: int, height: int) -> None:
    """A textured picture that drifts for two seconds and jumps back, with a little noise."""
    draw = np.random.default_rng(0)
    coarse = draw.integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
    picture = coarse.repeat(8, axis=0).repeat(8, axis=1)
    noise = draw.integers(0, 6, (16, height, width, 1), dtype=np.uint8)
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(
            codec, Fraction(FPS), {"preset": "ultrafast", "crf": "23"}
        )
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.thread_count = os.cpu_count() or 1
        drawn = [
            av.VideoFrame.from_ndarray(
                np.roll(picture, (number, 2 * number), (0, 1)) // 2 + noise[number % 16]
            ).reformat(format="yuv420p")
            for number in range(2 * FPS)
        ]
        for number in range(seconds * FPS):
            frame = drawn[number % len(drawn)]  # drawing takes longer than encoding
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def in_order(path: Path, hwaccel: HWAccel | None) -> tuple[int, str]:
    """Decode every picture with PyAV; returns their number and the format they came in."""
    with av.open(str(path), hwaccel=hwaccel) as container:
        stream = container.streams.video[0]
        if hwaccel is None:
            stream.thread_type = "AUTO"
        number, used = 0, ""
        for frame in container.decode(stream):
            number, used = number + 1, frame.format.name
    return number, used


def fastest(work: Callable[[], Any]) -> float:
    """Seconds of the fastest round."""
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    """Both codecs."""
    part = Part.of_command_line("decoding")
    seconds, width, height = (4, 192, 128) if part.rehearse else (30, 1920, 1080)
    part.note("cores", os.cpu_count())
    for codec, name in (("libx264", "h264"), ("libx265", "hevc")):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "video.mp4"
            begin = time.perf_counter()
            make_video(path, codec, seconds if name == "h264" else min(20, seconds), width, height)
            what = f"{name}, {width} x {height}"
            part.note(f"{what}: made in s", time.perf_counter() - begin)
            sampled = fastest(lambda p=path: read_video(p, num_frames=NUM_SAMPLED, size=384))
            part.note(f"{what}: {NUM_SAMPLED} frames at 384 by our reader, s", sampled)
            number, _ = in_order(path, None)
            plain = fastest(lambda p=path: in_order(p, None))
            part.note(f"{what}: all frames in order by PyAV, frames/s", number / plain)
            try:
                hwaccel = HWAccel("cuda", allow_software_fallback=False)
                _, used = in_order(path, hwaccel)
                on_gpu = fastest(lambda p=path, h=hwaccel: in_order(p, h))
            except (av.error.FFmpegError, RuntimeError, NotImplementedError, ValueError) as error:
                part.note(f"{what}: NVDEC through PyAV", f"not available ({error})"[:200])
                continue
            part.note(f"{what}: all frames in order by NVDEC ({used}), frames/s", number / on_gpu)


if __name__ == "__main__":
    main()
