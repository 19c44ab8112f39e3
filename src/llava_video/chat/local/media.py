"""The videos and images of conversations, loaded once."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import numpy as np
from numpy.typing import NDArray

from llava_video.chat.local.byte_cache import ByteCache
from llava_video.chat.protocol import Conversation, Sampling
from llava_video.processing.media import DATA, Medium, media_of, read_picture, show_tiles, source_of
from llava_video.processing.processor import LlavaVideoProcessor
from llava_video.processing.prompt import ImageSlot, Slot
from llava_video.processing.tiles import cut_tiles
from llava_video.representation.image_layout import ImageLayout, make_image_layout
from llava_video.types import Frames
from llava_video.video.resize import resize


@dataclass(frozen=True, slots=True, eq=False)
class LoadedVideo:
    """Frames of a video.

    Attributes:
        frames: pictures with their times.
        digest: of the pictures; two videos with one digest have the same vision features.
    """

    frames: Frames
    digest: str

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """(T, H, W, 3)."""
        return self.frames.pixels


@dataclass(frozen=True, slots=True, eq=False)
class LoadedImage:
    """Tiles of an image.

    Attributes:
        pixels: (N, S, S, 3).
        layout: how they become tokens.
        digest: of the tiles and the layout.
    """

    pixels: NDArray[np.uint8]
    layout: ImageLayout
    digest: str


Loaded = LoadedVideo | LoadedImage


class MediaLoader:
    """Loads videos and images; keeps those of local files, by the identity of the file.

    Args:
        max_bytes: of the pixels that are kept.
    """

    def __init__(self, max_bytes: int) -> None:
        self.kept: ByteCache[Any, Loaded] = ByteCache(
            max_bytes, lambda medium: medium.pixels.nbytes
        )

    def load(
        self, conversation: Conversation, processor: LlavaVideoProcessor, sampling: Sampling
    ) -> tuple[list[Loaded], int]:
        """The videos and images of a conversation, in order.

        Args:
            conversation: messages.
            processor: of the representation that is wanted, whose T bounds the frames.
            sampling: which frames of each file.

        Returns:
            The media, and how many frames were read from files; others were kept from before.

        Raises:
            LlavaVideoError: one cannot be read, or has more frames than T.
        """
        media = media_of(conversation)
        tiled = show_tiles(media)
        loaded: list[Loaded] = []
        num_decoded = 0
        for medium in media:
            if medium.kind == "image":
                loaded.append(self._load_image(medium, processor, tiled=tiled))
            else:
                video, num_new = self._load_video(medium.source, processor, sampling)
                loaded.append(video)
                num_decoded += num_new
        return loaded, num_decoded

    def _load_video(
        self, source: Any, processor: LlavaVideoProcessor, sampling: Sampling
    ) -> tuple[LoadedVideo, int]:
        if not isinstance(source, str | Path):
            frames = _squares(processor.sample_frames(source), processor.image_size)
            return LoadedVideo(frames, _digest(frames.pixels)), 0
        num_decoded = 0

        def decode() -> Loaded:
            nonlocal num_decoded
            frames = processor.sample_frames(source, **asdict(sampling))
            num_decoded = len(frames)
            return LoadedVideo(frames, _digest(frames.pixels))

        identity = _identity_of(source)
        if identity is None:
            loaded = decode()
        else:
            # T is part of the key: it bounds `fps`, and is the number of frames by default.
            key = ("video", *identity, sampling, processor.representation.max_frames)
            loaded = self.kept.get_or_make(key, decode)
        assert isinstance(loaded, LoadedVideo)
        # One file may have several names.
        frames = replace(loaded.frames, source=source_of(source))
        return LoadedVideo(frames, loaded.digest), num_decoded

    def _load_image(
        self, medium: Medium, processor: LlavaVideoProcessor, *, tiled: bool
    ) -> LoadedImage:
        identity = _identity_of(medium.source)
        make = partial(_cut, medium, processor, tiled=tiled)
        if identity is None:
            return make()
        loaded = self.kept.get_or_make(("image", *identity, tiled), make)
        assert isinstance(loaded, LoadedImage)
        return loaded


def slot_of(loaded: Loaded, processor: LlavaVideoProcessor) -> Slot:
    """The place of a medium in a prompt."""
    if isinstance(loaded, LoadedVideo):
        return processor.slot_of(loaded.frames)
    return ImageSlot(loaded.layout.num_tokens)


def _cut(medium: Medium, processor: LlavaVideoProcessor, *, tiled: bool) -> LoadedImage:
    picture = read_picture(medium.source)
    layout = make_image_layout(processor.images, *picture.shape[:2], tiled=tiled)
    tiles = cut_tiles(picture, layout)
    return LoadedImage(tiles, layout, _digest(tiles, repr(layout)))


def _squares(frames: Frames, side: int) -> Frames:
    """Frames at the size of the vision encoder."""
    if (frames.height, frames.width) == (side, side):
        return frames
    pixels = [resize(picture, (side, side), exact=True) for picture in frames.pixels]
    return replace(frames, pixels=np.stack(pixels))


def _digest(pixels: NDArray[np.uint8], more: str = "") -> str:
    digest = hashlib.blake2b(f"{pixels.shape} {more}".encode(), digest_size=20)
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()


def _identity_of(source: Any) -> Sequence[Any] | None:
    """What tells a file from others and from itself after a change; None for media in memory.

    An address stands for what it held when it was fetched: turns of a conversation go on about
    what its first one showed.
    """
    if not isinstance(source, str | Path):
        return None
    if str(source).startswith(DATA):
        return (hashlib.blake2b(str(source).encode(), digest_size=20).hexdigest(),)
    address = urlsplit(source if isinstance(source, str) else "")
    if address.scheme in ("http", "https"):
        return (str(source),)
    file = Path(url2pathname(address.path) if address.scheme == "file" else source)
    try:
        facts = file.stat()
    except (OSError, ValueError):  # reading it will say what is wrong
        return None
    return (str(file.resolve()), facts.st_size, facts.st_mtime_ns, facts.st_ino)
