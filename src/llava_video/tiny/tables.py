"""The models of the paper's Tables 4 and 5 on toyworld: they differ in their representation only.

A base model is trained on all representations of the two tables in turn: a language model from
random weights with tiny's vision encoder (recipe ``toyworld-base``). From it each recipe
``toyworld-tableN/*`` continues with one representation, once per seed, as the paper continues from
one checkpoint. All are trained on the same clips and open-ended questions. Finished runs are not
trained again. ``llava-video eval tables toyworld-tableN`` compares them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from pathlib import Path

from llava_video.recipes import load_recipe
from llava_video.representation import VideoRepresentation
from llava_video.tiny.recipe import TinyRecipe
from llava_video.tiny.train import train_tiny
from llava_video.train.adapters import MODEL

RECIPES = {
    "4": tuple(f"toyworld-table4/{name}" for name in ("6x16", "12x16", "20x16", "6x64", "80x4")),
    "5": tuple(f"toyworld-table5/{name}" for name in ("simple", "slowfast", "lita")),
}
"""Of the models of a table; some are evaluated with several representations."""


def name_of(representation: VideoRepresentation) -> str:
    """The folder of a representation; the two tables share one."""
    v = representation
    name = f"{v.max_frames}-{v.tokens_per_frame}-{v.slow_stride}-{v.pool_stride}"
    return name if v.arrangement == "interleaved" else f"{name}-{v.arrangement}"


def train_models(
    table: str, out: Path, seeds: Sequence[int], *, watching_steps: int | None = None
) -> Iterator[Path]:
    """Train the models of a table, seed by seed.

    Args:
        table: ``"4"`` or ``"5"``.
        out: folder of the runs of both tables.
        seeds: seeds of the runs; each trains every model once.
        watching_steps: overrides the recipes' number.

    Yields:
        The folder of each trained model, ``OUT/REPRESENTATION/seedN/model``.
    """
    changes = [] if watching_steps is None else [f"watching_steps={watching_steps}"]
    base = out / "base"
    _train(_load("toyworld-base", base, f"clips={out}"))
    shared = [f"start_from={base}", f"clips={out}", *changes]
    for seed in seeds:
        for name in RECIPES[table]:
            own = VideoRepresentation.from_dict(_load(name, Path()).representations[0])
            run = out / name_of(own) / f"seed{seed}"
            _train(_load(name, run, f"seed={seed}", *shared))
            yield run / MODEL


def _load(name: str, out: Path, *changes: str) -> TinyRecipe:
    return load_recipe(TinyRecipe, name, [f"out={out}", *changes])


def _train(recipe: TinyRecipe) -> None:
    recipe.keep_in(recipe.out)  # whatever is there must have been made by the same recipe
    if not (recipe.out / MODEL).is_dir():
        with redirect_stdout(sys.stderr):  # what the trainer says; the list of models stands alone
            train_tiny(recipe)
