"""What can be changed about the training of tiny, and of the models of its tables."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field, field_validator, model_validator

from llava_video.representation import VideoRepresentation
from llava_video.toyworld import LEVELS as ALL_LEVELS
from llava_video.train.recipe import Strict

LEVELS = ("simple", "standard")
"""Levels of the clips that tiny is asked about."""

REPRESENTATION = VideoRepresentation(max_frames=12, grid_side=8, slow_stride=3, pool_stride=2)


class TinyRecipe(Strict):
    """What can be changed about the training of tiny.

    Attributes:
        out: the run folder; a run found there is continued.
        levels: of toyworld, to which the clips belong in turn.
        representations: values of `VideoRepresentation`, by default of tiny's; the model is of the
            first, and learns them in turn.
        vision_from: a model of the same sizes whose vision encoder is taken, in place of the first
            lesson.
        start_from: a finished run from which everything is taken, in place of the first two
            lessons.
        options_after: share of the third lesson after which questions with options are asked, too.
            They take most of a step, and can be answered when open-ended ones can. With 1 there are
            none, and no lists of options to read either.
        clips: a folder for the features of clips, which runs of the same levels and vision encoder
            can share; by default they are in the run folder, and removed at its end.
        seed: of the weights, and of what is asked about which clip; clips are the same for all.
        seeing_steps: steps of the first lesson.
        reading_steps: steps of the second lesson, unless letters of lists are found before.
        num_clips: clips whose features are kept for the third.
        watching_steps: steps of the third lesson.
        batch: clips per step of the third.
        threads: threads of the processor.
        workers: processes that draw clips and questions.
    """

    bundled: ClassVar[Path] = Path(str(files("llava_video") / "tiny" / "recipes"))

    out: Path
    levels: tuple[str, ...] = Field(LEVELS, min_length=1)
    representations: tuple[dict[str, Any], ...] = Field((REPRESENTATION.to_dict(),), min_length=1)
    vision_from: str | None = None
    start_from: Path | None = None
    options_after: float = Field(0.4, ge=0, le=1)
    clips: Path | None = None
    seed: int = 0
    seeing_steps: int = Field(15000, gt=0)
    reading_steps: int = Field(2000, gt=0)
    num_clips: int = Field(gt=0)
    watching_steps: int = Field(gt=0)
    batch: int = Field(6, gt=0)
    threads: int = Field(1, gt=0)
    workers: int = Field(1, ge=0)

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
