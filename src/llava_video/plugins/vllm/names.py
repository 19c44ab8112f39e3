"""What vLLM knows our models and their parts by."""

from __future__ import annotations

from llava_video.checkpoints.released import ARCHITECTURE, NATIVE_ARCHITECTURE

ARCHITECTURES = (NATIVE_ARCHITECTURE, ARCHITECTURE)
"""What config.json calls our models, in our layout and in the released one."""

NAME = "llava_video"
"""Of the video loader, the tokenizer mode and the renderer."""
