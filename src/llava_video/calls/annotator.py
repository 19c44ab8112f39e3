"""The protocol of annotators: one attempt, which returns an answer or raises the reason."""

from __future__ import annotations

import re
from typing import Protocol

from llava_video.calls.messages import Reply, Request
from llava_video.errors import LlavaVideoError


class Annotator(Protocol):
    """Answers requests: an endpoint, or the toy annotator."""

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


_REMEDIES = (
    (r"max_(?:completion_)?tokens|context.?(?:length|window)|too (?:many tokens|large|long)",
     "lower endpoint.max_output_tokens, or set endpoint.limit_field to the field that it takes"),
    (r"temperature|top_p|\bseed\b|extra (?:inputs|fields)|unrecognized|unknown (?:field|param)",
     "unset endpoint.temperature, endpoint.seed or the field of endpoint.extra_body that it names"),
    (r"response_format|json_schema|json_object|structured|grammar|guided|strict",
     "set endpoint.structured=json_object, or none"),
    (r"video_url|video input", "set describe.send=frames"),
    (r"image|picture|multi.?modal|vision|content.{0,20}(?:type|string|array|list)",
     "take a model that reads as many pictures, or send fewer (describe.fps, "
     "describe.clip_seconds, describe.image_max_side)"),
)  # fmt: skip


def remedy_for(error: AttemptError, request: Request) -> str:
    """What to change when an endpoint refuses a kind of request, by the words of its refusal."""
    for pattern, remedy in _REMEDIES:
        if re.search(pattern, str(error), re.IGNORECASE):
            return remedy
    if request.schema is not None and request.structured != "none":
        return "set endpoint.structured=json_object, or none, if it knows no such answers"
    return "change what it names, and run again"
