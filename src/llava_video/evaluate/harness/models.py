"""From a name to the model that answers."""

from __future__ import annotations

from llava_video.chat.protocol import ChatModel

INSPECT = "inspect:"
"""Before the name of a model of inspect_ai's own providers: ``inspect:google/gemini-3-pro``."""


def open_chat_model(
    name: str, *, device: str = "auto", representation: str | None = None
) -> ChatModel:
    """A checkpoint that is run here.

    Args:
        name: ``tiny``, a directory, or a name on the hub.
        device: of a checkpoint.
        representation: of a checkpoint.

    Raises:
        LlavaVideoError: it cannot be used.
    """
    from llava_video.chat.local_model import LocalModel

    model: ChatModel = LocalModel.load(name, device=device, representation=representation)
    return model
