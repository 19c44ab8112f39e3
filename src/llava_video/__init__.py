"""Ask questions about videos: LLaVA-Video with SlowFast video tokens.

The whole public Python interface is listed in ``__all__``. Names are imported when first used, so
that ``import llava_video`` costs milliseconds; the model classes are known to the Auto classes of
transformers as soon as both packages are imported.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from llava_video import registration

__version__ = "0.1.0"

_HOMES = {
    "Frames": "llava_video.types",
    "VideoInfo": "llava_video.video",
    "read_video": "llava_video.video",
    "probe_video": "llava_video.video",
    "VideoRepresentation": "llava_video.representation",
    "TokenLayout": "llava_video.representation",
    "LlavaVideoConfig": "llava_video.model",
    "LlavaVideoForConditionalGeneration": "llava_video.model",
    "LlavaVideoProcessor": "llava_video.processing.processor",
    "load": "llava_video.checkpoints.load",
    "Session": "llava_video.chat.session",
    "LocalModel": "llava_video.chat.local_model",
    "AnswerOptions": "llava_video.chat.protocol",
    "Sampling": "llava_video.chat.protocol",
    "ChatModel": "llava_video.chat.protocol",
    "LlavaVideoError": "llava_video.errors",
}

__all__ = [
    "AnswerOptions",
    "ChatModel",
    "Frames",
    "LlavaVideoConfig",
    "LlavaVideoError",
    "LlavaVideoForConditionalGeneration",
    "LlavaVideoProcessor",
    "LocalModel",
    "Sampling",
    "Session",
    "TokenLayout",
    "VideoInfo",
    "VideoRepresentation",
    "__version__",
    "chat",
    "load",
    "probe_video",
    "read_video",
]

if TYPE_CHECKING:
    from llava_video.chat.local_model import LocalModel
    from llava_video.chat.protocol import AnswerOptions, ChatModel, Sampling
    from llava_video.chat.session import Session
    from llava_video.chat.session import open_session as chat
    from llava_video.checkpoints.load import load
    from llava_video.errors import LlavaVideoError
    from llava_video.model import LlavaVideoConfig, LlavaVideoForConditionalGeneration
    from llava_video.processing.processor import LlavaVideoProcessor
    from llava_video.representation import TokenLayout, VideoRepresentation
    from llava_video.types import Frames
    from llava_video.video import VideoInfo, probe_video, read_video


def __getattr__(name: str) -> Any:
    if name == "chat":  # a package that can be called, and from then on an attribute of this one
        return importlib.import_module("llava_video.chat")
    if name not in _HOMES:
        raise AttributeError(f"module 'llava_video' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__


registration.announce()
