"""Requests of `/v1/chat/completions`: OpenAI's fields, vLLM's for media, and our own.

Every field is named here. One that is not is refused, so that a misspelt option is not taken for
obeyed. What OpenAI defines and this server does not do is taken only where it changes nothing.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    TypeAdapter,
    ValidationError,
    field_validator,
)

from llava_video.web.app import invalid_fields
from llava_video.web.errors import HttpError

M = TypeVar("M", bound=BaseModel)

MOST_COMMAS = 200_000
"""In a body, so that what it is parsed into is bounded by more than its bytes."""

MOST_ERRORS = 100
"""That are described: each takes far more memory than the value that it is about."""

NEUTRAL: dict[str, tuple[Any, ...]] = {
    "audio": (),
    "frequency_penalty": (0,),
    "function_call": ("none",),
    "functions": ([],),
    "logit_bias": ({},),
    "logprobs": (False,),
    "modalities": (["text"],),
    "moderation": (),
    "parallel_tool_calls": (True, False),
    "prediction": (),
    "presence_penalty": (0,),
    "reasoning_effort": ("none",),
    "response_format": ({"type": "text"},),
    "service_tier": ("auto", "default"),
    "store": (False,),
    "tool_choice": ("none", "auto"),
    "tools": ([],),
    "top_logprobs": (0,),
    "verbosity": ("medium",),
    "web_search_options": (),
}
"""Fields of OpenAI that this server does not do, and the values beside null that ask nothing."""


class Model(BaseModel):
    """A part of a request: nothing is converted, nothing is unknown."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


class Url(Model):
    """Where a video or an image is."""

    url: str


class ImageUrl(Url):
    """Where an image is. It is shown in full where it is the only one, whatever ``detail`` says."""

    detail: Literal["auto", "low", "high"] | None = None


class InputVideo(Model):
    """A video: base64 with its format, an address, or an uploaded file."""

    data: str | None = None
    format: Annotated[str, Field(pattern=r"^[A-Za-z0-9.+-]{1,32}$")] | None = None
    url: str | None = None
    file_id: str | None = None


class FileReference(Model):
    """A file: an uploaded one, or what it holds as a ``data:`` address."""

    file_id: str | None = None
    file_data: str | None = None
    filename: str | None = None


class TextPart(Model):
    """Text."""

    type: Literal["text"]
    text: str


class VideoUrlPart(Model):
    """A video by address."""

    type: Literal["video_url"]
    video_url: Url


class ImageUrlPart(Model):
    """An image by address."""

    type: Literal["image_url"]
    image_url: ImageUrl


class InputVideoPart(Model):
    """A video."""

    type: Literal["input_video"]
    input_video: InputVideo


class FilePart(Model):
    """A file, which is a video or an image."""

    type: Literal["file"]
    file: FileReference


MediaPart = VideoUrlPart | ImageUrlPart | InputVideoPart | FilePart
Part = Annotated[TextPart | MediaPart, Field(discriminator="type")]


def _kind_of_content(content: Any) -> str:
    return "(parts)" if isinstance(content, list) else "(text)"


Content = Annotated[
    Annotated[str, Tag("(text)")] | Annotated[list[Part], Field(fail_fast=True), Tag("(parts)")],
    Discriminator(_kind_of_content),
]
"""Text, or parts; errors are those of what it looks like."""


class Message(Model):
    """One turn. Fields that clients send back from answers may be there, empty."""

    role: Literal["system", "developer", "user", "assistant"]
    content: Content
    name: None = None
    refusal: None = None
    audio: None = None
    function_call: None = None
    tool_calls: Annotated[list[Any], Field(max_length=0)] | None = None
    annotations: Annotated[list[Any], Field(max_length=0)] | None = None

    @property
    def parts(self) -> list[Part]:
        """The content as parts."""
        if isinstance(self.content, str):
            return [TextPart(type="text", text=self.content)]
        return self.content


class StreamOptions(Model):
    """How an answer is streamed."""

    include_usage: bool = False
    include_obfuscation: Literal[False] | None = None
    continuous_usage_stats: Literal[False] | None = None


class SamplingFields(Model):
    """Which frames of each video."""

    num_frames: int | None = None
    fps: float | None = None
    start: float | None = None
    end: float | None = None


class VideoKwargs(Model):
    """vLLM's way to say which frames; -1 frames are as many as the representation has."""

    num_frames: int | None = None
    fps: float | None = None


class MediaIoKwargs(Model):
    """vLLM's options of reading media, by kind."""

    video: VideoKwargs | None = None
    image: Annotated[dict[str, Any], Field(max_length=0)] | None = None


class VideoFields(Model):
    """How videos are shown: the fields that several routes have in common."""

    representation: str | None = None
    max_video_tokens: int | None = None
    sampling: SamplingFields | None = None
    media_io_kwargs: MediaIoKwargs | None = None
    mm_processor_kwargs: VideoKwargs | None = None


class ChatRequest(VideoFields):
    """The body of `/v1/chat/completions`."""

    model: str
    messages: Annotated[list[Message], Field(fail_fast=True)]
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    repetition_penalty: float | None = None
    seed: int | None = None
    n: int | None = None
    stop: str | list[str] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    user: str | None = None
    metadata: dict[str, str] | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    audio: Any = None
    frequency_penalty: Any = None
    function_call: Any = None
    functions: Any = None
    logit_bias: Any = None
    logprobs: Any = None
    modalities: Any = None
    moderation: Any = None
    parallel_tool_calls: Any = None
    prediction: Any = None
    presence_penalty: Any = None
    reasoning_effort: Any = None
    response_format: Any = None
    service_tier: Any = None
    store: Any = None
    tool_choice: Any = None
    tools: Any = None
    top_logprobs: Any = None
    verbosity: Any = None
    web_search_options: Any = None

    @field_validator(*NEUTRAL)
    @classmethod
    def _asks_nothing(cls, value: Any, info: Any) -> Any:
        if value is None or value in NEUTRAL[info.field_name]:
            return value
        raise ValueError("this server does not do this; leave it out")


def parse_body(model: type[M], body: bytes) -> M:
    """The body of a request as a model.

    Raises:
        HttpError: 400, which names the field that is wrong.
    """
    if body.count(b",") > MOST_COMMAS:
        raise HttpError(400, f"the body has more than {MOST_COMMAS:,} values; send fewer")
    try:
        return TypeAdapter(model).validate_json(body)
    except ValidationError as error:
        if error.error_count() > MOST_ERRORS:
            raise HttpError(
                400, f"the body is wrong in {error.error_count():,} places; see docs/serve.md"
            ) from None
        found = error.errors(include_input=False, include_url=False)
        raise invalid_fields([{**one, "loc": _place(one["loc"])} for one in found]) from error


def _place(location: tuple[int | str, ...]) -> list[int | str]:
    """Where a client finds it: without the alternatives of a type that pydantic tried."""
    place: list[int | str] = []
    for index, step in enumerate(location):
        is_tag = index > 1 and location[index - 2] == "(parts)"  # the type of a part
        if not is_tag and not str(step).startswith(("(", "list[")) and step != "str":
            place.append(step)
    return place
