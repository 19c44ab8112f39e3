"""A stand-in for the guard of media: it decodes in this process, and fetches nothing."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import numpy as np
from numpy.typing import NDArray

from llava_video.chat.local.byte_cache import ByteCache
from llava_video.chat.protocol import Sampling
from llava_video.processing.media import read_frames, read_picture
from llava_video.types import Frames
from llava_video.web.errors import HttpError


@dataclass(frozen=True)
class StoredFile:
    path: Path
    digest: str
    name: str
    num_bytes: int


class MediaGuard:
    def __init__(self, media_root: Path | None) -> None:
        self._root = media_root
        self._folder = tempfile.TemporaryDirectory()
        self._kept: ByteCache[object, Frames] = ByteCache(1 << 28, lambda f: f.pixels.nbytes)

    def fetch(self, address: str) -> StoredFile:
        if address.startswith("data:"):
            import base64

            content = base64.b64decode(address.partition(",")[2])
            path = Path(self._folder.name) / hashlib.sha256(content).hexdigest()
            path.write_bytes(content)
            return StoredFile(path, path.name, address.partition(",")[0][:40], len(content))
        parts = urlsplit(address)
        path = Path(url2pathname(parts.path) if parts.scheme == "file" else address)
        if parts.scheme not in ("", "file") or self._root is None:
            raise HttpError(400, "this server reads no such address")
        path = (self._root / path).resolve()
        if not path.is_relative_to(self._root.resolve()) or not path.is_file():
            raise HttpError(400, "there is no such file below the server's folder of media")
        with path.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
        return StoredFile(path, digest, path.name, path.stat().st_size)

    def read_video(
        self,
        file: StoredFile,
        sampling: Sampling,
        *,
        max_frames: int,
        size: tuple[int, int],
        on_decode: Callable[[int], None] | None = None,
    ) -> Frames:
        def decode() -> Frames:
            frames = read_frames(
                file.path,
                num_frames=sampling.num_frames,
                fps=sampling.fps,
                max_frames=max_frames,
                size=size,
                start_seconds=sampling.start_seconds,
                end_seconds=sampling.end_seconds,
            )
            if on_decode is not None:
                on_decode(len(frames))
            return frames

        return self._kept.get_or_make((file.digest, sampling, max_frames, size), decode)

    def read_picture(self, file: StoredFile) -> NDArray[np.uint8]:
        return read_picture(file.path)

    def close(self) -> None:
        self._folder.cleanup()
