"""From what requests name to what the model takes: files are fetched and read by the guard."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from llava_video.chat.protocol import Conversation, Sampling
from llava_video.errors import MediaRefused
from llava_video.serve.files import UploadedFile
from llava_video.serve.media import MediaGuard, StoredFile
from llava_video.types import Frames
from llava_video.web.errors import HttpError

T = TypeVar("T")

_PICTURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM", b"II*\x00", b"MM\x00*")
"""First bytes of JPEG, PNG, BMP and TIFF. GIF and WebP are left to what reads them."""


@dataclass(frozen=True, slots=True)
class MediumReference:
    """A video or an image that a request names.

    Attributes:
        kind: of it.
        address: where it is, or what it holds (``data:``); or
        file: that was uploaded.
    """

    kind: Literal["video", "image"]
    address: str | None = None
    file: UploadedFile | None = None


@dataclass(frozen=True, slots=True)
class ReadMedia:
    """What was read for a conversation.

    Attributes:
        conversation: with `Frames` and pictures in place of references.
        num_frames_decoded: read from files; others were kept from before.
        num_bytes: of frames and pictures.
        seconds: it took.
    """

    conversation: Conversation
    num_frames_decoded: int
    num_bytes: int
    seconds: float


class MediaReader:
    """Lets the guard fetch and read media in threads.

    Args:
        guard: which does.
        num_workers: files that are read at a time.
        frame_side: height and width of frames, in pixels.
    """

    def __init__(self, guard: MediaGuard, num_workers: int, frame_side: int) -> None:
        self._guard = guard
        self._pool = ThreadPoolExecutor(num_workers, thread_name_prefix="media")
        self._size = (frame_side, frame_side)

    async def read(
        self,
        conversation: Conversation,
        sampling: Sampling,
        max_frames: int,
        *,
        seconds: float,
    ) -> ReadMedia:
        """Read what a conversation refers to.

        Args:
            conversation: with a `MediumReference` in each part that is no text.
            sampling: which frames of each video.
            max_frames: of each video.
            seconds: in which it has to be done.

        Raises:
            HttpError: something may not be fetched, or cannot be read; 408, it took too long.
        """
        loop = asyncio.get_running_loop()
        start = loop.time()
        references = references_of(conversation)
        tasks = [
            loop.run_in_executor(self._pool, self._read, reference, sampling, max_frames)
            for reference in references
        ]
        try:
            async with asyncio.timeout(seconds):
                read = await asyncio.gather(*tasks)
        except TimeoutError as error:
            raise HttpError(408, f"the media were not read within {seconds:g} s") from error
        finally:
            for task in tasks:
                task.cancel()  # what has not begun need not
        return ReadMedia(
            _with_media(conversation, [medium for medium, _ in read]),
            sum(num for _, num in read),
            sum(
                medium.pixels.nbytes if isinstance(medium, Frames) else medium.nbytes
                for medium, _ in read
            ),
            loop.time() - start,
        )

    def _read(
        self, reference: MediumReference, sampling: Sampling, max_frames: int
    ) -> tuple[Any, int]:
        num_decoded = 0

        def count(num: int) -> None:
            nonlocal num_decoded
            num_decoded += num

        try:
            file = self.stored(reference)
            if reference.kind == "image":
                return self._guard.read_picture(file), 0
            frames = self._guard.read_video(
                file, sampling, max_frames=max_frames, size=self._size, on_decode=count
            )
        except MediaRefused as error:
            raise refusal_of(error, "messages") from error
        return frames, num_decoded

    async def call(self, function: Callable[[], T], *, seconds: float) -> T:
        """Do something else with media in the threads that read them.

        Args:
            function: what to do.
            seconds: in which it has to be done; what has begun goes on after them.

        Raises:
            HttpError: something may not be fetched, or cannot be read; 408, it took too long.
        """
        task = asyncio.get_running_loop().run_in_executor(self._pool, function)
        try:
            async with asyncio.timeout(seconds):
                return await task
        except TimeoutError as error:
            raise HttpError(408, f"the media were not read within {seconds:g} s") from error
        except MediaRefused as error:
            raise refusal_of(error, "file_id") from error

    def stored(self, reference: MediumReference) -> StoredFile:
        """The file of a reference, fetched where need be; for threads.

        Raises:
            MediaRefused: it may not be fetched.
        """
        if reference.file is not None:
            file = reference.file
            return StoredFile(file.path, file.digest, file.name, file.num_bytes)
        assert reference.address is not None
        return self._guard.fetch(reference.address)

    def close(self) -> None:
        """Begin nothing more."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def refusal_of(error: MediaRefused, param: str) -> HttpError:
    """What a client is told of a file that is not read."""
    headers = {"retry-after": "5"} if error.status == 503 else {}
    return HttpError(error.status, str(error), param=param, headers=headers)


def kind_of_upload(file: UploadedFile) -> Literal["video", "image"]:
    """Whether an uploaded file is a picture, by its first bytes alone."""
    try:
        with file.path.open("rb") as content:
            start = content.read(12)
    except FileNotFoundError:
        return "video"  # it was deleted meanwhile; reading it says so
    is_webp = start[:4] == b"RIFF" and start[8:] == b"WEBP"
    return "image" if start.startswith(_PICTURES) or is_webp else "video"


def references_of(conversation: Conversation) -> list[MediumReference]:
    """The references in a conversation, in order."""
    return [
        part[part["type"]]
        for message in conversation
        for part in _parts(message)
        if part["type"] != "text"
    ]


def _with_media(conversation: Conversation, media: Sequence[Any]) -> Conversation:
    remaining = iter(media)
    return [
        {
            **message,
            "content": [
                part if part["type"] == "text" else {**part, part["type"]: next(remaining)}
                for part in _parts(message)
            ],
        }
        for message in conversation
    ]


def _parts(message: Any) -> Sequence[Any]:
    content = message["content"]
    return [{"type": "text", "text": content}] if isinstance(content, str) else content
