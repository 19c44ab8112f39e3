"""From a request to what is wanted: a conversation, options and limits; refused before any work."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from llava_video.chat.protocol import AnswerOptions, Conversation, Sampling
from llava_video.errors import LlavaVideoError
from llava_video.representation import VideoRepresentation, make_layout
from llava_video.serve.api.requests import (
    ChatRequest,
    FileReference,
    InputVideo,
    MediaPart,
    Message,
    TextPart,
    VideoFields,
)
from llava_video.serve.engine.served import ServedModel
from llava_video.serve.files import UploadedFile
from llava_video.serve.media_reader import MediumReference, kind_of_upload, references_of
from llava_video.serve.settings import RequestLimits
from llava_video.web.errors import HttpError

DEFAULT_NEW_TOKENS = 1024
LEAST_TEMPERATURE = 0.01
"""A lower one would divide scores beyond what numbers hold."""

MOST_TEMPERATURE = 10.0
PENALTIES = (0.1, 10.0)
MOST_SEED = 2**53
CHARACTERS_PER_TOKEN = 16
"""More than this many characters for each position of the model are no prompt."""

GetFile = Callable[[str], UploadedFile]


@dataclass(frozen=True, slots=True)
class WantedVideos:
    """How the videos of a request are shown.

    Attributes:
        representation: how frames become tokens.
        sampling: which frames.
        num_frames: of each video, at most.
        warnings: what is done otherwise than asked for.
    """

    representation: VideoRepresentation
    sampling: Sampling
    num_frames: int
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a request asks for.

    Attributes:
        conversation: with a `MediumReference` in each part that is no text.
        options: of the answer; the frames are chosen when media are read.
        videos: how videos are shown.
        num_choices: answers to the same prompt.
    """

    conversation: Conversation
    options: AnswerOptions
    videos: WantedVideos
    num_choices: int

    def options_of(self, choice: int) -> AnswerOptions:
        """Options of one of several answers: with a seed, each has one of its own."""
        if self.options.seed is None or choice == 0:
            return self.options
        return replace(self.options, seed=self.options.seed + choice)


def read_wanted(
    request: ChatRequest, model: ServedModel, limits: RequestLimits, get_file: GetFile
) -> Wanted:
    """What a request asks for.

    Raises:
        HttpError: 400, it asks for too much, or for what is not there.
    """
    num_choices = 1 if request.n is None else request.n
    _check("n", num_choices, 1, limits.num_choices)
    conversation = read_conversation(request.messages, model, limits, get_file)
    references = references_of(conversation)
    num_videos = sum(reference.kind == "video" for reference in references)
    videos = read_videos(request, model, limits, num_videos)
    check_video_tokens(videos, num_videos, model)
    return Wanted(conversation, _options(request, limits, videos), videos, num_choices)


def read_conversation(
    messages: Sequence[Message], model: ServedModel, limits: RequestLimits, get_file: GetFile
) -> Conversation:
    """Messages as the model takes them, with references to media.

    Raises:
        HttpError: 400, there are too many parts, or one is not clear; 404, a file is not there.
    """
    _check("messages", len(messages), 1, limits.num_messages, "messages")
    parts = [part for message in messages for part in message.parts]
    _check("messages", len(parts), 1, limits.num_parts, "parts")
    num_characters = sum(len(part.text) for part in parts if isinstance(part, TextPart))
    most = CHARACTERS_PER_TOKEN * model.num_positions
    _check("messages", num_characters, 0, most, "characters")
    conversation = []
    for index, message in enumerate(messages):
        role = "system" if message.role == "developer" else message.role
        if role == "system" and index:
            raise HttpError(
                400, "a system message can only be the first", param=f"messages.{index}.role"
            )
        content: list[dict[str, Any]] = []
        for number, part in enumerate(message.parts):
            if isinstance(part, TextPart):
                content.append({"type": "text", "text": part.text})
                continue
            where = f"messages.{index}.content.{number}"
            if role != "user":
                raise HttpError(400, f"{where}: only a user shows media", param=where)
            reference = _reference(part, where, get_file)
            content.append({"type": reference.kind, reference.kind: reference})
        conversation.append({"role": role, "content": content})
    if conversation[-1]["role"] != "user":
        raise HttpError(400, "the last message is the user's; ask something", param="messages")
    references = references_of(conversation)
    num_videos = sum(reference.kind == "video" for reference in references)
    _check("messages", num_videos, 0, limits.num_videos, "videos")
    _check("messages", len(references) - num_videos, 0, limits.num_images, "images")
    return conversation


def read_videos(
    fields: VideoFields, model: ServedModel, limits: RequestLimits, num_videos: int
) -> WantedVideos:
    """How a request wants its videos to be shown.

    Raises:
        HttpError: 400, it contradicts itself, or asks for too much.
    """
    representation = _representation(fields, model, num_videos)
    sampling, warnings = _sampling(fields, limits), []
    most = representation.max_frames
    if most > limits.num_frames:
        if fields.representation is not None:
            raise HttpError(
                400,
                f"T = {most} frames are more than the server takes, which is {limits.num_frames}",
                param="representation",
            )
        if num_videos and sampling.num_frames is None:
            warnings.append(f"the server takes {limits.num_frames} frames of a video, not {most}")
        most = limits.num_frames
        representation = replace(representation, max_frames=most)
    num_frames = most
    if sampling.num_frames is not None:
        if sampling.num_frames > most:
            warnings.append(
                f"num_frames is {sampling.num_frames}, more than T = {most} of the representation: "
                f"{most} frames are taken"
            )
            sampling = replace(sampling, num_frames=most)
        num_frames = sampling.num_frames or most
    return WantedVideos(representation, sampling, num_frames, tuple(warnings))


def check_video_tokens(videos: WantedVideos, num_videos: int, model: ServedModel) -> None:
    """Refuse videos whose tokens alone are more than the model takes, before they are read.

    Raises:
        HttpError: 400.
    """
    num_frames = 1 if videos.sampling.fps is not None else videos.num_frames  # at least
    num_tokens = num_videos * make_layout(videos.representation, num_frames).num_tokens
    if num_tokens >= model.num_positions:
        raise HttpError(
            400,
            f"the videos are {num_tokens:,} tokens, the model takes {model.num_positions:,}; show "
            "fewer frames, or ask for a max_video_tokens",
            param="messages",
            code="context_length_exceeded",
        )


def _representation(
    fields: VideoFields, model: ServedModel, num_videos: int
) -> VideoRepresentation:
    wanted, most = fields.representation, fields.max_video_tokens
    if wanted is not None and most is not None:
        raise HttpError(400, "representation or max_video_tokens, not both", param="representation")
    try:
        if wanted is not None:
            return model.fit_representation(wanted)
        if most is not None:
            _check("max_video_tokens", most, 1, model.num_positions)
            return model.fit_video_tokens(max(1, most // max(1, num_videos)))
    except HttpError:
        raise
    except LlavaVideoError as error:
        name = "max_video_tokens" if wanted is None else "representation"
        raise HttpError(400, str(error), param=name) from error
    return model.representation


def _sampling(fields: VideoFields, limits: RequestLimits) -> Sampling:
    """Which frames; what is said in several places has to be the same."""
    said: dict[str, dict[str, Any]] = {"num_frames": {}, "fps": {}}
    places = {
        "sampling": fields.sampling,
        "media_io_kwargs.video": fields.media_io_kwargs and fields.media_io_kwargs.video,
        "mm_processor_kwargs": fields.mm_processor_kwargs,
    }
    for place, found in places.items():
        for name, values in said.items():
            value = getattr(found, name, None)
            if value is not None and not (value == -1 and place != "sampling"):
                values[place] = value
    for name, values in said.items():
        if len(set(values.values())) > 1:
            raise HttpError(400, f"{' and '.join(values)} name different {name}", param=name)
    num_frames, fps = (next(iter(values.values()), None) for values in said.values())
    if fps is not None and fps > limits.fps:
        raise HttpError(400, f"fps is {fps:g}, the server takes {limits.fps:g}", param="fps")
    span = fields.sampling
    start, end = (span.start, span.end) if span is not None else (None, None)
    try:
        return Sampling(num_frames, fps, start or 0.0, end)
    except LlavaVideoError as error:
        raise HttpError(400, str(error), param="sampling") from error


def _options(request: ChatRequest, limits: RequestLimits, videos: WantedVideos) -> AnswerOptions:
    given = [
        value for value in (request.max_completion_tokens, request.max_tokens) if value is not None
    ]
    if len(set(given)) > 1:
        raise HttpError(400, "max_tokens and max_completion_tokens differ", param="max_tokens")
    num_new_tokens = given[0] if given else min(DEFAULT_NEW_TOKENS, limits.num_new_tokens)
    _check("max_tokens", num_new_tokens, 1, limits.num_new_tokens)
    stop = [request.stop] if isinstance(request.stop, str) else request.stop or []
    _check("stop", len(stop), 0, limits.num_stops, "texts")
    _check("stop", max(map(len, stop), default=1), 1, limits.stop_characters, "characters")
    temperature = request.temperature or 0.0
    _check("temperature", temperature, 0, MOST_TEMPERATURE)
    if temperature > 0:
        temperature = max(temperature, LEAST_TEMPERATURE)
    if request.seed is not None:
        _check("seed", request.seed, -MOST_SEED, MOST_SEED)
    if request.repetition_penalty is not None:
        _check("repetition_penalty", request.repetition_penalty, *PENALTIES)
    try:
        options = AnswerOptions(
            max_new_tokens=num_new_tokens,
            temperature=temperature,
            top_p=1.0 if request.top_p is None else request.top_p,
            top_k=None if request.top_k in (None, -1, 0) else request.top_k,
            seed=request.seed,
            stop=tuple(stop),
            repetition_penalty=request.repetition_penalty,
            representation=videos.representation,
        )
    except LlavaVideoError as error:
        raise HttpError(400, str(error)) from error
    if temperature == 0:  # what chooses among tokens chooses nothing: more are answered together
        return replace(options, top_p=1.0, top_k=None, seed=None)
    return options


def _reference(part: MediaPart, where: str, get_file: GetFile) -> MediumReference:
    if part.type == "video_url":
        return MediumReference("video", part.video_url.url)
    if part.type == "image_url":
        return MediumReference("image", part.image_url.url)
    if part.type == "input_video":
        return _input_video(part.input_video, where, get_file)
    return _file(part.file, where, get_file)


def _input_video(video: InputVideo, where: str, get_file: GetFile) -> MediumReference:
    _one_of(where, data=video.data, url=video.url, file_id=video.file_id)
    if video.file_id is not None:
        return MediumReference("video", file=get_file(video.file_id))
    if video.url is not None:
        return MediumReference("video", video.url)
    data = video.data or ""
    if data.startswith("data:"):
        return MediumReference("video", data)
    return MediumReference("video", f"data:video/{video.format or 'mp4'};base64,{data}")


def _file(file: FileReference, where: str, get_file: GetFile) -> MediumReference:
    _one_of(where, file_id=file.file_id, file_data=file.file_data)
    if file.file_id is not None:
        found = get_file(file.file_id)
        return MediumReference(kind_of_upload(found), file=found)
    data = file.file_data or ""
    if not data.startswith("data:"):
        raise HttpError(400, f"{where}.file_data: write it as 'data:TYPE;base64,...'", param=where)
    is_image = data.startswith("data:image/") and not data.startswith("data:image/gif")
    return MediumReference("image" if is_image else "video", data)


def _one_of(where: str, **given: str | None) -> None:
    if sum(value is not None for value in given.values()) != 1:
        raise HttpError(400, f"{where}: give one of {', '.join(given)}", param=where)


def _check(param: str, value: float, least: float, most: float, unit: str | None = None) -> None:
    if not least <= value <= most or not math.isfinite(value):
        what = f"{param}: {value:,} {unit}" if unit else f"{param} is {value:,}"
        raise HttpError(400, f"{what}; from {least:,} to {most:,} are taken", param=param)
