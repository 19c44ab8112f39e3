"""The recipe that trains tiny and the models of its tables."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field, field_validator, model_validator

from llava_video.errors import RepresentationError
from llava_video.recipes import BaseRecipe
from llava_video.representation import VideoRepresentation
from llava_video.toyworld import LEVELS as ALL_LEVELS

LEVELS = ("simple", "standard")
"""Levels of the clips that tiny is trained on."""

REPRESENTATION = VideoRepresentation(max_frames=12, grid_side=8, slow_stride=3, pool_stride=2)


class TinyRecipe(BaseRecipe):
    """A recipe of `train_tiny`."""

    bundled: ClassVar[Path] = Path(str(files("llava_video") / "tiny" / "recipes"))

    out: Path
    """The run folder; an unfinished run there is resumed."""
    levels: tuple[str, ...] = Field(LEVELS, min_length=1)
    """Levels of toyworld that the clips take in turn."""
    representations: tuple[dict[str, Any], ...] = Field((REPRESENTATION.to_dict(),), min_length=1)
    """Values of `VideoRepresentation`, trained in turn; the model is saved with the first."""
    vision_from: str | None = None
    """A model of the same sizes whose vision encoder replaces the first stage."""
    start_from: Path | None = None
    """A finished run, or tiny, whose weights replace the first two stages."""
    options_after: float = Field(0.4, ge=0, le=1)
    """Share of the third stage before questions with options; 1: neither options nor lists."""
    # They take most of a step's time, and need the answers that open-ended questions train.
    clips: Path | None = None
    """Folder of the features of clips; empty: in the run folder, removed at the end."""
    # Runs with the same levels and vision encoder can share it.
    seed: int = 0
    """Seed of the weights and of the questions; the clips are the same for all seeds."""
    seeing_steps: int = Field(15000, gt=0)
    """Steps of the first stage."""
    reading_steps: int = Field(2000, gt=0)
    """Most steps of the second stage; it ends as soon as the letters of lists are right."""
    num_clips: int = Field(gt=0)
    """Clips whose features are cached for the third stage."""
    watching_steps: int = Field(gt=0)
    """Steps of the third stage."""
    batch: int = Field(6, gt=0)
    """Clips per step of the third stage."""
    threads: int = Field(1, gt=0)
    """CPU threads of PyTorch."""
    workers: int = Field(1, ge=0)
    """Data loader processes that draw clips and questions."""

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
        for values in self.representations:
            _check_representation(values)
        return self


def _check_representation(values: dict[str, Any]) -> None:
    """Refuse what the models of the recipe cannot be trained with.

    Raises:
        ValueError: its values contradict each other, or need another encoder or learned vectors.
    """
    try:
        found = VideoRepresentation.from_dict(values)
    except RepresentationError as error:
        raise ValueError(f"representations: {error}") from error
    if found.grid_side != REPRESENTATION.grid_side:
        raise ValueError(f"representations: grid_side is {REPRESENTATION.grid_side} for tiny")
    if found.newline != "none" or found.separator or found.selection != "all":
        raise ValueError("representations: tiny has no newlines, separators or selections")
