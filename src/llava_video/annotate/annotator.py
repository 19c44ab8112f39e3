"""What every annotator has in common: one attempt at an answer, or the reason why there is none."""

from __future__ import annotations

from typing import Any, Protocol

from llava_video.annotate.messages import Reply, Request, Usage
from llava_video.errors import LlavaVideoError


class Annotator(Protocol):
    """Whatever answers requests: an endpoint, the toy annotator, the writer of batch files."""

    async def complete(self, request: Request, key: str) -> Reply:
        """One attempt; raises `AttemptError` when there is no answer."""
        ...

    async def aclose(self) -> None:
        """Let connections go."""
        ...


class AttemptError(LlavaVideoError):
    """One attempt brought no answer.

    Attributes:
        outcome: HTTP status or a short name, for the ledger.
        is_transient: worth another attempt.
        may_be_billed: the server may have done the work before the connection broke.
        retry_after_seconds: the server's own wish, or None.
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


def read_completion(completion: Any, rate_limits: tuple[tuple[str, str], ...] = ()) -> Reply:
    """The answer in a completion; whatever is missing raises KeyError, IndexError or TypeError."""
    choice = completion["choices"][0]
    message = choice["message"]
    text = message.get("content") or message.get("refusal") or ""
    return Reply(
        text=str(text).encode(errors="replace").decode(),  # half a surrogate pair is no text
        request_id=str(completion.get("id") or ""),
        finish_reason=str(choice.get("finish_reason") or ""),
        usage=_usage(completion.get("usage")),
        rate_limits=rate_limits,
    )


def _usage(usage: Any) -> Usage | None:
    """Tokens from the ``usage`` of a completion; None where there is none."""
    if not usage:
        return None
    prompt = usage.get("prompt_tokens_details") or {}
    done = usage.get("completion_tokens_details") or {}
    return Usage(
        prompt_tokens=int(usage["prompt_tokens"]),
        completion_tokens=int(usage.get("completion_tokens") or 0),
        cached_tokens=int(prompt.get("cached_tokens") or 0),
        reasoning_tokens=int(done.get("reasoning_tokens") or 0),
    )
