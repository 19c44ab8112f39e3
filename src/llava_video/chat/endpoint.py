"""`EndpointModel`: a model behind an OpenAI-compatible endpoint that answers conversations."""

from __future__ import annotations

import base64
import mimetypes
import os
import time
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from threading import Event
from typing import Any, Literal

import httpx2
import openai

from llava_video.calls.endpoint import Endpoint
from llava_video.calls.messages import Picture
from llava_video.chat.media_files import is_address
from llava_video.chat.protocol import (
    Answered,
    AnswerOptions,
    Conversation,
    FinishReason,
    Piece,
    Sampling,
    ShownVideo,
    Usage,
)
from llava_video.errors import EndpointError, InputError, VideoError
from llava_video.processing.media import (
    KEYS,
    Medium,
    media_of,
    read_frames,
    read_picture,
    source_of,
)
from llava_video.types import Frames
from llava_video.video import probe_video

VideosAs = Literal["frames", "data_url", "file_url"]
"""How videos are sent: as pictures with their times; as ``video_url`` parts that hold the file; or
as ``video_url`` parts that name it, for a server that reads the same files."""

NUM_FRAMES = 16
"""Frames of a video that are sent as pictures, unless the sampling says another number."""

MAX_FRAMES = 256
"""Frames at most where the sampling is a rate."""

PICTURE_SIDE = 384
"""Height and width of frames, in pixels, as the checkpoints of this project take them."""


@dataclass(frozen=True, slots=True)
class _Prepared:
    messages: list[dict[str, Any]]
    videos: tuple[ShownVideo, ...]
    num_frames_decoded: int


class EndpointModel:
    """A `ChatModel` at an endpoint. Rows of a batch are asked at the same time.

    ``top_k`` and ``repetition_penalty``, which OpenAI's interface lacks, are sent as vLLM and
    SGLang take them.

    Args:
        settings: where, as which model, with which key; its own ``temperature`` and ``seed`` are
            those of recipes, and not used here.
        videos_as: how videos are sent.
    """

    def __init__(self, settings: Endpoint, *, videos_as: VideosAs = "frames") -> None:
        self.name = settings.model
        self._settings = settings
        self._videos_as = videos_as
        self._client = openai.OpenAI(
            api_key=os.environ.get(settings.api_key_env) or "none",
            base_url=settings.base_url,
            max_retries=settings.attempts - 1,
            timeout=settings.timeout_seconds,
        )

    def answer(
        self, conversations: Sequence[Conversation], options: AnswerOptions
    ) -> Iterator[Piece | Answered]:
        """Answer several conversations at once; see `ChatModel.answer`.

        Raises:
            InputError: the options have a representation, which is the server's choice.
            EndpointError: the endpoint cannot be reached, or refuses.
        """
        if options.representation is not None:
            raise InputError(
                f"{self.name}: the server chooses how frames become tokens; leave the "
                "representation out"
            )
        prepared = [self._prepare(conversation, options) for conversation in conversations]
        events: SimpleQueue[Piece | Answered | Future[None]] = SimpleQueue()
        cancelled = Event()

        def ask(row: int) -> None:
            with closing(self._stream(row, prepared[row], options)) as stream:
                for event in stream:
                    if cancelled.is_set():
                        return
                    events.put(event)

        pool = ThreadPoolExecutor(min(len(prepared), self._settings.concurrency) or 1)
        try:
            for row in range(len(prepared)):
                pool.submit(ask, row).add_done_callback(events.put)
            num_open = len(prepared)
            while num_open:
                event = events.get()
                if isinstance(event, Future):
                    num_open -= 1
                    event.result()
                else:
                    yield event
        except (openai.OpenAIError, httpx2.HTTPError) as error:
            raise self._failure(error) from error
        finally:
            cancelled.set()
            pool.shutdown(wait=False, cancel_futures=True)

    def _stream(
        self, row: int, prepared: _Prepared, options: AnswerOptions
    ) -> Generator[Piece | Answered, None, None]:
        start = time.perf_counter()
        seconds: dict[str, float] = {}
        text = ""
        reason: FinishReason | None = None
        counted: Any = None
        with self._client.chat.completions.create(
            **_body(
                self._settings,
                prepared.messages,
                options,
                sends_files=self._videos_as != "frames",
            )
        ) as chunks:
            for chunk in chunks:
                counted = chunk.usage or counted
                for choice in chunk.choices:
                    if choice.finish_reason is not None:
                        reason = "length" if choice.finish_reason == "length" else "stop"
                    if choice.delta.content:
                        seconds.setdefault("first_token", round(time.perf_counter() - start, 4))
                        text += choice.delta.content
                        yield Piece(row, choice.delta.content)
        if reason is None:
            raise EndpointError(f"{self.name}: the answer broke off; ask again")
        seconds["answer"] = round(time.perf_counter() - start, 4)
        yield Answered(
            row=row,
            text=text,
            finish_reason=reason,
            usage=_usage(counted, prepared.num_frames_decoded),
            seconds=seconds,
            videos=prepared.videos,
        )

    def _prepare(self, conversation: Conversation, options: AnswerOptions) -> _Prepared:
        media = iter(media_of(conversation))
        videos: list[ShownVideo] = []
        messages = []
        num_decoded = 0
        for message in conversation:
            content = message["content"]
            if not isinstance(content, str):
                parts: list[dict[str, Any]] = []
                for part in content:
                    if part["type"] == "text":
                        parts.append({"type": "text", "text": part["text"]})
                        continue
                    if part["type"] not in KEYS:
                        raise InputError(
                            f"a part of a message has type {part['type']!r}; use 'text', 'image' "
                            "or 'video'"
                        )
                    medium = next(media)
                    if medium.kind == "image":
                        parts.append(_image_part(medium.source))
                    else:
                        shown, video_parts = self._show(medium, options)
                        is_file = isinstance(medium.source, str | Path)
                        num_decoded += len(shown.timestamps_seconds) if is_file else 0
                        videos.append(shown)
                        parts += video_parts
                content = parts
            messages.append({"role": message["role"], "content": content})
        return _Prepared(messages, tuple(videos), num_decoded)

    def _show(
        self, medium: Medium, options: AnswerOptions
    ) -> tuple[ShownVideo, list[dict[str, Any]]]:
        if self._videos_as == "frames":
            frames = _frames_of(medium.source, options)
            return ShownVideo.of(frames), _frame_parts(frames)
        if not isinstance(medium.source, str | Path):
            raise InputError(
                f"{self.name}: frames in memory cannot be sent as a file; send videos as frames"
            )
        if options.sampling.start_seconds or options.sampling.end_seconds is not None:
            raise InputError(
                f"{self.name} gets whole files, and a part was asked for; send videos as frames"
            )
        url = _url_of(medium.source, inside=self._videos_as == "data_url")
        is_here = not is_address(str(medium.source))
        duration = probe_video(medium.source).duration_seconds if is_here else 0.0
        shown = ShownVideo(source_of(medium.source), duration, (), 0, "")
        return shown, [{"type": "video_url", "video_url": {"url": url}}]

    def _failure(self, error: openai.OpenAIError | httpx2.HTTPError) -> EndpointError:
        reason = " ".join(str(error).split())[:300]
        where = f"{self._client.base_url} ({self.name})"
        if isinstance(error, openai.APIConnectionError):
            cause = " ".join(str(error.__cause__ or error).split())[:300]
            return EndpointError(f"{where} cannot be reached: {cause}; check the address")
        if isinstance(error, openai.AuthenticationError):
            return EndpointError(
                f"{where} refuses the key: {reason}; check {self._settings.api_key_env}"
            )
        if isinstance(error, openai.BadRequestError):
            return EndpointError(
                f"{where} refuses the request: {reason}; send fewer frames, or videos in another "
                "way"
            )
        return EndpointError(f"{where} failed: {reason}; ask again")


def _body(
    settings: Endpoint,
    messages: list[dict[str, Any]],
    options: AnswerOptions,
    *,
    sends_files: bool,
) -> dict[str, Any]:
    """The arguments of the request."""
    body: dict[str, Any] = {
        "model": settings.model,
        "messages": messages,
        "max_completion_tokens": options.max_new_tokens,
        "temperature": options.temperature,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if options.temperature > 0:
        body["top_p"] = options.top_p
    if options.seed is not None:
        body["seed"] = options.seed
    if options.stop:
        body["stop"] = list(options.stop)
    more = dict(settings.extra_body)
    if sends_files and (asked := _rate_of(options.sampling)):
        more["media_io_kwargs"] = {"video": asked}
    if options.top_k is not None:
        more["top_k"] = options.top_k
    if options.repetition_penalty is not None:
        more["repetition_penalty"] = options.repetition_penalty
    return {**body, "extra_body": more} if more else body


def _rate_of(sampling: Sampling) -> dict[str, Any]:
    """How many frames a server is to take of a file, in vLLM's words; empty for its default."""
    wanted = {"num_frames": sampling.num_frames, "fps": sampling.fps}
    return {name: value for name, value in wanted.items() if value is not None}


def _usage(counted: Any, num_frames_decoded: int) -> Usage:
    if counted is None:
        return Usage(num_frames_decoded=num_frames_decoded)
    details = counted.prompt_tokens_details
    num_cached = (details.cached_tokens or 0) if details is not None else 0
    return Usage(
        num_prompt_tokens=counted.prompt_tokens,
        num_new_tokens=counted.completion_tokens,
        num_frames_decoded=num_frames_decoded,
        num_tokens_prefilled=counted.prompt_tokens - num_cached,
    )


def _frames_of(source: Any, options: AnswerOptions) -> Frames:
    sampling = options.sampling
    is_file = isinstance(source, str | Path)
    by_rate = is_file and sampling.fps is not None
    return read_frames(
        source,
        num_frames=None if by_rate or not is_file else sampling.num_frames or NUM_FRAMES,
        fps=sampling.fps if by_rate else None,
        max_frames=MAX_FRAMES,
        size=(PICTURE_SIDE, PICTURE_SIDE),
        start_seconds=sampling.start_seconds,
        end_seconds=sampling.end_seconds,
    )


def _frame_parts(frames: Frames) -> list[dict[str, Any]]:
    """Each frame as a picture after its time."""
    parts: list[dict[str, Any]] = []
    for pixels, seconds in zip(frames.pixels, frames.timestamps_seconds, strict=True):
        picture = Picture.of(pixels, float(seconds))
        parts.append({"type": "text", "text": f"Frame at {seconds:.2f} s:"})
        parts.append({"type": "image_url", "image_url": {"url": picture.data_url()}})
    return parts


def _image_part(source: Any) -> dict[str, Any]:
    if isinstance(source, str | Path):
        if not is_address(str(source)):
            read_picture(source)  # a file that is no image is refused here, by name
        url = _url_of(source, inside=True)
    else:
        url = Picture.of(read_picture(source), 0.0).data_url()
    return {"type": "image_url", "image_url": {"url": url}}


def _url_of(source: str | Path, *, inside: bool) -> str:
    """An address as it is; of a local file, one that holds it or names it."""
    if is_address(str(source)):
        return str(source)
    file = Path(source)
    if not inside:
        return file.resolve().as_uri()
    try:
        content = file.read_bytes()
    except OSError as error:
        raise VideoError(f"{file}: cannot be read ({error.strerror}); check the path") from error
    kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
