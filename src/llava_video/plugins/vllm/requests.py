"""Conversations as requests of vLLM."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from llava_video.chat.local.media import Loaded, LoadedVideo, slot_of
from llava_video.chat.protocol import Conversation, ShownVideo
from llava_video.errors import InputError
from llava_video.plugins.vllm.metadata import metadata_of
from llava_video.plugins.vllm.placement import Placement
from llava_video.plugins.vllm.representation import OPTION
from llava_video.processing.media import media_of, read_picture
from llava_video.processing.processor import LlavaVideoProcessor


@dataclass(frozen=True, slots=True)
class Request:
    """One conversation.

    Attributes:
        prompt: as vLLM takes it: ids with one placeholder per medium, media and their names.
        videos: as the model sees them.
        num_pictures: frames and tiles that the vision encoder gets.
    """

    prompt: dict[str, Any]
    videos: tuple[ShownVideo, ...]
    num_pictures: int


def make_request(
    conversation: Conversation,
    loaded: Sequence[Loaded],
    processor: LlavaVideoProcessor,
    *,
    is_default: bool,
) -> Request:
    """The request of a conversation.

    Args:
        conversation: messages, of which the last is the user's.
        loaded: its media, in order.
        processor: of the wanted representation.
        is_default: whether that is the engine's own.

    Raises:
        InputError: the messages are not a conversation, or are longer than the model's context.
    """
    if not conversation or conversation[-1].get("role") != "user":
        raise InputError("the last message of a conversation is the user's; ask something")
    placement = Placement(processor.tokenizer, processor.video_token_id)
    data: dict[str, list[Any]] = {}
    names: dict[str, list[str]] = {}
    for medium, own in zip(media_of(conversation), loaded, strict=True):
        if isinstance(own, LoadedVideo):
            item: Any = (own.frames.pixels, metadata_of(own.frames))
        else:
            item = read_picture(medium.source)
        data.setdefault(medium.kind, []).append(item)
        names.setdefault(medium.kind, []).append(_name_of(own))
    prompt: dict[str, Any] = {"prompt_token_ids": placement.render(conversation)}
    if data:
        prompt |= {"multi_modal_data": data, "multi_modal_uuids": names}
    if not is_default:
        prompt["mm_processor_kwargs"] = {OPTION: processor.representation.to_dict()}
    return Request(
        prompt,
        tuple(
            ShownVideo.of(
                own.frames, slot_of(own, processor).num_tokens, str(processor.representation)
            )
            for own in loaded
            if isinstance(own, LoadedVideo)
        ),
        sum(len(own.pixels) for own in loaded),
    )


def _name_of(loaded: Loaded) -> str:
    """What vLLM's caches know a medium by: all that its tokens and its text depend on."""
    if not isinstance(loaded, LoadedVideo):
        return loaded.digest
    frames = loaded.frames
    about = f"{loaded.digest} {frames.timestamps_seconds.tolist()} {frames.duration_seconds}"
    return hashlib.blake2b(about.encode(), digest_size=20).hexdigest()
