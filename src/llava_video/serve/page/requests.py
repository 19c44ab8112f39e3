"""What the page's routes take; as strict as those of the API."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from llava_video.serve.api.requests import Message, Model, VideoFields

MOST_TURNS = 200
MOST_CHARACTERS = 200_000

Text = Annotated[str, Field(max_length=MOST_CHARACTERS)]
Count = Annotated[int, Field(ge=0, le=10**9)]
Seconds = Annotated[float, Field(ge=0, le=10**7, allow_inf_nan=False)]


class PreviewRequest(VideoFields):
    """The body of `/v1/videos/preview`: an uploaded file or an address, and how it is shown."""

    file_id: str | None = None
    url: str | None = None
    thumbnail_height: Annotated[int, Field(ge=16, le=360)] = 180


class InfluenceRequest(VideoFields):
    """The body of `/v1/influence`: a conversation up to a question, and the answer to it."""

    messages: list[Message]
    answer: Annotated[str, Field(min_length=1, max_length=20_000)]
    span_frames: Annotated[int, Field(ge=1, le=4096)] | None = None


class SeenFields(Model):
    """A video as an answer's usage says that the model saw it."""

    duration_seconds: Seconds
    timestamps_seconds: Annotated[list[Seconds], Field(min_length=1, max_length=4096)]
    num_tokens: Count
    representation: Annotated[str, Field(max_length=200)]


class UsageFields(Model):
    """What an answer took."""

    prompt_tokens: Count
    completion_tokens: Count
    frames_decoded: Count
    frames_encoded: Count
    tokens_prefilled: Count
    warnings: Annotated[list[Text], Field(max_length=100)] = Field(default_factory=list)
    video: SeenFields | None = None


class TurnFields(VideoFields):
    """A question, its answer, and how the video was shown."""

    question: Text
    answer: Text
    finish_reason: Literal["stop", "length", "cancelled"] = "stop"
    usage: UsageFields | None = None


class ConversationRequest(Model):
    """The body of `/v1/conversation/page`: a conversation about an uploaded video."""

    file_id: str
    turns: Annotated[list[TurnFields], Field(min_length=1, max_length=MOST_TURNS)]
