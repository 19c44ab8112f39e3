"""The paper's Tables 4 and 5 on toyworld: small models that differ in their representation only.

A base model is trained on all representations of the two tables in turn: a language model from
random weights with tiny's vision encoder (recipe ``toyworld-base``). From it each recipe
``toyworld-tableN/*`` continues with one representation, once per seed, as the paper continues from
one checkpoint. All are trained on the same clips and open-ended questions; accuracy is measured on
held-out videos. Finished runs are neither trained nor evaluated again.

As in the paper, some models are evaluated with another representation than they were trained
with: in Table 4 the model of the fewest frames with more, in Table 5 the simple one with
SlowFast-LLaVA's.
"""

from __future__ import annotations

import json
import math
import statistics
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path

import torch

from llava_video.checkpoints.load import load as load_checkpoint
from llava_video.pages.blocks import Table
from llava_video.pages.markdown import to_markdown
from llava_video.recipes import load_recipe
from llava_video.records.files import write_whole
from llava_video.representation import VideoRepresentation, make_layout
from llava_video.tiny.accuracy import ask, is_correct
from llava_video.tiny.recipe import TinyRecipe
from llava_video.tiny.train import train_tiny
from llava_video.toyworld import generate_script, make_questions, render
from llava_video.train.adapters import MODEL

SIMPLE = VideoRepresentation(grid_side=8, max_frames=6, pool_stride=2)
SLOWFAST_LLAVA = VideoRepresentation(
    grid_side=8, max_frames=12, slow_stride=4, pool_stride=2, arrangement="slow_then_fast"
)
ROWS: dict[str, tuple[tuple[str, VideoRepresentation | None], ...]] = {
    "4": (
        ("toyworld-table4/6x16", None),
        ("toyworld-table4/12x16", None),
        ("toyworld-table4/20x16", None),
        ("toyworld-table4/6x16", replace(SIMPLE, max_frames=12)),
        ("toyworld-table4/6x16", replace(SIMPLE, max_frames=20)),
        ("toyworld-table4/6x64", None),
        ("toyworld-table4/80x4", None),
    ),
    "5": (
        ("toyworld-table5/simple", None),
        ("toyworld-table5/slowfast", None),
        ("toyworld-table5/lita", None),
        ("toyworld-table5/simple", SLOWFAST_LLAVA),
    ),
}
"""Recipe, and the representation of its evaluation; None: the recipe's own."""

ALL = "all"
KINDS = ("colour", "count", "direction", "existence", "order", "shape")

T_OF_95_PERCENT = {2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78, 6: 2.57, 7: 2.45, 8: 2.36}
"""Student's t by the number of seeds, for 95 % confidence intervals."""


def accuracy(
    directory: Path, representation: VideoRepresentation, num_videos: int
) -> dict[str, float]:
    """Accuracy on open-ended questions, by kind and over all."""
    model, processor = load_checkpoint(
        directory, representation=representation, dtype=torch.float32
    )
    hits: dict[str, list[bool]] = defaultdict(list)
    with torch.no_grad():
        for seed in range(num_videos):
            script = generate_script(seed=seed, level="simple")
            questions = [q for q in make_questions(script, seed=seed) if not q.options]
            if not questions:
                continue
            frames = render(script, num_frames=representation.max_frames, size=processor.image_size)
            answers = ask(model, processor, questions, frames)
            for question, answer in zip(questions, answers, strict=True):
                for kind in (ALL, question.kind):
                    hits[kind].append(is_correct(question, answer))
    return {kind: statistics.mean(found) for kind, found in hits.items()}


def name_of(representation: VideoRepresentation) -> str:
    """The folder of a representation; the two tables share one."""
    v = representation
    name = f"{v.max_frames}-{v.tokens_per_frame}-{v.slow_stride}-{v.pool_stride}"
    return name if v.arrangement == "interleaved" else f"{name}-{v.arrangement}"


def mean_and_interval(values: list[float]) -> str:
    """The mean over seeds, and half the width of its 95 % interval if there are several."""
    if len(values) < 2:
        return f"{values[0]:.3f}"
    t = T_OF_95_PERCENT.get(len(values), 1.96)
    half = t * statistics.stdev(values) / math.sqrt(len(values))
    return f"{statistics.mean(values):.3f} ± {half:.3f}"


Scores = Mapping[int, Mapping[str, list[float]]]
"""Accuracies by row, kind of question and seed."""


def make_table(
    table: str,
    out: Path,
    seeds: Sequence[int],
    *,
    watching_steps: int | None = None,
    num_videos: int = 200,
    notice: Callable[[str], None] = lambda text: None,
) -> Iterator[str]:
    """Train and evaluate the models of a table, seed by seed.

    Args:
        table: ``"4"`` or ``"5"``.
        out: folder of the runs and their scores, for both tables.
        seeds: seeds of the runs; each trains every model once.
        watching_steps: overrides the recipes' number.
        num_videos: held-out videos that each model is evaluated on.
        notice: called with a line about each evaluated model.

    Yields:
        The table in Markdown after each seed: means over the seeds so far with their 95 %
        intervals; "more" is the difference to the first row, seed by seed.
    """
    changes = [] if watching_steps is None else [f"watching_steps={watching_steps}"]
    base = out / "base"
    _train(_load("toyworld-base", base, f"clips={out}"))
    shared = [f"start_from={base}", f"clips={out}", *changes]
    scores: dict[int, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for seed in seeds:
        for row, (name, asked_with) in enumerate(ROWS[table]):
            own = _own_of(name)
            run = out / name_of(own) / f"seed{seed}"
            _train(_load(name, run, f"seed={seed}", *shared))
            shown = asked_with or own
            known = run / f"right-with-{name_of(shown)}-of-{num_videos}.json"
            if not known.is_file():
                write_whole(known, json.dumps(accuracy(run / MODEL, shown, num_videos)))
            for kind, share in json.loads(known.read_text()).items():
                scores[row][kind].append(share)
            notice(f"{name}, {name_of(shown)}, seed {seed}: {scores[row][ALL][-1]:.3f}")
        yield _in_markdown(table, scores)


def _load(name: str, out: Path, *changes: str) -> TinyRecipe:
    return load_recipe(TinyRecipe, name, [f"out={out}", *changes])


def _own_of(name: str) -> VideoRepresentation:
    return VideoRepresentation.from_dict(_load(name, Path()).representations[0])


def _train(recipe: TinyRecipe) -> None:
    recipe.keep_in(recipe.out)  # whatever is there must have been made by the same recipe
    if not (recipe.out / MODEL).is_dir():
        with redirect_stdout(sys.stderr):  # what the trainer says; the tables stand alone
            train_tiny(recipe)


def _in_markdown(table: str, scores: Scores) -> str:
    columns = (ALL, *KINDS)
    rows = []
    for row, (name, asked_with) in enumerate(ROWS[table]):
        shown = asked_with or _own_of(name)
        num_tokens = make_layout(shown, shown.max_frames).num_tokens
        differences = [a - b for a, b in zip(scores[row][ALL], scores[0][ALL], strict=True)]
        values = (differences, *(scores[row][kind] for kind in columns))
        cells = (mean_and_interval(value) for value in values)
        rows.append((name, f"{shown}", f"{num_tokens}", *cells))
    head = ("recipe", "asked with", "video tokens", "more", *columns)
    return to_markdown(Table(head, rows)) + "\n"
