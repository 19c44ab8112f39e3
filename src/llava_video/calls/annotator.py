"""The protocol of annotators: one attempt, which returns an answer or raises the reason."""

from __future__ import annotations

from typing import Annotated, Any, Protocol

from pydantic import BaseModel, BeforeValidator, Field, ValidationError

from llava_video.calls.messages import Reply, Request, Usage
from llava_video.errors import LlavaVideoError


class Annotator(Protocol):
    """Answers requests: an endpoint, the toy annotator, the writer of batch files."""

    async def complete(self, request: Request, key: str) -> Reply:
        """One attempt; raises `AttemptError` when there is no answer."""
        ...

    async def aclose(self) -> None:
        """Close connections."""
        ...


class AttemptError(LlavaVideoError):
    """One attempt brought no answer.

    Attributes:
        outcome: HTTP status or a short name, for the ledger.
        is_transient: worth another attempt.
        may_be_billed: the server may have done the work before the connection broke.
        retry_after_seconds: as the server asks, or None.
        is_throttling: a rate limit, which says nothing about the server's health.
        rate_limits: the ``x-ratelimit-*`` headers of the refusal.
    """

    def __init__(
        self,
        message: str,
        outcome: str,
        *,
        is_transient: bool,
        may_be_billed: bool = False,
        retry_after_seconds: float | None = None,
        rate_limits: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(message)
        self.outcome = outcome
        self.is_transient = is_transient
        self.may_be_billed = may_be_billed
        self.retry_after_seconds = retry_after_seconds
        self.is_throttling = outcome == "429"
        self.rate_limits = rate_limits


def _whole_characters(value: Any) -> Any:
    """Lone surrogates cannot be encoded as UTF-8, so they are replaced."""
    return value.encode(errors="replace").decode() if isinstance(value, str) else value


_Text = Annotated[str, BeforeValidator(_whole_characters)]
_Count = Annotated[int, Field(ge=0, le=10**12)]


class _Message(BaseModel):
    content: _Text | None = None
    refusal: _Text | None = None


class _Choice(BaseModel):
    message: _Message
    finish_reason: _Text | None = None


class _PromptDetails(BaseModel):
    cached_tokens: _Count | None = None


class _CompletionDetails(BaseModel):
    reasoning_tokens: _Count | None = None


class _Usage(BaseModel):
    prompt_tokens: _Count
    completion_tokens: _Count | None = None
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _CompletionDetails | None = None


class _Completion(BaseModel):
    id: _Text | None = None
    choices: list[_Choice] = Field(min_length=1)
    usage: Any = None


def read_completion(value: Any, rate_limits: tuple[tuple[str, str], ...] = ()) -> Reply:
    """The answer in a chat completion.

    Raises:
        ValueError: it is not one.
    """
    completion = _Completion.model_validate(value)
    [choice, *_] = completion.choices
    return Reply(
        text=choice.message.content or choice.message.refusal or "",
        request_id=completion.id or "",
        finish_reason=choice.finish_reason or "",
        usage=_read_usage(completion.usage),
        rate_limits=rate_limits,
    )


def _read_usage(value: Any) -> Usage | None:
    """Tokens from the ``usage`` of a completion; None where it is missing or invalid."""
    try:
        usage = _Usage.model_validate(value)
    except ValidationError:  # the answer is good all the same
        return None
    prompt, done = usage.prompt_tokens_details, usage.completion_tokens_details
    return Usage(
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens or 0,
        cached_tokens=min(usage.prompt_tokens, (prompt and prompt.cached_tokens) or 0),
        reasoning_tokens=(done and done.reasoning_tokens) or 0,
    )
