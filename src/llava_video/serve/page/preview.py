"""What the model will see of a video, and what that costs, before anything is asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi.concurrency import run_in_threadpool

from llava_video.chat.protocol import Conversation
from llava_video.pages.pictures import jpeg_url
from llava_video.representation import VideoRepresentation, make_layout
from llava_video.serve.api.answers import describe_layout
from llava_video.serve.api.wanted import WantedVideos, read_videos
from llava_video.serve.media_reader import MediumReference
from llava_video.serve.page.requests import PreviewRequest
from llava_video.serve.services import Services
from llava_video.types import Frames
from llava_video.web.errors import HttpError


async def make_preview(asked: PreviewRequest, services: Services, owner: str) -> Mapping[str, Any]:
    """Read the frames as a question would, which the question then finds read.

    Raises:
        HttpError: the request asks for too much, or the file cannot be read.
    """
    if (asked.file_id is None) == (asked.url is None):
        raise HttpError(400, "give file_id or url", param="file_id")
    file = None if asked.file_id is None else services.files.get(asked.file_id, owner)
    reference = MediumReference("video", asked.url, file)
    limits = services.settings
    wanted = await run_in_threadpool(read_videos, asked, services.model, limits.requests, 1)
    frames = await _read_frames(reference, wanted, services)
    seconds = frames.timestamps_seconds.tolist()
    pictures = await services.media.call(
        lambda: services.guard.thumbnails(
            services.media.stored(reference), seconds, asked.thumbnail_height
        ),
        seconds=services.settings.engine.media_seconds,
    )
    layout = make_layout(wanted.representation, len(frames))
    return {
        "duration_seconds": frames.duration_seconds,
        "timestamps_seconds": [round(float(t), 4) for t in frames.timestamps_seconds],
        "representation": str(wanted.representation),
        "num_video_tokens": layout.num_tokens,
        **describe_layout(wanted.representation, len(frames)),
        "blocks": [
            {"frame": block.frame, "slow": block.slow, "num_tokens": block.num_tokens}
            for block in layout.blocks()
        ],
        "most_video_tokens": most_tokens(services.model.representation),
        "max_prompt_tokens": services.model.num_positions,
        "thumbnails": [jpeg_url(picture) for picture in pictures],
        "warnings": [*wanted.warnings, *frames.warnings],
    }


def most_tokens(representation: VideoRepresentation) -> int:
    """Video tokens of as many frames as a representation takes."""
    return make_layout(representation, representation.max_frames).num_tokens


async def _read_frames(
    reference: MediumReference, wanted: WantedVideos, services: Services
) -> Frames:
    part = {"type": "video", "video": reference}
    conversation: Conversation = [{"role": "user", "content": [part]}]
    read = await services.media.read(
        conversation,
        wanted.sampling,
        wanted.representation.max_frames,
        seconds=services.settings.engine.media_seconds,
    )
    frames: Frames = read.conversation[0]["content"][0]["video"]
    return frames
