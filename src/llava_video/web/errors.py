"""Errors of HTTP, in OpenAI's shape, and the exception that becomes one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import JSONResponse

from llava_video.errors import LlavaVideoError

_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}


class HttpError(LlavaVideoError):
    """A request that is refused, or that could not be served.

    Args:
        status: of HTTP, 4xx or 5xx.
        message: one line for the client; it holds nothing about the server.
        param: the field of the request that is wrong.
        code: a word for programs.
        headers: of the response.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.param = param
        self.code = code
        self.headers = dict(headers or {})

    def to_dict(self) -> dict[str, Any]:
        """The body of the response, as OpenAI's API has it."""
        kind = _TYPES.get(
            self.status, "server_error" if self.status >= 500 else "invalid_request_error"
        )
        error = {
            "message": self.message, "type": kind, "param": self.param, "code": self.code,
        }  # fmt: skip
        return {"error": error}

    def response(self) -> JSONResponse:
        """The response that says so."""
        return JSONResponse(self.to_dict(), self.status, self.headers)
