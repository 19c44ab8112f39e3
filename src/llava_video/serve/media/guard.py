"""Strangers' media: fetched by rules, read in processes that can be killed, checked on return."""

from __future__ import annotations

import hashlib
import os
import socket
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from llava_video.chat.local.byte_cache import ByteCache
from llava_video.chat.protocol import Sampling
from llava_video.errors import MediaRefused
from llava_video.serve.media import paths, results
from llava_video.serve.media.data_urls import decode_data
from llava_video.serve.media.decoders import DecoderError, Decoders
from llava_video.serve.media.download import download
from llava_video.serve.media.folder import MediaFolder, Writing
from llava_video.serve.media.hosts import Resolve, parse_host, resolve_host
from llava_video.serve.media.limits import (
    PICTURE_FORMATS,
    MediaLimits,
    MediaSource,
    StoredFile,
    VideoFacts,
)
from llava_video.types import Frames

T = TypeVar("T")

_LEAST_FPS, _MOST_FPS = 1e-3, 1e3
_THUMBNAIL_HEIGHTS = (16, 512)
_WIDEST_THUMBNAIL = 8
"""Times its height."""

_REFUSAL_SECONDS = 60.0
_MAX_REFUSALS = 256
_MAX_DIGESTS = 1024

_REASONS = {
    "time": ("takes longer to read than a file may; cut it or scale it down", 422),
    "memory": ("takes more memory than a file may; scale it down", 413),
    "crash": ("cannot be read; convert it to h264 in mp4, or to JPEG", 422),
    "killed": ("reading it was ended; try again", 503),
    "lost": ("reading it was ended; try again", 503),
}


class MediaGuard:
    """Fetches and reads media that requests name. Its methods block, and threads may share it.

    Every method ends within the limits: at most ``max_seconds`` until it is its turn, and as long
    again.

    Args:
        source: where media may come from.
        limits: of each file.
        folder: for downloads and ``data:`` addresses; removed at `close`.
        resolve: finds the addresses of hosts.
    """

    def __init__(
        self,
        source: MediaSource,
        limits: MediaLimits,
        folder: Path,
        resolve: Resolve = resolve_host,
    ) -> None:
        root = source.media_root
        self._root = None if root is None else root.resolve(strict=True)
        self._given_root = None if root is None else root.absolute()
        self._hosts = tuple(map(parse_host, source.allow_hosts))
        self._limits = limits
        self.resolve = resolve
        self.folder = MediaFolder(folder, limits.max_folder_bytes)
        self._frames: ByteCache[Any, Frames] = ByteCache(
            limits.max_cache_bytes, lambda frames: frames.pixels.nbytes
        )
        self._refusals: OrderedDict[Any, tuple[float, str, int]] = OrderedDict()
        self._digests: OrderedDict[tuple[str, tuple[int, int, int]], str] = OrderedDict()
        self._lock = Lock()
        self.decoders = Decoders(limits)
        self.decoders.start()

    def fetch(self, address: str) -> StoredFile:
        """The file that an address leads to.

        What came over the network or in a ``data:`` address is removed when nothing holds the
        result any more.

        Args:
            address: ``data:``, ``http:``, ``https:`` or ``file:``, or a path.

        Raises:
            MediaRefused: it is not allowed, not there, or too large.
        """
        start = address[:8].lower()
        if start.startswith("data:"):
            content, kind = decode_data(address, self._limits.max_bytes)
            return self.folder.store(lambda file: _write_all(file, content, f"data:{kind}"))
        if start.startswith(("http:", "https:")):
            return self.folder.store(
                lambda file: download(address, self._hosts, self._limits, file.write, self.resolve)
            )
        if ":" in address.partition("/")[0] and not start.startswith("file:"):
            raise MediaRefused("give data:, http:, https: or file: as an address", 400)
        return self._local(address)

    def _local(self, address: str) -> StoredFile:
        root, parts = self._below_root(address)
        file = paths.open_below(root, parts)
        try:
            stamp = _stamp(file)
            path = root.joinpath(*parts)
            name = results.clean(parts[-1]) or "file"
            if stamp[1] > self._limits.max_bytes:
                raise MediaRefused(f"{name}: holds more than {self._limits.max_bytes:,} bytes", 413)
            key = (str(path), stamp)
            with self._lock:
                digest = self._digests.get(key)
            if digest is None:
                with os.fdopen(os.dup(file), "rb") as content:
                    digest = hashlib.file_digest(content, "sha256").hexdigest()
                with self._lock:
                    self._digests[key] = digest
                    while len(self._digests) > _MAX_DIGESTS:
                        self._digests.popitem(last=False)
        finally:
            os.close(file)
        return StoredFile(path, digest, name, stamp[1], stamp)

    def _below_root(self, address: str) -> tuple[Path, tuple[str, ...]]:
        """The folder, and the way to a file in it, however the folder's own path is written."""
        try:
            parts = paths.parts_of(address, self._root)
        except MediaRefused:
            if self._given_root == self._root:
                raise
            parts = paths.parts_of(address, self._given_root)
        if self._root is None:  # refused already
            raise AssertionError
        return self._root, parts

    def read_video(
        self,
        file: StoredFile,
        sampling: Sampling,
        *,
        max_frames: int,
        size: tuple[int, int],
        on_decode: Callable[[int], None] | None = None,
    ) -> Frames:
        """Frames of a video, resized; kept for the next question.

        Args:
            file: to read.
            sampling: which frames; by default ``max_frames``, spread.
            max_frames: the most to take.
            size: ``(height, width)`` of the frames.
            on_decode: is given the number of frames where they were not kept from before.

        Raises:
            MediaRefused: the request is beyond the limits, or the file cannot be read.
        """
        wanted = _wanted(file.name, sampling, max_frames, self._limits)

        def read() -> Frames:
            job = {"kind": "video", "sampling": wanted, "size": size}
            frames = self._run(
                file,
                job,
                partial(results.read_frames, max_frames=max_frames, size=size),
            )
            if on_decode is not None:
                on_decode(len(frames))
            return frames

        key = (file.digest, sampling, max_frames, size)
        return replace(self._frames.get_or_make(key, read), source=file.name)

    def read_picture(self, file: StoredFile) -> NDArray[np.uint8]:
        """An upright RGB picture, ``(H, W, 3)`` uint8; transparency is dropped.

        Raises:
            MediaRefused: the file is no JPEG, PNG, WebP, GIF or BMP, or too large.
        """
        job = {"kind": "picture", "formats": PICTURE_FORMATS}
        return self._run(file, job, partial(results.read_picture, limits=self._limits))

    def probe(self, file: StoredFile) -> VideoFacts:
        """Facts about a video.

        Raises:
            MediaRefused: the file cannot be read as a video.
        """
        return self._run(file, {"kind": "probe"}, results.read_facts)

    def thumbnails(self, file: StoredFile, seconds: Sequence[float], height: int) -> list[bytes]:
        """JPEG pictures of the frames on screen at some moments.

        Args:
            file: a video.
            seconds: which never decrease.
            height: of the pictures; their width follows.

        Raises:
            MediaRefused: the request is beyond the limits, or the file cannot be read.
        """
        if not 1 <= len(seconds) <= self._limits.max_frames:
            raise MediaRefused(f"{file.name}: 1 to {self._limits.max_frames} pictures", 400)
        if not _THUMBNAIL_HEIGHTS[0] <= height <= _THUMBNAIL_HEIGHTS[1]:
            raise MediaRefused(f"{file.name}: pictures are 16 to 512 pixels high", 400)
        job = {
            "kind": "thumbnails",
            "seconds": [float(second) for second in seconds],
            "height": height,
            "max_width": _WIDEST_THUMBNAIL * height,
        }
        return self._run(file, job, partial(results.read_thumbnails, num_pictures=len(seconds)))

    def close(self) -> None:
        """End all reading, and remove the folder."""
        self.decoders.close()
        self.folder.close()

    def _run(
        self,
        file: StoredFile,
        job: dict[str, Any],
        read: Callable[[socket.socket, float, str], T],
    ) -> T:
        """Do a job with a file, unless it was refused a short while ago."""
        key = (file.digest, repr(job))
        self._refuse_again(key)
        try:
            with self._opened(file) as descriptor:
                return self.decoders.run(
                    descriptor,
                    job,
                    lambda connection, deadline: read(connection, deadline, file.name),
                )
        except DecoderError as error:
            text, status = _REASONS[error.reason]
            refusal = MediaRefused(f"{file.name}: {text}", status)
            self._remember(key, refusal)
            raise refusal from error
        except MediaRefused as refusal:
            self._remember(key, refusal)
            raise

    @contextmanager
    def _opened(self, file: StoredFile) -> Iterator[int]:
        """A descriptor of a file, by the same checks as when it was named."""
        if self._root is not None and file.path.is_relative_to(self._root):
            descriptor = paths.open_below(self._root, file.path.relative_to(self._root).parts)
        else:
            descriptor = paths.open_owned(file.path)
        try:
            if file.stamp is not None and _stamp(descriptor) != file.stamp:
                raise MediaRefused(f"{file.name}: has changed; ask again", 409)
            if os.fstat(descriptor).st_size > self._limits.max_bytes:
                raise MediaRefused(
                    f"{file.name}: holds more than {self._limits.max_bytes:,} bytes", 413
                )
            yield descriptor
        finally:
            os.close(descriptor)

    def _refuse_again(self, key: Any) -> None:
        with self._lock:
            until, message, status = self._refusals.get(key, (0.0, "", 0))
        if time.monotonic() < until:
            raise MediaRefused(message, status)

    def _remember(self, key: Any, refusal: MediaRefused) -> None:
        """Keep a refusal for a while, so that a file that takes all of its time does so once."""
        if refusal.status in (503, 404, 409):  # which the file is not the reason of
            return
        with self._lock:
            # Not the exception, whose traceback holds the file.
            until = time.monotonic() + _REFUSAL_SECONDS
            self._refusals[key] = (until, str(refusal), refusal.status)
            while len(self._refusals) > _MAX_REFUSALS:
                self._refusals.popitem(last=False)


def _write_all(file: Writing, content: bytes, name: str) -> str:
    file.write(content)
    return name


def _stamp(file: int) -> tuple[int, int, int]:
    status = os.fstat(file)
    return status.st_ino, status.st_size, status.st_mtime_ns


def _wanted(name: str, sampling: Sampling, max_frames: int, limits: MediaLimits) -> dict[str, Any]:
    """What `video.read_video` is asked for.

    Raises:
        MediaRefused: it is beyond the limits.
    """
    if not 1 <= max_frames <= limits.max_frames:
        raise MediaRefused(f"{name}: 1 to {limits.max_frames} frames are read", 400)
    if sampling.num_frames is not None and sampling.num_frames > max_frames:
        raise MediaRefused(f"{name}: at most {max_frames} frames are read", 400)
    if sampling.fps is not None and not _LEAST_FPS <= sampling.fps <= _MOST_FPS:
        raise MediaRefused(f"{name}: fps is {_LEAST_FPS:g} to {_MOST_FPS:g}", 400)
    at_rate = sampling.fps is not None
    return {
        "num_frames": None if at_rate else sampling.num_frames or max_frames,
        "fps": sampling.fps,
        "max_frames": max_frames if at_rate else None,
        "start_seconds": sampling.start_seconds,
        "end_seconds": sampling.end_seconds,
    }
