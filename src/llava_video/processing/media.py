"""Videos and images of conversations: files, addresses, arrays and pictures, loaded on demand."""

from __future__ import annotations

import base64
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, Literal
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps

from llava_video.errors import InputError, VideoError
from llava_video.types import Frames
from llava_video.video import read_video
from llava_video.video.resize import resize
from llava_video.video.sampling import rate_indices, spread_indices

Picture = str | Path | Image.Image | NDArray[np.uint8]
"""A file or address (base64 ``data:`` too), a PIL image, or an array (H, W, 3) uint8 RGB."""

Video = Frames | str | Path | NDArray[np.uint8] | Sequence[Picture]
"""Frames, a file or address to sample them from, or pictures: an array (T, H, W, 3) or a list."""

KEYS = {
    "video": ("video", "path", "url", "base64"),
    "image": ("image", "path", "url", "base64"),
}
"""Keys of a part, by its type, under which its medium may be."""

DATA = "data:"
"""The scheme of addresses that hold the file itself."""

FETCH_TIMEOUT_SECONDS = 30.0
"""Seconds without data after which a download fails."""


@dataclass(frozen=True, slots=True)
class Medium:
    """A video or an image of a conversation, not yet loaded."""

    kind: Literal["video", "image"]
    source: Any


def media_of(messages: Sequence[Mapping[str, Any]]) -> list[Medium]:
    """The videos and images of a conversation, in order.

    Raises:
        InputError: a part holds no medium, or several.
    """
    media = []
    for message in messages:
        content = message.get("content")
        for part in content if isinstance(content, list | tuple) else []:
            kind = part.get("type") if isinstance(part, Mapping) else None
            if kind in KEYS:
                keys = [key for key in KEYS[kind] if part.get(key) is not None]
                if len(keys) != 1:
                    names = " or ".join(map(repr, KEYS[kind]))
                    raise InputError(f"a part of type {kind!r} holds what it shows under {names}")
                source = part[keys[0]]
                if keys[0] == "base64" and not str(source).startswith(DATA):
                    source = f"{DATA};base64,{source}"
                media.append(Medium(kind, source))
    return media


def show_tiles(media: Sequence[Medium]) -> bool:
    """Whether images of a conversation may have tiles: only one that is shown alone."""
    return sum(medium.kind == "image" for medium in media) == 1


def read_frames(
    video: Video,
    *,
    num_frames: int | None,
    fps: float | None,
    max_frames: int,
    size: tuple[int, int],
    start_seconds: float = 0.0,
    end_seconds: float | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> Frames:
    """Sample the frames of a video.

    Files are sampled uniformly (``linspace``, as the checkpoints were trained) or at a rate; so are
    pictures in memory, if a number or a rate is given. `Frames` are returned as they are.

    Args:
        video: what to read.
        num_frames: frames to sample; by default ``max_frames`` of a file.
        fps: frames per second instead, up to ``max_frames``.
        max_frames: upper bound.
        size: ``(height, width)`` of the vision encoder, to which callers resize.
        start_seconds: of a file, take frames that appear from here on.
        end_seconds: of a file, take frames that appear before this; None for the end.
        metadata: transformers' `VideoMetadata` of pictures in memory: ``fps``, and where they are a
            sample already, ``frames_indices`` and ``total_num_frames``.

    Raises:
        InputError: both numbers are given, or an address cannot be fetched.
        VideoError: a file cannot be read.
    """
    if num_frames is not None and fps is not None:
        raise InputError("num_frames or fps, not both: one says how many frames, one how often")
    if isinstance(video, Frames):
        return video
    if isinstance(video, str | Path):
        if fps is None:
            wanted: dict[str, Any] = {
                "num_frames": max_frames if num_frames is None else num_frames
            }
        else:
            wanted = {"fps": fps, "max_frames": max_frames}
        wanted |= {"size": size, "start_seconds": start_seconds, "end_seconds": end_seconds}
        with local_file(video) as file:
            try:
                frames = read_video(file, **wanted)
            except (VideoError, InputError) as error:
                raise type(error)(str(error).replace(str(file), name_of(video))) from error
        return replace(frames, source=name_of(video))
    if not isinstance(video, np.ndarray):
        video = np.stack([resize(read_picture(picture), size, exact=True) for picture in video])
    frames = _with_metadata(video, metadata or {})
    if num_frames is not None:
        return _choose(frames, spread_indices(len(frames), num_frames))
    if fps is not None:
        rate = len(frames) / frames.duration_seconds
        return _choose(frames, rate_indices(len(frames), rate, fps, max_frames))
    return frames


def read_picture(picture: Picture) -> NDArray[np.uint8]:
    """An upright RGB picture, (H, W, 3) uint8; transparency is dropped, as in training.

    Raises:
        InputError: the file is missing or not an image, or the array has another shape.
    """
    if isinstance(picture, np.ndarray):
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[-1] != 3:
            raise InputError(
                f"an image must be uint8 of shape (H, W, 3), got {picture.dtype} {picture.shape}"
            )
        return picture
    if isinstance(picture, Image.Image):
        return np.asarray(ImageOps.exif_transpose(picture).convert("RGB"))
    if not isinstance(picture, str | Path):
        raise InputError(
            f"a {type(picture).__name__} is not an image; give a file, an address, a PIL image or "
            "an array (H, W, 3)"
        )
    with local_file(picture) as file:
        try:
            with Image.open(file) as image:
                return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            name = name_of(picture)
            reason = str(error).replace(str(file), name)
            raise InputError(f"{name}: cannot be read as an image ({reason})") from error


def name_of(source: str | Path) -> str:
    """The name of a file or an address for messages; a ``data:`` address is cut short."""
    name = str(source)
    return f"{name.partition(',')[0]},..." if name.startswith(DATA) else name


def picture_size(file: Path) -> tuple[int, int]:
    """Height and width of what `read_picture` would return, from the header of the file alone.

    Raises:
        InputError: the file is missing or not an image.
    """
    try:
        with Image.open(file) as image:
            width, height = image.size
            lies_on_its_side = image.getexif().get(ExifTags.Base.Orientation, 1) >= 5
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f"{file}: cannot be read as an image ({error})") from error
    return (width, height) if lies_on_its_side else (height, width)


@contextmanager
def local_file(source: str | Path) -> Iterator[Path]:
    """A local file for a path or an address; a download is removed afterwards.

    Raises:
        InputError: the address cannot be fetched, or does not hold base64.
    """
    if str(source).startswith(DATA):
        with NamedTemporaryFile() as copy:
            copy.write(_decode(str(source)))
            copy.flush()
            yield Path(copy.name)
        return
    address = urlsplit(source if isinstance(source, str) else "")
    if address.scheme == "file":
        if address.netloc not in ("", "localhost"):
            raise InputError(f"{source}: is on another machine; only local files are read")
        yield Path(urllib.request.url2pathname(address.path))
    elif address.scheme in ("http", "https"):
        with NamedTemporaryFile(suffix=Path(address.path).suffix) as copy:
            try:
                with urllib.request.urlopen(str(source), timeout=FETCH_TIMEOUT_SECONDS) as answer:
                    shutil.copyfileobj(answer, copy)
            except (urllib.error.URLError, OSError, ValueError) as error:
                raise InputError(f"{source}: cannot be fetched ({error})") from error
            copy.flush()
            yield Path(copy.name)
    else:
        yield Path(source)


def _decode(address: str) -> bytes:
    """The file that a ``data:`` address holds."""
    header, _, content = address.partition(",")
    try:
        if not header.endswith(";base64"):
            raise ValueError("it does not say ;base64 before its comma")
        return base64.b64decode("".join(content.split()), validate=True)
    except ValueError as error:
        raise InputError(f"{name_of(address)}: does not hold a file in base64 ({error})") from error


def _with_metadata(pixels: NDArray[np.uint8], metadata: Mapping[str, Any]) -> Frames:
    values = dict(metadata)
    fps = float(values.get("fps") or 1.0)
    frames = Frames.from_array(pixels, fps=fps)
    indices, num_frames = values.get("frames_indices"), values.get("total_num_frames")
    indices = frames.indices if indices is None else np.asarray(indices)
    if num_frames is None:  # at least as many as were given
        num_frames = 1 + int(indices.max(initial=len(frames) - 1))
    return replace(
        frames,
        indices=indices,
        timestamps_seconds=indices / fps,
        duration_seconds=num_frames / fps,
    )


def _choose(frames: Frames, chosen: NDArray[np.int64]) -> Frames:
    return replace(
        frames,
        pixels=frames.pixels[chosen],
        timestamps_seconds=frames.timestamps_seconds[chosen],
        indices=frames.indices[chosen],
    )
