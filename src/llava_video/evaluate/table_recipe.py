"""The recipe of a table: what is compared on which questions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from llava_video.recipes import BaseRecipe, Section


class TableRow(Section):
    """One row of a table."""

    name: str
    """What is compared, in words."""
    model: str | None = None
    """The row's own model; ``{runs}`` and ``{seed}`` are filled in. Empty: that of the table."""
    representation: str | dict[str, Any] | None = None
    """V: T,M,s,p or the name of one, with or without evs=0.5, or its fields; empty for the model's
    own."""
    curve: str | None = None
    """Rows of one curve are joined in a plot of accuracy against video tokens."""


class TableRecipe(BaseRecipe):
    """A grid of models and representations on one task."""

    bundled: ClassVar[Path] = Path(__file__).parent / "recipes"

    title: str
    """Heading of the table."""
    rows: tuple[TableRow, ...] = Field(min_length=1)
    """What is compared; differences are to the first."""
    out: Path
    """Folder of the runs and the table."""
    model: str = "tiny"
    """The model of rows that have none of their own."""
    runs: Path = Path("runs")
    """Folder of trained models, ``{runs}`` in the rows."""
    seeds: tuple[int, ...] = Field(default=(0,), min_length=1)
    """Of training, ``{seed}`` in the rows; a model without it is evaluated once."""
    task: str = "toyworld"
    """A task of `eval`."""
    annotations: Path | None = None
    """File of the questions; empty for toyworld."""
    videos: Path | None = None
    """Folder of the videos."""
    prompts: str | None = None
    """Preset of prompts."""
    limit: int | None = Field(default=None, ge=1)
    """Questions to ask; empty: all."""
    level: str = "standard"
    """Of toyworld's videos."""
    num_videos: int = Field(default=300, ge=2)
    """How many videos of toyworld are made."""
    device: str = "auto"
    """Where models run."""

    def models_of(self, row: TableRow) -> list[str]:
        """The models of a row, one per seed."""
        name = row.model or self.model
        filled = [name.format(runs=self.runs, seed=seed) for seed in self.seeds]
        return list(dict.fromkeys(filled))


def representation_text(row: TableRow) -> str | None:
    """A row's representation as `Settings` takes it."""
    if isinstance(row.representation, dict):
        return json.dumps(row.representation)
    return row.representation
