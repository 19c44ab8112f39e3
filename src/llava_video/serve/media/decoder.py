"""Reads one file, in a process of its own that gave up everything else.

What a job is comes as JSON from the server, the file as a descriptor; what was read goes back over
the same socket. `results` checks it there.
"""

from __future__ import annotations

import errno
import importlib
import io
import os
import pkgutil
import socket
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

import llava_video
from llava_video.errors import InputError, VideoError
from llava_video.serve.media import sandbox, wire
from llava_video.serve.media.limits import PICTURE_FORMATS
from llava_video.video import probe_video, read_video
from llava_video.video.opening import Bounds, set_bounds

Reply = tuple[dict[str, Any], list[bytes | memoryview]]

_REQUEST_SECONDS = 30.0
_JPEG_QUALITY = 80


def run_job(connection: socket.socket, parent: int) -> None:
    """Receive a job, do it and send the result; returns where the process should end."""
    sandbox.give_up_privileges(parent)
    _, files, _, _ = socket.recv_fds(connection, 1, 1)
    job = wire.receive(connection, time.monotonic() + _REQUEST_SECONDS)
    limits = job["limits"]
    sandbox.set_limits(
        max_memory_bytes=limits["max_memory_bytes"], max_cpu_seconds=limits["max_cpu_seconds"]
    )
    is_locked = sandbox.lock_files(files[0])
    set_bounds(
        Bounds(
            formats=limits["formats"],
            codecs=frozenset(limits["codecs"]),
            max_pixels=limits["max_pixels"],
        )
    )
    # Pillow warns at this many pixels and refuses twice as many.
    Image.MAX_IMAGE_PIXELS = limits["max_pixels"] // 2
    connection.settimeout(None)
    header, parts = _do(job, files[0])
    wire.send(connection, {**header, "is_locked": is_locked}, parts)


def _do(job: Mapping[str, Any], file: int) -> Reply:
    path = _path_of(file)
    work: Callable[[Path, Mapping[str, Any]], Reply] = _JOBS[job["kind"]]
    try:
        return work(path, job)
    except (VideoError, InputError) as error:
        kind = "request" if isinstance(error, InputError) else "file"
        return {"error": kind, "message": str(error).replace(str(path), "")}, []
    except MemoryError:
        return {"error": "memory"}, []
    except Exception as error:  # noqa: BLE001  (the server learns no more than that it failed)
        return {"error": "memory" if _is_memory(error) else "crash"}, []


def _is_memory(error: BaseException) -> bool:
    return isinstance(error, OSError) and error.errno == errno.ENOMEM


def _path_of(file: int) -> Path:
    """A path by which an open file can be opened again."""
    if sandbox.IS_LINUX:
        return Path(f"/proc/self/fd/{file}")
    if sys.platform == "darwin":  # where /dev/fd shares the position in the file
        import fcntl

        return Path(os.fsdecode(fcntl.fcntl(file, fcntl.F_GETPATH, bytes(1024)).rstrip(b"\0")))
    return Path(f"/dev/fd/{file}")


def _video(path: Path, job: Mapping[str, Any]) -> Reply:
    frames = read_video(path, size=tuple(job["size"]), **job["sampling"])
    header = {
        "num_frames": len(frames),
        "duration_seconds": frames.duration_seconds,
        "warnings": [text.replace(str(path), "") for text in frames.warnings],
    }
    arrays: tuple[NDArray[Any], ...] = (
        frames.timestamps_seconds.astype(np.float64),
        frames.indices.astype(np.int64),
        frames.pixels,
    )
    return header, [_bytes_of(array) for array in arrays]


def _bytes_of(array: NDArray[Any]) -> memoryview:
    return np.ascontiguousarray(array).data.cast("B")


def _probe(path: Path, _: Mapping[str, Any]) -> Reply:
    info = probe_video(path)
    return {
        "duration_seconds": info.duration_seconds,
        "width": info.width,
        "height": info.height,
        "codec": info.codec,
        "num_frames": info.num_frames,
        "average_fps": info.average_fps,
        "warnings": list(info.warnings),
    }, []


def _picture(path: Path, job: Mapping[str, Any]) -> Reply:
    try:
        with Image.open(path, formats=job["formats"]) as image:
            if image.width * image.height > job["limits"]["max_pixels"]:
                return {"error": "pixels"}, []
            pixels = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        # Pillow's own words may hold addresses of memory.
        is_bomb = isinstance(error, Image.DecompressionBombError)
        return {"error": "pixels" if is_bomb else "picture"}, []
    header = {"height": pixels.shape[0], "width": pixels.shape[1]}
    return header, [_bytes_of(pixels)]


def _thumbnails(path: Path, job: Mapping[str, Any]) -> Reply:
    info = probe_video(path)
    height = job["height"]
    size = (height, min(max(1, round(info.width * height / info.height)), job["max_width"]))
    frames = read_video(path, at_seconds=job["seconds"], size=size)
    pictures = []
    for picture in frames.pixels:
        content = io.BytesIO()
        Image.fromarray(picture).save(content, "JPEG", quality=_JPEG_QUALITY)
        pictures.append(content.getvalue())
    return {"sizes": [len(picture) for picture in pictures]}, [*pictures]


_JOBS = {"video": _video, "probe": _probe, "picture": _picture, "thumbnails": _thumbnails}


def warm_up() -> None:
    """Import and start whatever a job needs, as no module can be opened later."""
    import torch

    torch.set_num_threads(1)
    for module in pkgutil.walk_packages(av.__path__, "av."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    Image.init()
    for name in PICTURE_FORMATS:
        content = io.BytesIO()
        Image.new("RGB", (16, 16)).save(content, name)
        Image.open(content, formats=[name]).load()
    sample = Path(llava_video.__file__).parent / "assets" / "samples" / "two_movers.mp4"
    read_video(sample, num_frames=2, size=32)
    _thumbnails(sample, {"height": 32, "max_width": 256, "seconds": [0.0]})
    sandbox.landlock_version()
