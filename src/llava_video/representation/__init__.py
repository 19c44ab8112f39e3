"""Video representations: how frames become video tokens.

`VideoRepresentation` is the configuration V = (T, M, s, p), `make_layout` counts and orders its
tokens in integers, `packing.pack_video` (which needs torch) executes it, `PRESETS` names the
representations of the paper and its peers, and `tape` draws them.
"""

from llava_video.representation.layout import Block, Run, TokenLayout, make_layout
from llava_video.representation.presets import PRESETS, Preset, parse_representation
from llava_video.representation.video_representation import (
    LINEAR_POOLINGS,
    FrameGrid,
    VideoRepresentation,
    paper_even_grid_count,
    paper_token_count,
)

__all__ = [
    "LINEAR_POOLINGS",
    "PRESETS",
    "Block",
    "FrameGrid",
    "Preset",
    "Run",
    "TokenLayout",
    "VideoRepresentation",
    "make_layout",
    "paper_even_grid_count",
    "paper_token_count",
    "parse_representation",
]
