"""The paper's Tables 4 and 5 on toyworld: small models that differ in their representation only.

A language model learns all representations of the two tables in turn, from random weights behind
tiny's vision encoder (recipe ``toyworld-base``). From there each recipe ``toyworld-tableN/*`` goes
on with one of them, once per seed, as the paper goes on from one checkpoint. All see the same clips
and open-ended questions; accuracy is measured on held-out videos. A run that is there already is
not trained or asked again::

    python benchmarks/toyworld_tables.py 5 --out runs/tables [--seeds 0 1 2]

Some models are asked with more than they were trained with, as in the paper: in Table 4 that of the
fewest frames, and in Table 5 that of the simple representation with SlowFast-LLaVA's. Numbers are
means over seeds with their 95 % intervals; "more" is the difference to the first row, seed by seed.
The table is printed anew after each seed.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import time
from collections import defaultdict
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path

import torch
from tiny_accuracy import ask, is_right

import llava_video as lv
from llava_video.representation import make_layout
from llava_video.toyworld import generate_script, make_questions, render
from llava_video.train.adapters import MODEL
from llava_video.train.recipe import load_recipe_of
from llava_video.train.tiny import TinyRecipe, train_tiny

SIMPLE = lv.VideoRepresentation(grid_side=8, max_frames=6, pool_stride=2)
SLOWFAST_LLAVA = lv.VideoRepresentation(
    grid_side=8, max_frames=12, slow_stride=4, pool_stride=2, arrangement="slow_then_fast"
)
ROWS: dict[str, tuple[tuple[str, lv.VideoRepresentation | None], ...]] = {
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
"""Recipe, and what its model is asked with if not with its own representation."""

ALL = "all"
KINDS = ("colour", "count", "direction", "existence", "order", "shape")

T_OF_95_PERCENT = {2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78, 6: 2.57, 7: 2.45, 8: 2.36}
"""Student's t by the number of seeds, for intervals that hold the mean in 95 of 100 cases."""


def accuracy(
    directory: Path, representation: lv.VideoRepresentation, num_videos: int
) -> dict[str, float]:
    """Share of right answers to open-ended questions by their kind, and of all."""
    model, processor = lv.load(directory, representation=representation, dtype=torch.float32)
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
                    hits[kind].append(is_right(question, answer))
    return {kind: statistics.mean(found) for kind, found in hits.items()}


def name_of(representation: lv.VideoRepresentation) -> str:
    """One folder for all recipes of a representation: the two tables have one in common."""
    v = representation
    name = f"{v.max_frames}-{v.tokens_per_frame}-{v.slow_stride}-{v.pool_stride}"
    return name if v.arrangement == "interleaved" else f"{name}-{v.arrangement}"


def mean_and_interval(values: list[float]) -> str:
    if len(values) < 2:
        return f"{values[0]:.3f}"
    t = T_OF_95_PERCENT.get(len(values), 1.96)
    half = t * statistics.stdev(values) / math.sqrt(len(values))
    return f"{statistics.mean(values):.3f} ± {half:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", choices=ROWS)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--watching-steps", type=int)
    parser.add_argument("--num-videos", type=int, default=200)
    options = parser.parse_args()
    steps = options.watching_steps
    changes = [] if steps is None else [f"watching_steps={steps}"]
    base = options.out / "base"
    train(load("toyworld-base", base, f"clips={options.out}"))
    shared = [f"start_from={base}", f"clips={options.out}", *changes]
    scores: dict[int, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for number, seed in enumerate(options.seeds, 1):
        for row, (name, asked_with) in enumerate(ROWS[options.table]):
            own = own_of(name)
            out = options.out / name_of(own) / f"seed{seed}"
            train(load(name, out, f"seed={seed}", *shared))
            shown = asked_with or own
            known = out / f"right-with-{name_of(shown)}-of-{options.num_videos}.json"
            if not known.is_file():
                known.write_text(json.dumps(accuracy(out / MODEL, shown, options.num_videos)))
            for kind, share in json.loads(known.read_text()).items():
                scores[row][kind].append(share)
            said = f"{time.strftime('%H:%M')} {name}, {name_of(shown)}, seed {seed}"
            print(f"{said}: {scores[row][ALL][-1]:.3f}", file=sys.stderr, flush=True)
        print(f"{number} seeds\n")
        print_table(options.table, scores)


def load(name: str, out: Path, *changes: str) -> TinyRecipe:
    return load_recipe_of(TinyRecipe, name, [f"out={out}", *changes])


def own_of(name: str) -> lv.VideoRepresentation:
    return lv.VideoRepresentation.from_dict(load(name, Path()).representations[0])


def train(recipe: TinyRecipe) -> None:
    recipe.keep_in(recipe.out)  # whatever is there must have been made by the same recipe
    if not (recipe.out / MODEL).is_dir():
        with redirect_stdout(sys.stderr):  # what the trainer says; the tables stand alone
            train_tiny(recipe)


def print_table(table: str, scores: dict[int, dict[str, list[float]]]) -> None:
    columns = (ALL, *KINDS)
    print(f"| recipe | asked with | video tokens | more | {' | '.join(columns)} |")
    print("|---|---|---|---|" + "---|" * len(columns))
    for row, (name, asked_with) in enumerate(ROWS[table]):
        shown = asked_with or own_of(name)
        num_tokens = make_layout(shown, shown.max_frames).num_tokens
        differences = [a - b for a, b in zip(scores[row][ALL], scores[0][ALL], strict=True)]
        values = (differences, *(scores[row][kind] for kind in columns))
        cells = " | ".join(mean_and_interval(value) for value in values)
        print(f"| {name} | {shown} | {num_tokens} | {cells} |")
    print(flush=True)


if __name__ == "__main__":
    main()
