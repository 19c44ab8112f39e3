"""A conversation that the page had, as one HTML file that needs no server."""

from __future__ import annotations

import time

from llava_video.chat.protocol import (
    Answered,
    AnswerOptions,
    Sampling,
    ShownVideo,
    Usage,
)
from llava_video.chat.session_page import THUMBNAIL_HEIGHT, check_seen, make_page
from llava_video.chat.transcript import ShownFile, Transcript, Turn
from llava_video.errors import LlavaVideoError, MediaRefused
from llava_video.pages.html import to_html
from llava_video.representation import VideoRepresentation
from llava_video.serve.api.wanted import read_videos
from llava_video.serve.files import UploadedFile
from llava_video.serve.media_reader import MediumReference
from llava_video.serve.page.requests import ConversationRequest, TurnFields
from llava_video.serve.services import Services
from llava_video.types import Frames
from llava_video.web.errors import HttpError

MOST_VIEWS = 8
"""Of a video, by representation and part; each is read again."""

MOST_WIDTH = 8 * THUMBNAIL_HEIGHT


def make_conversation_page(
    asked: ConversationRequest, file: UploadedFile, services: Services
) -> str:
    """The page; frames are read again by the guard, and shown where they are those of the answer.

    Raises:
        HttpError: a turn contradicts itself or the video, there are too many views of it, or it
            cannot be read in time.
        MediaRefused: the video cannot be read.
    """
    turns = tuple(_turn(turn, file, services) for turn in asked.turns)
    views = {video for turn in turns for video in turn.answer.videos}
    if len(views) > MOST_VIEWS:
        raise HttpError(
            400, f"the video was seen in {len(views)} ways, more than {MOST_VIEWS}", param="turns"
        )
    first, *others = turns
    shown = ShownFile(file.name, "video")
    turns = (Turn(first.question, (shown,), first.answer, first.options), *others)
    transcript = Transcript(services.model.name, None, first.options, turns)
    deadline = time.monotonic() + services.settings.engine.media_seconds
    guard, stored = services.guard, services.media.stored(MediumReference("video", file=file))

    def read(video: ShownVideo, sampling: Sampling) -> Frames:
        if time.monotonic() > deadline:
            raise HttpError(408, "the frames were not read in time; save fewer answers")
        facts = guard.probe(stored)
        width = round(facts.width * THUMBNAIL_HEIGHT / facts.height)
        frames = guard.read_video(
            stored,
            sampling,
            max_frames=len(video.timestamps_seconds),
            size=(THUMBNAIL_HEIGHT, max(1, min(width, MOST_WIDTH))),
        )
        check_seen(video, frames)
        return frames

    try:
        return to_html(make_page(transcript, read))
    except (HttpError, MediaRefused):
        raise
    except LlavaVideoError as error:
        raise HttpError(400, str(error)) from error


def _turn(fields: TurnFields, file: UploadedFile, services: Services) -> Turn:
    wanted = read_videos(fields, services.model, services.settings.requests, 1)
    options = AnswerOptions(sampling=wanted.sampling, representation=wanted.representation)
    usage = fields.usage
    if usage is None:
        answer = Answered(0, fields.answer, fields.finish_reason)
        return Turn(fields.question, (), answer, options)
    answer = Answered(
        0,
        fields.answer,
        fields.finish_reason,
        Usage(
            usage.prompt_tokens,
            usage.completion_tokens,
            usage.frames_decoded,
            usage.frames_encoded,
            usage.tokens_prefilled,
        ),
        videos=() if usage.video is None else (_seen(fields, file, services),),
        warnings=tuple(usage.warnings),
    )
    return Turn(fields.question, (), answer, options)


def _seen(fields: TurnFields, file: UploadedFile, services: Services) -> ShownVideo:
    assert fields.usage is not None
    assert fields.usage.video is not None
    video = fields.usage.video
    try:
        representation = VideoRepresentation.from_text(video.representation)
    except LlavaVideoError as error:
        raise HttpError(400, str(error), param="representation") from error
    num_frames = len(video.timestamps_seconds)
    most = min(representation.max_frames, services.settings.requests.num_frames)
    if num_frames > most:
        raise HttpError(
            400, f"{num_frames} frames are more than {most}", param="timestamps_seconds"
        )
    return ShownVideo(
        file.name,
        video.duration_seconds,
        tuple(video.timestamps_seconds),
        video.num_tokens,
        video.representation,
    )
