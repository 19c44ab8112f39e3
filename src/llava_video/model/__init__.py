"""The LLaVA-Video model: configuration and modeling.

Names are imported when first used: the Auto classes of transformers import `configuration`, which
must not import torch.
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
