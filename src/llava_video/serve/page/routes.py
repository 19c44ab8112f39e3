"""The page at `/`, its files, and the routes that only it needs."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse, HTMLResponse, Response

from llava_video.chat.protocol import AnswerOptions
from llava_video.serve.api.completions import check_media_bytes, read_body, unless_gone
from llava_video.serve.api.wanted import read_conversation, read_videos
from llava_video.serve.engine.queue import Place
from llava_video.serve.media_reader import references_of
from llava_video.serve.page.about import SAMPLES, describe_server
from llava_video.serve.page.conversation import make_conversation_page
from llava_video.serve.page.preview import make_preview
from llava_video.serve.page.requests import ConversationRequest, InfluenceRequest, PreviewRequest
from llava_video.serve.services import Services, owner_of, services_of
from llava_video.web.errors import HttpError
from llava_video.web.static import StaticFiles

FOLDER = Path(__file__).parent / "static"
MOST_SPANS = 32
"""Times that an answer is scored for its influence; with more frames a span has several."""

Owner = Annotated[str, Depends(owner_of)]
Shared = Annotated[Services, Depends(services_of)]

router = APIRouter()
_files = StaticFiles(FOLDER)


@router.get("/")
async def page(request: Request) -> Response:
    """The page; it holds no data, and asks for a key where the server wants one."""
    return _files.response(request, "index.html")


@router.get("/static/{name}")
async def static(request: Request, name: str) -> Response:
    """A file of the page."""
    return _files.response(request, name)


@router.get("/static/samples/{name}")
async def sample(name: str) -> Response:
    """A video to try."""
    known = {path.name: path for path in SAMPLES.glob("*.mp4")}
    if name not in known:
        raise HttpError(404, "there is no such sample")
    return FileResponse(known[name], media_type="video/mp4")


@router.get("/v1/page")
async def about(services: Shared) -> Mapping[str, Any]:
    """What the page shows of the server."""
    limits = services.settings.requests
    return await run_in_threadpool(describe_server, services.model, limits)


@router.post("/v1/videos/preview")
async def preview(request: Request, owner: Owner, services: Shared) -> Mapping[str, Any]:
    """What the model will see of a video, and what that costs."""
    asked = await read_body(request, PreviewRequest)
    place = services.engine.room.enter(1)
    try:
        return await unless_gone(request, make_preview(asked, services, owner))
    finally:
        services.engine.room.leave(place)


@router.post("/v1/influence")
async def influence(request: Request, owner: Owner, services: Shared) -> Mapping[str, Any]:
    """How much each span of frames mattered for an answer; see `Influence.to_dict`."""
    asked = await read_body(request, InfluenceRequest)
    place = services.engine.room.enter(1)
    try:
        return await unless_gone(request, _measure(asked, place, services, owner))
    finally:
        services.engine.room.leave(place)


@router.post("/v1/conversation/page")
async def conversation_page(request: Request, owner: Owner, services: Shared) -> Response:
    """A conversation as one HTML file that needs no server."""
    asked = await read_body(request, ConversationRequest)
    file = services.files.get(asked.file_id, owner)
    place = services.engine.room.enter(1)
    try:
        made = services.media.call(
            lambda: make_conversation_page(asked, file, services),
            seconds=services.settings.engine.media_seconds,
        )
        return HTMLResponse(await unless_gone(request, made))
    finally:
        services.engine.room.leave(place)


async def _measure(
    asked: InfluenceRequest, place: Place, services: Services, owner: str
) -> Mapping[str, Any]:
    model, settings = services.model, services.settings
    if not model.can_measure_influence:
        raise HttpError(400, "this server cannot measure which frames an answer is based on")
    conversation = await run_in_threadpool(
        read_conversation,
        asked.messages,
        model,
        settings.requests,
        lambda file_id: services.files.get(file_id, owner),
    )
    num_videos = sum(reference.kind == "video" for reference in references_of(conversation))
    if not num_videos:
        raise HttpError(400, "the conversation shows no video, so no frame can have mattered")
    wanted = await run_in_threadpool(read_videos, asked, model, settings.requests, num_videos)
    num_frames = num_videos * wanted.num_frames
    span_frames = asked.span_frames or math.ceil(num_frames / MOST_SPANS)
    if num_frames > span_frames * settings.requests.num_frames:
        raise HttpError(400, "these are too many spans; give a larger one", param="span_frames")
    num_bytes = num_frames * 3 * model.frame_side**2
    check_media_bytes(num_bytes, settings.requests)
    predicted = await run_in_threadpool(
        model.predict_tokens, conversation, wanted.representation, wanted.num_frames
    )
    services.engine.room.expect(place, min(predicted, model.num_positions), num_bytes)
    read = await services.media.read(
        conversation,
        wanted.sampling,
        wanted.representation.max_frames,
        seconds=settings.engine.media_seconds,
    )
    options = AnswerOptions(representation=wanted.representation)
    job = services.engine.run(
        place,
        lambda: model.influence(
            read.conversation, asked.answer, options, span_frames=span_frames
        ).to_dict(),
    )
    try:
        async with asyncio.timeout(settings.engine.wait_seconds):
            found: Mapping[str, Any] = await asyncio.wrap_future(job)
    except TimeoutError as error:
        raise HttpError(504, "the influence was not measured in time; ask later") from error
    return found
