"""How long it takes to get n frames of a video at 384 x 384, against other readers.

Makes its own media (kept in a temporary folder), runs every measurement in a process of its own,
checks every picture by the barcode in it, and prints Markdown tables::

    python benchmarks/decode.py --quick     # 10 s clips only, about two minutes on two cores
    python benchmarks/decode.py             # all codecs and lengths: an hour
    python benchmarks/decode.py --codecs vp9 --seconds 60
    python benchmarks/decode.py --goal      # 64 frames of ten minutes of 720p h264, three times

Every reader's pictures are resized by the same function, so that the table compares decoding.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np

HEIGHT, WIDTH, FPS, SIDE = 720, 1280, 30, 384
UNIT_FRAMES = 300  # media are this many encoded frames, repeated
CELL = HEIGHT // 24  # side of a barcode cell
CODECS = {
    "h264": ("mp4", "libx264", {"preset": "veryfast", "crf": "23"}),
    "hevc": ("mp4", "libx265", {"preset": "superfast", "x265-params": "log-level=none:crf=26"}),
    "vp9": ("webm", "libvpx-vp9", {"cpu-used": "6", "row-mt": "1", "b": "3M", "threads": "4"}),
    "av1": ("mp4", "libsvtav1", {"preset": "11", "crf": "38"}),
    "mpeg4": ("mp4", "mpeg4", {"b": "6M", "bf": "2", "g": "250"}),
}
FORMATS = {"mp4": "mp4", "webm": "webm"}
COUNTS = {10: (8, 64), 60: (8, 64, 440), 600: (8, 64, 440)}  # frames taken of so many seconds
READERS = ("llava-video", "decord", "torchcodec", "pyav in order")
FOLDER = Path(tempfile.gettempdir()) / "llava-video-benchmark"


# Media -------------------------------------------------------------------------------------------


def render(num_frames: int) -> Iterator[np.ndarray]:
    """Planar 4:2:0 pictures: panning texture, a moving patch, fresh grain, a barcode on top."""
    rng = np.random.default_rng(0)
    scene = np.clip(texture(rng, HEIGHT + 256, WIDTH + 512) + 120, 16, 235).astype(np.uint8)
    chroma = np.clip(texture(rng, HEIGHT // 2 + 128, WIDTH + 256) / 2 + 128, 16, 240)
    chroma = chroma.astype(np.uint8)
    patch = np.clip(texture(rng, HEIGHT // 4, WIDTH // 4) + 100, 16, 235).astype(np.uint8)
    grain = [rng.integers(-7, 8, (HEIGHT, WIDTH)).astype(np.int16) for _ in range(7)]
    for index in range(num_frames):
        across, down = abs(index * 2 % 512 - 256), abs(index % 400 - 200)
        luma = scene[down : down + HEIGHT, across : across + WIDTH] + grain[index % 7]
        left = index * 5 % (WIDTH - WIDTH // 4)
        luma[HEIGHT // 3 : HEIGHT // 3 + HEIGHT // 4, left : left + WIDTH // 4] = patch
        for bit in range(16):
            luma[:CELL, bit * CELL : (bit + 1) * CELL] = 230 if index >> bit & 1 else 20
        rows = slice(down // 2, down // 2 + HEIGHT // 2)
        u = chroma[rows, across // 2 : across // 2 + WIDTH // 2]
        v = chroma[rows, across // 2 + 128 : across // 2 + 128 + WIDTH // 2]
        planes = [luma.clip(16, 235).astype(np.uint8), u, v]
        yield np.concatenate([plane.reshape(-1, WIDTH) for plane in planes])


def texture(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    total = np.zeros((height, width), np.float32)
    for cell, strength in ((64, 60), (16, 30), (4, 14), (1, 6)):
        noise = rng.standard_normal((height // cell + 2, width // cell + 2), dtype=np.float32)
        noise = np.kron(noise, np.ones((cell, cell), np.float32))
        for axis in (0, 1):
            sums = np.cumsum(noise, axis)
            noise = (np.roll(sums, -cell, axis) - sums) / cell if cell > 1 else noise
        total += strength * np.clip(noise, -4, 4)[:height, :width]
    return total


def make_video(codec: str, seconds: int) -> Path:
    """A video of so many seconds: one encoded unit, its packets repeated."""
    import av

    from llava_video.records.files import writing

    suffix, encoder, options = CODECS[codec]
    path, unit = FOLDER / f"{codec}-{seconds}.{suffix}", FOLDER / f"{codec}-unit.{suffix}"
    if path.exists():
        return path
    FOLDER.mkdir(exist_ok=True)
    if not unit.exists():
        with writing(unit) as part, av.open(str(part), "w", format=FORMATS[suffix]) as container:
            stream = container.add_stream(encoder, rate=FPS, options=options)
            stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
            for index, picture in enumerate(render(UNIT_FRAMES)):
                frame = av.VideoFrame.from_ndarray(picture, format="yuv420p")
                frame.pts, frame.time_base = index, Fraction(1, FPS)
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
    with writing(path) as part, av.open(str(part), "w", format=FORMATS[suffix]) as container:
        stream = None
        for repeat in range(seconds * FPS // UNIT_FRAMES):
            with av.open(str(unit)) as source:
                origin = source.streams.video[0]
                stream = stream or container.add_stream_from_template(origin, opaque=True)
                shift = round(repeat * UNIT_FRAMES / FPS / origin.time_base)
                for packet in source.demux(origin):
                    if packet.size:
                        packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                        packet.stream = stream
                        container.mux(packet)
    return path


# Readers -----------------------------------------------------------------------------------------


def read_with_ours(path: str, indices: np.ndarray) -> np.ndarray:
    from llava_video import read_video

    frames = read_video(path, num_frames=len(indices), size=SIDE)
    assert frames.indices.tolist() == indices.tolist()
    return frames.pixels


def read_with_decord(path: str, indices: np.ndarray) -> np.ndarray:
    import decord

    from llava_video.video.resize import resize

    pictures = decord.VideoReader(path, num_threads=0).get_batch(indices).asnumpy()
    return np.stack([resize(picture, (SIDE, SIDE)) for picture in pictures])


def read_with_torchcodec(path: str, indices: np.ndarray) -> np.ndarray:
    from torchcodec.decoders import VideoDecoder

    from llava_video.video.resize import resize

    decoder = VideoDecoder(path, dimension_order="NHWC", num_ffmpeg_threads=0)
    pictures = decoder.get_frames_at(indices.tolist()).data.numpy()
    return np.stack([resize(picture, (SIDE, SIDE)) for picture in pictures])


def read_in_order(path: str, indices: np.ndarray) -> np.ndarray:
    import av

    from llava_video.video.resize import resize

    wanted, pictures = set(indices.tolist()), {}
    with av.open(path) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        for index, frame in enumerate(container.decode(stream)):
            if index in wanted:
                pictures[index] = resize(frame.to_ndarray(format="rgb24"), (SIDE, SIDE))
    return np.stack([pictures[index] for index in indices.tolist()])


READ: dict[str, Callable[[str, np.ndarray], np.ndarray]] = {
    "llava-video": read_with_ours,
    "decord": read_with_decord,
    "torchcodec": read_with_torchcodec,
    "pyav in order": read_in_order,
}


def reason_to_skip(reader: str) -> str | None:
    """Why a reader cannot take part; None if it can."""
    if reader not in ("decord", "torchcodec"):
        return None
    if importlib.util.find_spec(reader) is None:
        return f"{reader} is not installed"
    attempt = subprocess.run(
        [sys.executable, "-c", f"import {reader}"], capture_output=True, text=True, check=False
    )
    last = attempt.stderr.strip().splitlines()[-1:] or [""]
    return f"{reader} does not import: {last[0][:120]}" if attempt.returncode else None


# Measuring ---------------------------------------------------------------------------------------


def measure_here(reader: str, path: str, num_total: int, num_frames: int) -> dict[str, float]:
    """Read once in this process; imports are not counted."""
    import torch

    import llava_video.video.resize  # noqa: F401

    if reader in ("decord", "torchcodec"):
        __import__(reader)
    torch.nn.functional.interpolate(
        torch.zeros(1, 3, 8, 8, dtype=torch.uint8), (2, 2), mode="bicubic", antialias=True
    )
    indices = np.linspace(0, num_total - 1, num_frames, dtype=int)
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    wall, cpu = time.perf_counter(), time.process_time()
    pictures = READ[reader](path, indices)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib
    codes = [read_barcode(picture) for picture in pictures]
    num_wrong = int(np.sum(np.array(codes) != indices % UNIT_FRAMES))
    return {"wall": wall, "cpu": cpu, "mib": grown_kib / 1024, "wrong": num_wrong}


def read_barcode(picture: np.ndarray) -> int:
    side_y, side_x = CELL * SIDE / HEIGHT, CELL * SIDE / WIDTH
    row = picture[round(side_y / 2)].mean(-1)
    return sum(int(row[int((bit + 0.5) * side_x)] > 127) << bit for bit in range(16))


def measure(reader: str, path: Path, seconds: int, num_frames: int) -> dict[str, float] | None:
    """Measure in a fresh process; None if the reader fails on the file."""
    command = [sys.executable, __file__, "--one", reader, str(path)]
    command += [str(seconds * FPS), str(num_frames)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    return json.loads(run.stdout.splitlines()[-1]) if run.returncode == 0 else None


def cell(result: dict[str, float] | None) -> str:
    if result is None:
        return "fails"
    wrong = f", **{result['wrong']:.0f} wrong**" if result["wrong"] else ""
    return f"{result['wall']:.2f} / {result['cpu']:.2f} s, {result['mib']:.0f} MiB{wrong}"


def print_table(rows: list[tuple[str, int, int]], readers: list[str], repeats: int) -> None:
    """One line per video and number of frames: best wall / best CPU seconds, memory growth."""
    print("| video, 720p | frames |", " | ".join(readers), "|")
    print("|---" * (len(readers) + 2) + "|")
    for codec, seconds, num_frames in rows:
        path = make_video(codec, seconds)
        results: dict[str, list[dict[str, float] | None]] = {reader: [] for reader in readers}
        for _ in range(repeats):  # taking turns, so that a busy moment hits all alike
            for reader in readers:
                results[reader].append(measure(reader, path, seconds, num_frames))
        cells = [cell(best(results[reader])) for reader in readers]
        print(f"| {codec} {seconds} s | {num_frames} |", " | ".join(cells), "|", flush=True)


def best(results: list[dict[str, float] | None]) -> dict[str, float] | None:
    done = [result for result in results if result is not None]
    if not done:
        return None
    merged = {key: min(result[key] for result in done) for key in ("wall", "cpu")}
    merged["mib"] = statistics.median(result["mib"] for result in done)
    return merged | {"wrong": max(result["wrong"] for result in done)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="10 s clips, 8 and 64 frames")
    parser.add_argument("--goal", action="store_true", help="64 frames of ten minutes of h264")
    parser.add_argument("--codecs", nargs="+", choices=list(CODECS), default=list(CODECS))
    parser.add_argument(
        "--seconds", nargs="+", type=int, choices=list(COUNTS), default=list(COUNTS)
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--one", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        reader, path, num_total, num_frames = arguments.one
        print(json.dumps(measure_here(reader, path, int(num_total), int(num_frames))))
        return
    readers = []
    for reader in READERS:
        reason = reason_to_skip(reader)
        if reason is None:
            readers.append(reader)
        else:
            print(f"Left out: {reason}.\n")
    if arguments.goal:
        rows = [("h264", 600, 64)]
    elif arguments.quick:
        rows = [(codec, 10, n) for codec in arguments.codecs for n in (8, 64)]
    else:
        rows = [
            (codec, seconds, n)
            for codec in arguments.codecs
            for seconds in arguments.seconds
            for n in COUNTS[seconds]
        ]
    print_table(rows, readers, arguments.repeats)


if __name__ == "__main__":
    main()
