"""The LLaVA-Video model: configuration, modeling, and what both are made of.

Names are imported when first used, so that `configuration` alone stays cheap: the Auto classes of
transformers import it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

_HOMES = {
    "LlavaVideoConfig": "configuration",
    "LlavaVideoForConditionalGeneration": "modeling",
    "LlavaVideoModel": "modeling",
}

__all__ = [
    "LlavaVideoConfig",
    "LlavaVideoForConditionalGeneration",
    "LlavaVideoModel",
]

if TYPE_CHECKING:
    from llava_video.model.configuration import LlavaVideoConfig
    from llava_video.model.modeling import LlavaVideoForConditionalGeneration, LlavaVideoModel


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'llava_video.model' has no attribute {name!r}")
    return getattr(importlib.import_module(f"llava_video.model.{_HOMES[name]}"), name)
