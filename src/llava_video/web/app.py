"""The app that the API, the page and the review of data share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response

from llava_video.errors import InputError
from llava_video.web.errors import HttpError
from llava_video.web.middleware import (
    LOOPBACK_NAMES,
    BodyLimits,
    Envelope,
    Log,
    SameSite,
    no_log,
)

_SAID = {
    404: "there is nothing here; the paths begin with /v1",
    405: "this path takes another method",
}


def make_app(
    *,
    max_body_bytes: int,
    max_body_seconds: float,
    larger_bodies: Mapping[str, int] | None = None,
    log: Log = no_log,
    host_names: frozenset[str] | None = LOOPBACK_NAMES,
    origins: Sequence[str] = (),
    inner: Sequence[Middleware] = (),
    lifespan: Any = None,
) -> FastAPI:
    """An app without routes: request ids, a log, OpenAI's errors, security headers, limits.

    Args:
        max_body_bytes: of a request.
        larger_bodies: paths that take more, and how many bytes.
        max_body_seconds: in which a body has to come.
        log: gets a record for each request.
        host_names: under which it may be asked for; None for any.
        origins: of other sites that may ask from a browser (CORS); none by default.
        inner: further middleware, within all of this.
        lifespan: of FastAPI.
    """
    middleware = [Middleware(Envelope, log=log)]  # the first is the outermost
    if origins:
        middleware.append(
            Middleware(
                CORSMiddleware,
                allow_origins=list(origins),
                allow_methods=["GET", "POST", "DELETE"],
                allow_headers=["authorization", "content-type"],
                expose_headers=["x-request-id", "retry-after"],
            )
        )
    middleware += [
        Middleware(
            BodyLimits,
            seconds=max_body_seconds,
            num_bytes=max_body_bytes,
            larger=larger_bodies or {},
        ),
        Middleware(SameSite, names=host_names, origins=origins),
        *inner,
    ]
    app = FastAPI(
        openapi_url=None,  # its pages load assets from elsewhere
        middleware=middleware,
        lifespan=lifespan,
        redirect_slashes=False,
    )

    @app.exception_handler(HttpError)
    async def refused(request: Request, error: HttpError) -> Response:
        return error.response()

    @app.exception_handler(InputError)
    async def not_usable(request: Request, error: InputError) -> Response:
        return HttpError(400, str(error)).response()

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> Response:
        said = _SAID.get(error.status_code, str(error.detail))
        return HttpError(error.status_code, said, headers=error.headers).response()

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        return invalid_fields(error.errors()).response()

    return app


def invalid_fields(errors: Sequence[Any]) -> HttpError:
    """The first thing that pydantic finds wrong, by field and without the value that was sent."""
    first = errors[0]
    place = [str(part) for part in first["loc"] if part != "body"]
    field = ".".join(place)
    said = "is not a field of this request; leave it out"
    if first["type"] != "extra_forbidden":
        said = str(first["msg"]).removeprefix("Value error, ")
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return HttpError(400, f"{field or 'the body'}: {said}{more}", param=field or None)
