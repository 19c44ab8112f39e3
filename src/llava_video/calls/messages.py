"""The messages that go to an annotator and come back: plain values, no network."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llava_video.pages.pictures import jpeg, jpeg_url


@dataclass(frozen=True, slots=True)
class Picture:
    """One frame as it will be sent.

    Attributes:
        jpeg: the file to send.
        width: columns.
        height: rows.
        seconds: when the frame is shown.
        digest: of the pixels; two frames with one digest are the same picture.
        detail: the ``detail`` field of an image part.
        jpeg_quality: 1 to 100.
    """

    jpeg: bytes = field(repr=False)
    width: int
    height: int
    seconds: float
    digest: str
    detail: str = "low"
    jpeg_quality: int = 85

    @classmethod
    def of(
        cls, pixels: NDArray[np.uint8], seconds: float, detail: str = "low", jpeg_quality: int = 85
    ) -> Picture:
        """Encode ``(H, W, 3)`` uint8 RGB pixels, already at the size to send.

        A picture is encoded once, when its frame is decoded: attempts then take no CPU time, and a
        waiting picture takes a thirtieth of its pixels' memory.
        """
        digest = hashlib.sha256(repr(pixels.shape).encode())
        digest.update(np.ascontiguousarray(pixels).tobytes())
        height, width = pixels.shape[:2]
        name = digest.hexdigest()[:32]
        content = jpeg(pixels, quality=jpeg_quality)
        return cls(content, width, height, seconds, name, detail, jpeg_quality)

    def data_url(self) -> str:
        """The picture in a ``data:`` URL."""
        return jpeg_url(self.jpeg)


@dataclass(frozen=True, slots=True)
class Video:
    """A clip that is sent as a video, for models that take one.

    Attributes:
        mp4: the file to send.
        frames: its frames, for counting tokens and for provenance.
        frames_per_second: of the file.
    """

    mp4: bytes = field(repr=False)
    frames: tuple[Picture, ...]
    frames_per_second: float

    def data_url(self) -> str:
        """The video in a ``data:`` URL."""
        return "data:video/mp4;base64," + base64.b64encode(self.mp4).decode()


Part = str | Picture | Video
"""What a user message is made of."""


@dataclass(frozen=True, slots=True)
class Schema:
    """The JSON that an answer has to be: a name (up to 64 of ``[A-Za-z0-9_-]``) and its schema."""

    name: str
    schema: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Subject:
    """What a request is about. Never sent; for the toy annotator.

    Attributes:
        video_path: the file that the question is about; empty where it is about none.
        start_seconds: start of the span in question.
        end_seconds: its end.
        types: the question types asked for.
        claims: the claims to check, or the choices of a blind question.
    """

    video_path: str = ""
    start_seconds: float = 0.0
    end_seconds: float = 0.0
    types: tuple[str, ...] = ()
    claims: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Request:
    """One chat completion.

    Attributes:
        stage: the step that asks.
        item_id: what the call is for, such as a video or a sample: the ledger sums by it.
        model: model name.
        prompt: prompt name and content hash.
        system: the system message, with no part of the video in it, so that servers can cache it.
        parts: the user message, texts, pictures and videos in order.
        params: sampling parameters and the recipe's ``extra_body``, as they are sent.
        max_output_tokens: upper limit of the answer. It is not part of the call's key: an answer
            that was not cut off holds under every limit.
        schema: the JSON the answer has to be, or None for plain text.
        structured: how the schema is sent: ``json_schema``, ``json_object`` (only that it is JSON)
            or ``none``.
        sample: 0, then 1, 2 … when an answer did not parse and another is asked for.
        subject: see `Subject`; only the toy annotator needs it.
        is_trial: whether its samples are asked for whatever the others bring, and none takes the
            place of another.
    """

    stage: str
    item_id: str
    model: str
    prompt: str
    system: str
    parts: tuple[Part, ...]
    params: tuple[tuple[str, Any], ...]
    max_output_tokens: int
    subject: Subject = Subject()
    schema: Schema | None = None
    structured: str = "json_schema"
    sample: int = 0
    is_trial: bool = False

    @property
    def pictures(self) -> tuple[Picture, ...]:
        """The pictures among the parts, frames of videos included."""
        return tuple(
            picture
            for part in self.parts
            if not isinstance(part, str)
            for picture in (part.frames if isinstance(part, Video) else (part,))
        )

    @property
    def texts(self) -> tuple[str, ...]:
        """All texts of the request, a schema that is sent included, for counting tokens."""
        is_sent = self.structured == "json_schema"
        schema = (json.dumps(self.schema.schema),) if self.schema and is_sent else ()
        return (self.system, *(part for part in self.parts if isinstance(part, str)), *schema)

    def key(self) -> str:
        """Hash of all that can change a whole answer: the name of this call in the ledger."""
        return self._hash({})

    def key_at(self, max_output_tokens: int) -> str:
        """The name of this call when it was made with this limit in particular.

        Ledgers before schema 3 have only such keys. Today a call has one when it is asked again
        because its answer was cut off at a lower limit.
        """
        return self._hash({"max_output_tokens": max_output_tokens})

    def _hash(self, more: dict[str, Any]) -> str:
        content = {
            "model": self.model,
            "system": self.system,
            "parts": [_name_of(part) for part in self.parts],
            "params": list(self.params),
            "schema": self.schema.schema if self.schema else None,
            "sample": self.sample,
            **more,
        }
        if self.schema is not None and self.structured != "json_schema":
            content["structured"] = self.structured
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:40]

    def body(self, limit_field: str = "max_completion_tokens") -> dict[str, Any]:
        """The request as the body of ``POST /v1/chat/completions``.

        Args:
            limit_field: the field that holds the limit of the answer; ``none`` sends no limit.
        """
        body: dict[str, Any] = {
            "model": self.model,
            "messages": [
                {"role": "system", "content": self.system},
                {"role": "user", "content": [_as_json(part) for part in self.parts]},
            ],
        }
        if limit_field != "none":
            body[limit_field] = self.max_output_tokens
        if self.schema is not None and self.structured == "json_object":
            body["response_format"] = {"type": "json_object"}
        elif self.schema is not None and self.structured == "json_schema":
            named = {"name": self.schema.name, "schema": self.schema.schema, "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": named}
        return body | dict(self.params)


def _name_of(part: Part) -> Any:
    """A part in a key: texts as they are, pictures by their pixels."""
    if isinstance(part, str):
        return part
    if isinstance(part, Video):
        return ["video", part.frames_per_second, *(frame.digest for frame in part.frames)]
    return [part.digest, part.detail, part.jpeg_quality]


def _as_json(part: Part) -> dict[str, Any]:
    """A part of the user message as it is sent."""
    if isinstance(part, str):
        return {"type": "text", "text": part}
    if isinstance(part, Video):
        return {"type": "video_url", "video_url": {"url": part.data_url()}}
    return {"type": "image_url", "image_url": {"url": part.data_url(), "detail": part.detail}}


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one answer as the server counted them; reasoning tokens are part of completion."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer.

    Attributes:
        text: without thoughts.
        usage: None where the server reported none.
        rate_limits: the ``x-ratelimit-*`` headers, lower case, without that prefix.
        thoughts: what a reasoning model wrote beside or before the answer.
        is_refusal: whether the server marks the text as a refusal.
        call_key: name of the call in the ledger; empty before it is committed.
        max_output_tokens: the limit that it was asked with; None where that is unknown.
    """

    text: str
    request_id: str
    finish_reason: str
    usage: Usage | None
    rate_limits: tuple[tuple[str, str], ...] = ()
    thoughts: str = ""
    is_refusal: bool = False
    call_key: str = field(default="", compare=False)
    max_output_tokens: int | None = field(default=None, compare=False)

    @property
    def is_cut_off(self) -> bool:
        """Whether the limit ended it."""
        return self.finish_reason.lower() in ("length", "max_tokens", "max_output_tokens")

    def holds_for(self, max_output_tokens: int) -> bool:
        """Whether asking again with this limit cannot bring more."""
        own = self.max_output_tokens
        return not self.is_cut_off or own is None or own >= max_output_tokens
