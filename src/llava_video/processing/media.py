"""Videos and images of conversations: files, addresses, arrays and pictures, loaded on demand."""

from __future__ import annotations

import base64
import http.client
import os
import shutil
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
from torch import Tensor

from llava_video.errors import InputError, VideoError
from llava_video.processing.frames_folder import (
    FRAMES_FOLDER_FPS,
    choose_pictures,
    list_pictures,
)
from llava_video.types import Frames
from llava_video.video import read_video
from llava_video.video.resize import resize
from llava_video.video.sampling import rate_indices, spread_indices

Picture = str | Path | Image.Image | NDArray[np.uint8] | Tensor
"""A file or address (base64 ``data:`` too), a PIL image, or uint8 RGB, (H, W, 3) or (3, H, W)."""

Video = Frames | str | Path | NDArray[np.uint8] | Tensor | Sequence[Picture]
"""Frames, a file, a folder of pictures or an address to sample them from; or pictures: a list, or
an array or a tensor of uint8 RGB, (T, H, W, 3) or (T, 3, H, W)."""

KEYS = {
    "video": ("video", "path", "url", "base64"),
    "image": ("image", "path", "url", "base64"),
}
"""Keys of a part, by its type, under which its medium may be."""

DATA = "data:"
"""The scheme of addresses that hold the file itself."""

LONGEST_SHOWN_NAME = 120
"""Characters of a name in messages."""

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
        return _sample_file(video, num_frames, fps, max_frames, size, start_seconds, end_seconds)
    frames = _with_metadata(_pixels_of(video, size), metadata or {})
    if num_frames is not None:
        return _choose(frames, spread_indices(len(frames), num_frames))
    if fps is not None:
        rate = len(frames) / frames.duration_seconds
        return _choose(frames, rate_indices(len(frames), rate, fps, max_frames))
    return frames


def _sample_file(
    video: str | Path,
    num_frames: int | None,
    fps: float | None,
    max_frames: int,
    size: tuple[int, int],
    start_seconds: float,
    end_seconds: float | None,
) -> Frames:
    """Sample the frames of a file, of a folder of pictures, or of what an address holds."""
    wanted: dict[str, Any] = {"size": size, "num_frames": None, "fps": fps, "max_frames": None}
    if fps is None:
        wanted["num_frames"] = max_frames if num_frames is None else num_frames
    else:
        wanted["max_frames"] = max_frames
    span: dict[str, Any] = {"start_seconds": start_seconds, "end_seconds": end_seconds}
    with local_file(video) as file:
        if file.is_dir() and span != {"start_seconds": 0.0, "end_seconds": None}:
            raise InputError(f"{video}: a part of a folder of pictures cannot be chosen by time")
        try:
            frames = (
                read_folder(file, **wanted) if file.is_dir() else read_video(file, **wanted, **span)
            )
        except (VideoError, InputError) as error:
            raise type(error)(str(error).replace(str(file), name_of(video))) from error
    return replace(frames, source=source_of(video))


def read_folder(
    folder: Path,
    *,
    num_frames: int | None,
    fps: float | None,
    max_frames: int | None,
    size: tuple[int, int],
) -> Frames:
    """Sample a folder of pictures as the official code samples those of ``shareVideoGPTV``.

    Args:
        folder: its pictures are the frames, see `frames_folder.list_pictures`.
        num_frames: frames to spread.
        fps: frames per second instead.
        max_frames: the most frames to take with ``fps``.
        size: ``(height, width)`` to resize to.

    Raises:
        VideoError: there are no pictures, or one cannot be read.
    """
    pictures = list_pictures(folder)
    chosen = choose_pictures(len(pictures), num_frames, fps, max_frames)
    read: dict[int, NDArray[np.uint8]] = {}
    for index in set(chosen.tolist()):
        with _as_video_error():
            read[index] = resize(read_picture(pictures[index]), size, exact=True)
    return Frames(
        pixels=np.stack([read[index] for index in chosen.tolist()]),
        timestamps_seconds=chosen / FRAMES_FOLDER_FPS,
        indices=chosen,
        duration_seconds=len(pictures) / FRAMES_FOLDER_FPS,
        source=str(folder),
        warnings=(
            f"a folder of pictures says no rate; they are taken for {FRAMES_FOLDER_FPS:g} a second",
        ),
    )


def sample_folder_times(
    folder: Path, *, num_frames: int | None, fps: float | None, max_frames: int | None
) -> tuple[NDArray[np.float64], float]:
    """Times of the frames that `read_folder` would take, and the duration; from headers alone.

    Raises:
        VideoError: there are no pictures, or one is not an image.
    """
    pictures = list_pictures(folder)
    chosen = choose_pictures(len(pictures), num_frames, fps, max_frames)
    for index in set(chosen.tolist()):
        with _as_video_error():
            picture_size(pictures[index])
    return chosen / FRAMES_FOLDER_FPS, len(pictures) / FRAMES_FOLDER_FPS


@contextmanager
def _as_video_error() -> Iterator[None]:
    """A picture that cannot be read is a damaged video where it is a frame."""
    try:
        yield
    except InputError as error:
        raise VideoError(str(error)) from error


def _pixels_of(video: Any, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Pictures in memory as (T, H, W, 3) uint8.

    Raises:
        InputError: it is something else.
    """
    if isinstance(video, np.ndarray | Tensor):
        return _channels_last(video, "frames", "(T, H, W, 3)", "(T, 3, H, W)")
    if not isinstance(video, list | tuple):
        raise InputError(
            f"a {type(video).__name__} is not a video; give a file, a folder of pictures, an "
            "address, an array (T, H, W, 3) or a list of pictures"
        )
    if not video:
        raise InputError("a video is an empty list of frames; give at least one")
    if any(isinstance(picture, list | tuple) for picture in video):
        raise InputError("a video is a list of lists; give one flat list of pictures per video")
    return np.stack([resize(read_picture(picture), size, exact=True) for picture in video])


def _channels_last(
    pixels: NDArray[Any] | Tensor, what: str, last: str, first: str
) -> NDArray[np.uint8]:
    """RGB with the channels last; (..., 3, H, W) unless it may be (..., H, W, 3).

    Args:
        pixels: an array or a tensor.
        what: what it holds, for messages.
        last: the shape with the channels last, as text.
        first: the shape with the channels first, as text.

    Raises:
        InputError: it has other dimensions or another type.
    """
    num_dimensions, shape = last.count(",") + 1, tuple(pixels.shape)
    dtype = str(pixels.dtype).removeprefix("torch.")
    is_last = len(shape) == num_dimensions and shape[-1] == 3
    is_first = len(shape) == num_dimensions and shape[-3] == 3
    if dtype != "uint8" or not (is_last or is_first):
        hint = ""
        if "float" in dtype:
            hint = "; bring 0..1 to 0..255 and round"
        elif len(shape) == num_dimensions + 1:
            hint = "; give each video or image alone, not as a batch"
        raise InputError(
            f"{what} must be uint8 of shape {last} or {first}, got {dtype} {shape}{hint}"
        )
    array = pixels.detach().cpu().numpy() if isinstance(pixels, Tensor) else pixels
    return array if is_last else np.moveaxis(array, -3, -1)


def read_picture(picture: Picture) -> NDArray[np.uint8]:
    """An upright RGB picture, (H, W, 3) uint8; transparency is dropped, as in training.

    Raises:
        InputError: the file is missing or not an image, or the array has another shape.
    """
    if isinstance(picture, np.ndarray | Tensor):
        return _channels_last(picture, "an image", "(H, W, 3)", "(3, H, W)")
    if isinstance(picture, Image.Image):
        return _upright_rgb(picture)
    if not isinstance(picture, str | Path):
        raise InputError(
            f"a {type(picture).__name__} is not an image; give a file, an address, a PIL image or "
            "an array (H, W, 3)"
        )
    with local_file(picture) as file:
        try:
            with Image.open(file) as image:
                return _upright_rgb(image)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            name = name_of(picture)
            reason = str(error).replace(str(file), name)
            raise InputError(f"{name}: cannot be read as an image ({reason})") from error


def _upright_rgb(image: Image.Image) -> NDArray[np.uint8]:
    upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith("I;16"):  # grey of 16 bits, which Pillow would clip at 255
        upright = Image.fromarray((np.asarray(upright) >> 8).astype(np.uint8))
    return np.asarray(upright.convert("RGB"))


def source_of(video: str | Path) -> str:
    """What `Frames.source` says of a file or an address: all of it, but no bytes of ``data:``."""
    name = str(video)
    return f"{name.partition(',')[0]},..." if name.startswith(DATA) else name


def name_of(source: str | Path) -> str:
    """The name of a file or an address for messages; ``data:`` and long names are cut short."""
    name = source_of(source)
    return name if len(name) <= LONGEST_SHOWN_NAME else f"{name[:LONGEST_SHOWN_NAME]}..."


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
                    missing = answer.length  # which the server said and did not send
            except (http.client.HTTPException, OSError, ValueError) as error:
                raise InputError(f"{source}: cannot be fetched ({error})") from error
            if missing:
                raise InputError(f"{source}: was cut off, {missing:,} bytes are missing; try again")
            copy.flush()
            yield Path(copy.name)
    else:
        yield _checked_path(source)


def _checked_path(source: str | Path) -> Path:
    try:
        if not str(source):
            raise ValueError("it is empty")
        os.lstat(source)
    except (FileNotFoundError, NotADirectoryError):
        pass  # whoever opens it says so
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(
            f"{name_of(source)!r} is no name of a file ({reason}); give a path, or base64 as "
            "'data:image/png;base64,...'"
        ) from error
    return Path(source)


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
