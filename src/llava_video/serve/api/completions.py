"""`/v1/chat/completions`: from the body to the answer, whole or streamed."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Coroutine, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, Response
from fastapi.sse import KEEPALIVE_COMMENT, EventSourceResponse, format_sse_event
from openai import BaseModel
from starlette.types import Receive, Scope, Send

from llava_video.chat.protocol import Answered, Piece
from llava_video.errors import LlavaVideoError
from llava_video.serve.api.answers import Reply, ServedUsage, make_usage
from llava_video.serve.api.requests import ChatRequest, M, parse_body
from llava_video.serve.api.wanted import Wanted, read_wanted
from llava_video.serve.engine.queue import Begun, EventQueue, Place, Ticket
from llava_video.serve.media_reader import ReadMedia, references_of
from llava_video.serve.services import Services, owner_of, services_of
from llava_video.serve.settings import RequestLimits
from llava_video.web.errors import HttpError
from llava_video.web.middleware import log_of

PING_SECONDS = 15.0
"""After which a stream without a piece gets a comment, so that nothing between closes it."""

T = TypeVar("T")

router = APIRouter()


@router.post("/v1/chat/completions")
async def create(request: Request) -> Response:
    """Answer a conversation."""
    asked_at = time.monotonic()
    services = services_of(request)
    record = log_of(request.scope)
    asked = await read_body(request, ChatRequest)
    check_model(asked.model, services)
    owner = owner_of(request)
    wanted = await run_in_threadpool(
        read_wanted,
        asked,
        services.model,
        services.settings.requests,
        lambda file_id: services.files.get(file_id, owner),
    )
    record |= {"stream": bool(asked.stream), "choices": wanted.num_choices}
    place = services.engine.room.enter(wanted.num_choices)
    answering = Answering(services, wanted, place, asked_at, record)
    try:
        await unless_gone(request, answering.prepare())
        if asked.stream:
            include_usage = asked.stream_options is not None and asked.stream_options.include_usage
            return Events(answering, include_usage=include_usage)
        answers = await unless_gone(request, answering.whole())
    except BaseException:
        answering.close()
        raise
    answering.close()
    reply = Reply(services.model.name)
    whole = reply.whole(answers, answering.usage(answers))
    return JSONResponse(to_json(whole))


class Answering:
    """A request on its way: its media, its tickets, and what it took.

    Args:
        services: of the server.
        wanted: what is asked for.
        place: that it has taken.
        asked_at: when it came, on the monotonic clock.
        record: of the log.
    """

    def __init__(
        self,
        services: Services,
        wanted: Wanted,
        place: Place,
        asked_at: float,
        record: dict[str, Any],
    ) -> None:
        self.services = services
        self.wanted = wanted
        self.num_frames_decoded = 0
        self._place = place
        self._asked_at = asked_at
        self._record = record
        self._warnings = list(wanted.videos.warnings)
        self._seconds: dict[str, float] = {}
        self._events: EventQueue = asyncio.Queue()

    async def prepare(self) -> None:
        """Read the media, count the tokens, and let the tickets wait.

        Raises:
            HttpError: it is too much, or something cannot be read.
        """
        wanted, model = self.wanted, self.services.model
        room, limits = self.services.engine.room, self.services.settings.engine
        try:
            predicted = await run_in_threadpool(
                model.predict_tokens,
                wanted.conversation,
                wanted.videos.representation,
                wanted.videos.num_frames,
            )
        except LlavaVideoError as error:
            raise HttpError(400, str(error), code="context_length_exceeded") from error
        references = references_of(wanted.conversation)
        num_frames = wanted.videos.num_frames * sum(one.kind == "video" for one in references)
        num_bytes = num_frames * 3 * model.frame_side**2
        check_media_bytes(num_bytes, self.services.settings.requests)
        tokens = self._tokens(min(predicted, model.num_positions))
        room.expect(self._place, tokens, num_bytes)
        read = await self.services.media.read(
            wanted.conversation,
            wanted.videos.sampling,
            wanted.videos.representation.max_frames,
            seconds=limits.media_seconds,
        )
        check_media_bytes(read.num_bytes, self.services.settings.requests)
        self.num_frames_decoded = read.num_frames_decoded
        self._seconds["media"] = round(read.seconds, 4)
        await self._submit(read)

    def _tokens(self, num_prompt_tokens: int) -> int:
        longest = num_prompt_tokens + self.wanted.options.max_new_tokens
        return self.wanted.num_choices * min(longest, self.services.model.num_positions)

    async def _submit(self, read: ReadMedia) -> None:
        model, room = self.services.model, self.services.engine.room
        try:
            num_tokens = await run_in_threadpool(
                model.count_tokens, read.conversation, self.wanted.options
            )
        except HttpError:
            raise
        except LlavaVideoError as error:
            raise HttpError(400, str(error), code="context_length_exceeded") from error
        num_left = model.num_positions - num_tokens
        if num_left < 1:
            raise HttpError(
                400,
                f"the prompt is {num_tokens:,} tokens, the model takes {model.num_positions:,} "
                "with the answer; show fewer frames, or say less",
                param="messages",
                code="context_length_exceeded",
            )
        if self.wanted.options.max_new_tokens > num_left:
            options = replace(self.wanted.options, max_new_tokens=num_left)
            self.wanted = replace(self.wanted, options=options)
            self._warnings.append(
                f"the prompt leaves room for {num_left} tokens of an answer, which is the most"
            )
        room.expect(self._place, self._tokens(num_tokens), read.num_bytes)
        for choice in range(self.wanted.num_choices):
            options = self.wanted.options_of(choice)
            longest = num_tokens + options.max_new_tokens
            room.submit(
                self._place, Ticket(read.conversation, options, longest, choice, self._events)
            )

    async def whole(self) -> list[Answered]:
        """All answers, in order."""
        answers: dict[int, Answered] = {}
        async for choice, event in self.events():
            if isinstance(event, Answered):
                answers[choice] = event
        return [answers[choice] for choice in sorted(answers)]

    async def events(
        self, ping_seconds: float = float("inf")
    ) -> AsyncIterator[tuple[int, Piece | Answered | None]]:
        """What is answered, with the number of the choice, as it comes.

        Args:
            ping_seconds: after which None stands for nothing that came.

        Raises:
            HttpError: the answer cannot be given, or not in time.
        """
        loop, limits = asyncio.get_running_loop(), self.services.settings.engine
        num_open = self.wanted.num_choices
        waiting_since = time.monotonic()
        deadline = loop.time() + limits.wait_seconds
        is_first = True
        while num_open:
            try:
                async with asyncio.timeout_at(min(deadline, loop.time() + ping_seconds)):
                    choice, event = await self._events.get()
            except TimeoutError as error:
                if loop.time() < deadline:
                    yield 0, None
                    continue
                raise HttpError(504, "the answer did not come in time; ask later") from error
            if isinstance(event, HttpError):
                raise event
            if isinstance(event, Begun):
                deadline = loop.time() + limits.answer_seconds
                queued = time.monotonic() - waiting_since
                self._seconds.setdefault("queue", round(queued, 4))
                self.services.metrics.queue_time.observe(queued)
                continue
            if is_first:
                is_first = False
                self.services.metrics.first_token.observe(time.monotonic() - self._asked_at)
            num_open -= isinstance(event, Answered)
            yield choice, event

    def usage(self, answers: Sequence[Answered]) -> ServedUsage:
        """What it took; counts it, too."""
        for number, answered in enumerate(answers):
            decoded = 0 if number else self.num_frames_decoded
            self.services.metrics.count(answered, decoded)
        usage = make_usage(
            answers,
            num_frames_decoded=self.num_frames_decoded,
            seconds=self._seconds,
            warnings=self._warnings,
        )
        self.services.metrics.latency.observe(time.monotonic() - self._asked_at)
        self._record |= {
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "frames_decoded": self.num_frames_decoded,
            "frames_encoded": usage.llava_video["frames_encoded"],
        }
        if answers[0].warnings:
            self._record["warnings"] = list(answers[0].warnings)
        return usage

    def close(self) -> None:
        """Give the place up."""
        self.services.engine.room.leave(self._place)


class Events(EventSourceResponse):
    """An answer as server-sent events; whatever ends it gives the place up.

    Args:
        answering: whose tickets wait.
        include_usage: whether the last chunk says what it took.
    """

    def __init__(self, answering: Answering, *, include_usage: bool) -> None:
        self._answering = answering
        self._include_usage = include_usage
        headers = {"x-accel-buffering": "no"}  # proxies are to pass pieces on at once
        super().__init__(self._stream(), headers=headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._answering.close()  # also where the stream has never begun

    async def _stream(self) -> AsyncIterator[bytes]:
        name = self._answering.services.model.name
        reply = Reply(name, with_usage=self._include_usage)
        try:
            async for chunk in self._chunks(reply):
                yield KEEPALIVE_COMMENT if chunk is None else _event(to_json(chunk))
        except HttpError as error:
            yield _event(error.to_dict())
        yield format_sse_event(data_str="[DONE]")

    async def _chunks(self, reply: Reply) -> AsyncIterator[BaseModel | None]:
        num_choices = self._answering.wanted.num_choices
        for chunk in reply.opening(num_choices):
            yield chunk
        answers: dict[int, Answered] = {}
        async for choice, event in self._answering.events(PING_SECONDS):
            if event is None:
                yield None
            elif isinstance(event, Answered):
                answers[choice] = event
                yield reply.end(choice, event)
            else:
                yield reply.piece(choice, event.text)
        usage = self._answering.usage([answers[choice] for choice in sorted(answers)])
        if self._include_usage:
            yield reply.usage(usage)


def check_media_bytes(num_bytes: int, limits: RequestLimits) -> None:
    """Refuse a request whose frames and pictures take too much memory.

    Raises:
        HttpError: 400.
    """
    if num_bytes > limits.media_bytes:
        raise HttpError(
            400,
            f"the frames and images are {num_bytes:,} bytes of pixels, the server takes "
            f"{limits.media_bytes:,}; show fewer of them",
            param="messages",
        )


def check_model(name: str, services: Services) -> None:
    """Refuse a request for another model.

    Raises:
        HttpError: 404.
    """
    if name != services.model.name:
        raise HttpError(
            404,
            f"this server has no model {name[:80]!r}, but {services.model.name!r}",
            param="model",
            code="model_not_found",
        )


async def read_body(request: Request, model: type[M]) -> M:
    """The body of a request that has to be JSON.

    Raises:
        HttpError: 415, it says that it is something else, as forms of other sites do; 400, see
            `parse_body`.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise HttpError(415, "send JSON, with 'Content-Type: application/json'")
    return await run_in_threadpool(parse_body, model, await request.body())


async def unless_gone(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of some work, which is cancelled when the client closes the connection.

    Raises:
        HttpError: 499, it did.
    """
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_until_gone(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise HttpError(499, "the client has left")
        return task.result()
    finally:
        gone.cancel()
        task.cancel()


async def _until_gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def to_json(value: BaseModel) -> dict[str, Any]:
    """A value of OpenAI's types as JSON; fields that were not given are left out."""
    found: dict[str, Any] = value.model_dump(mode="json", exclude_unset=True, serialize_as_any=True)
    return found


def _event(value: dict[str, Any]) -> bytes:
    return format_sse_event(data_str=json.dumps(value, ensure_ascii=False, separators=(",", ":")))
