"""`/v1/models`, `/health`, `/ready` and `/metrics`."""

from __future__ import annotations

import time
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from fastapi.responses import PlainTextResponse, Response
from openai.types import Model

from llava_video.serve.services import Services, services_of
from llava_video.web.errors import HttpError

Shared = Annotated[Services, Depends(services_of)]

router = APIRouter()
_STARTED = int(time.time())


@router.get("/v1/models")
async def models(services: Shared) -> dict[str, Any]:
    """The one model that there is."""
    return {"object": "list", "data": [_describe(services)]}


@router.get("/v1/models/{name:path}")
async def model(name: str, services: Shared) -> dict[str, Any]:
    """What can be said of it."""
    if name != services.model.name:
        raise HttpError(404, "this server has no such model", code="model_not_found")
    return _describe(services)


@router.get("/health")
async def health(services: Shared) -> Response:
    """Whether the engine lives."""
    if not services.engine.is_alive:
        raise HttpError(503, "the engine has ended")
    return PlainTextResponse("ok")


@router.get("/ready")
async def ready(services: Shared) -> Response:
    """Whether the model is loaded, and requests are taken."""
    if not services.engine.is_ready:
        raise HttpError(503, "not now: the model is being loaded, or the server is about to end")
    return PlainTextResponse("ready")


@router.get("/metrics")
async def metrics(services: Shared) -> Response:
    """What is counted, for Prometheus."""
    return Response(services.metrics.text(), media_type="text/plain; version=1.0.0; charset=utf-8")


def _describe(services: Services) -> dict[str, Any]:
    known = Model(
        id=services.model.name, created=_STARTED, object="model", owned_by="llava-video"
    ).model_dump()
    return known | {
        "max_model_len": services.model.num_positions,
        "llava_video": {
            "representation": str(services.model.representation),
            "max_frames": services.model.representation.max_frames,
        },
    }
