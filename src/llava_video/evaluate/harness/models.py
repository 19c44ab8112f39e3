"""From a name to the model that answers."""

from __future__ import annotations

import json

from llava_video.chat.protocol import ChatModel
from llava_video.representation import VideoRepresentation

INSPECT = "inspect:"
"""Before the name of a model of inspect_ai's own providers: ``inspect:google/gemini-3-pro``."""


def open_chat_model(
    name: str, *, device: str = "auto", representation: str | None = None
) -> ChatModel:
    """A checkpoint that is run here.

    Args:
        name: ``tiny``, a directory, or a name on the hub.
        device: of a checkpoint.
        representation: T,M,s,p, the name of one, or JSON of all its fields.

    Raises:
        LlavaVideoError: it cannot be used.
    """
    from llava_video.chat.local_model import LocalModel

    wanted: VideoRepresentation | str | None = representation
    if representation is not None and representation.startswith("{"):
        wanted = VideoRepresentation.from_dict(json.loads(representation))
    model: ChatModel = LocalModel.load(name, device=device, representation=wanted)
    return model
