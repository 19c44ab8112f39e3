"""From a name to the model that answers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from llava_video.chat.protocol import ChatModel
from llava_video.errors import InputError
from llava_video.representation import VideoRepresentation

if TYPE_CHECKING:
    from llava_video.chat.endpoint import VideosAs

INSPECT = "inspect:"
"""Before the name of a model of inspect_ai's own providers: ``inspect:google/gemini-3-pro``."""


def open_chat_model(
    name: str,
    *,
    device: str = "auto",
    dtype: str | None = None,
    int8: bool = False,
    representation: str | None = None,
    videos_as: VideosAs = "data_url",
) -> ChatModel:
    """A checkpoint that is run here, or a model behind an OpenAI-compatible endpoint.

    Args:
        name: ``tiny``, a directory, a name on the hub, or ``http://HOST/v1#MODEL``.
        device: of a checkpoint.
        dtype: of a checkpoint; None for its own, or the faster one on a CPU.
        int8: whether a checkpoint gets int8 weights.
        representation: T,M,s,p, the name of one, or JSON of all its fields.
        videos_as: how an endpoint gets videos.

    Raises:
        LlavaVideoError: it cannot be used.
    """
    if name.startswith(("http://", "https://")):
        from llava_video.calls.endpoint import Endpoint
        from llava_video.chat.endpoint import EndpointModel

        address, _, model_name = name.partition("#")
        if not model_name:
            raise InputError(f"{name}: which of its models? write {address}#MODEL")
        settings = Endpoint(model=model_name, base_url=address)
        return EndpointModel(settings, videos_as=videos_as)
    from llava_video.chat.local_model import LocalModel

    wanted: VideoRepresentation | str | None = representation
    if representation is not None and representation.startswith("{"):
        wanted = VideoRepresentation.from_dict(json.loads(representation))
    model: ChatModel = LocalModel.load(
        name, device=device, dtype=dtype, int8=int8, representation=wanted
    )
    return model
