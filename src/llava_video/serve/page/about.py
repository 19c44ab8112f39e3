"""What the page shows of the server before a video is chosen."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from llava_video.checkpoints.load import TINY
from llava_video.errors import LlavaVideoError
from llava_video.representation import PRESETS, VideoRepresentation, make_layout
from llava_video.serve.engine.served import ServedModel
from llava_video.serve.page.preview import most_tokens
from llava_video.serve.settings import RequestLimits

SAMPLES = Path(__file__).parents[2] / "assets" / "samples"

HALF = "evs=0.5"
"""A selection of tokens; see `representation/selection.py`."""

TINY_NOTICE = (
    "tiny is a demonstration with 3.4 million parameters. It knows only toyworld, a drawn world of "
    "coloured shapes: about real videos its answers mean nothing."
)
TINY_QUESTIONS = (
    "What happens in the video?",
    "What leaves the picture?",
    "How many shapes are there?",
)
QUESTIONS = (
    "What happens in this video?",
    "Who or what can be seen, and when?",
    "How does it end?",
)


def describe_server(model: ServedModel, limits: RequestLimits) -> Mapping[str, Any]:
    """The model, its limits, representations to choose from, and videos to try."""
    is_tiny = model.checkpoint == TINY  # whatever clients call it
    return {
        "model": model.name,
        "notice": TINY_NOTICE if is_tiny else None,
        "questions": list(TINY_QUESTIONS if is_tiny else QUESTIONS),
        "can_measure_influence": model.can_measure_influence,
        "representation": str(model.representation),
        "representations": list(_choices(model)),
        "max_prompt_tokens": model.num_positions,
        "max_file_bytes": limits.upload_bytes,
        "samples": [
            {
                "name": path.name,
                "title": path.stem.replace("_", " "),
                "url": f"/static/samples/{path.name}",
            }
            for path in sorted(SAMPLES.glob("*.mp4"))
        ],
    }


def _choices(model: ServedModel) -> list[dict[str, Any]]:
    """Representations that fit the model: its own with other strides, and those with a name."""
    own = model.representation
    every_frame = replace(own, slow_stride=1, slow_phase=0)
    candidates: dict[str, tuple[str, VideoRepresentation]] = {}

    def offer(name: str, text: str) -> None:
        try:
            fitting = model.fit_representation(name)
            num_tokens = most_tokens(fitting)
        except LlavaVideoError:
            return
        known = [representation for _, representation in candidates.values()]
        if fitting != own and fitting not in known and num_tokens <= model.num_positions:
            candidates[name] = (text, fitting)

    for changed, text in (
        (every_frame, "every frame slow"),
        (replace(own, slow_stride=3, slow_phase=min(own.slow_phase, 2)), "one in three slow"),
        (replace(own, max_frames=max(1, own.max_frames // 2)), "half the frames"),
        (replace(own, max_frames=max(1, own.max_frames // 4)), "a quarter of the frames"),
    ):
        numbers = _numbers(changed)
        offer(numbers, text)
    offer(HALF, "half of the tokens, those that change")
    for name, preset in PRESETS.items():
        if preset.representation.grid_side == own.grid_side:
            offer(name, name)
    return [
        {
            "name": name,
            "label": f"{text}: up to {make_layout(r, r.max_frames).num_tokens:,} tokens",
        }
        for name, (text, r) in candidates.items()
    ]


def _numbers(representation: VideoRepresentation) -> str:
    """``T,M,s,p``."""
    return re.match(r"[\d,]+", str(representation))[0].rstrip(",")  # type: ignore[index]
