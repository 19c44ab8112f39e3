"""Reading videos: frames, their times and their pictures. PyAV and numpy.

The names below are imported when first used: who asks for a suffix needs no PyAV.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llava_video.video.info import VideoInfo
    from llava_video.video.reading import probe_video, read_video, sample_times

__all__ = ["VideoInfo", "probe_video", "read_video", "sample_times"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = "info" if name == "VideoInfo" else "reading"
    return getattr(importlib.import_module(f"{__name__}.{home}"), name)
