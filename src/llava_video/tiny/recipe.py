"""What can be changed about the training of tiny, and of the models of its tables."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field, field_validator, model_validator

from llava_video.recipes import BaseRecipe
from llava_video.representation import VideoRepresentation
from llava_video.toyworld import LEVELS as ALL_LEVELS

LEVELS = ("simple", "standard")
"""Levels of the clips that tiny is asked about."""

REPRESENTATION = VideoRepresentation(max_frames=12, grid_side=8, slow_stride=3, pool_stride=2)


class TinyRecipe(BaseRecipe):
    """What can be changed about the training of tiny."""

    bundled: ClassVar[Path] = Path(str(files("llava_video") / "tiny" / "recipes"))

    out: Path
    """The run folder; a run found there is continued."""
    levels: tuple[str, ...] = Field(LEVELS, min_length=1)
    """Levels of toyworld, to which the clips belong in turn."""
    representations: tuple[dict[str, Any], ...] = Field((REPRESENTATION.to_dict(),), min_length=1)
    """Values of `VideoRepresentation`; the model is of the first, and learns them in turn."""
    vision_from: str | None = None
    """A model of the same sizes whose vision encoder is taken, in place of the first lesson."""
    start_from: Path | None = None
    """A finished run from which everything is taken, in place of the first two lessons."""
    options_after: float = Field(0.4, ge=0, le=1)
    """Share of the third lesson before questions with options; 1: none, and no lists either."""
    # They take most of a step, and can be answered when open-ended ones can.
    clips: Path | None = None
    """Folder of the features of clips, for several runs; empty: in the run folder while it runs."""
    # Runs can share it if their levels and their vision encoder are the same.
    seed: int = 0
    """Of the weights, and of what is asked about which clip; clips are the same for all seeds."""
    seeing_steps: int = Field(15000, gt=0)
    """Steps of the first lesson."""
    reading_steps: int = Field(2000, gt=0)
    """Steps of the second lesson, unless letters of lists are found before."""
    num_clips: int = Field(gt=0)
    """Clips whose features are kept for the third lesson."""
    watching_steps: int = Field(gt=0)
    """Steps of the third lesson."""
    batch: int = Field(6, gt=0)
    """Clips per step of the third lesson."""
    threads: int = Field(1, gt=0)
    """Threads of the processor."""
    workers: int = Field(1, ge=0)
    """Processes that draw clips and questions."""

    @field_validator("levels")
    @classmethod
    def _known(cls, levels: tuple[str, ...]) -> tuple[str, ...]:
        if unknown := set(levels) - set(ALL_LEVELS):
            raise ValueError(
                f"levels: toyworld has no {min(unknown)!r}; use some of {', '.join(ALL_LEVELS)}"
            )
        return levels

    @model_validator(mode="after")
    def _check(self) -> TinyRecipe:
        if self.vision_from and self.start_from:
            raise ValueError("vision_from or start_from, not both; leave one empty: vision_from=")
        return self
