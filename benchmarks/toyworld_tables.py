"""The paper's Tables 4 and 5 on toyworld: small models that differ in their representation only.

Each recipe ``toyworld-tableN/*`` trains a language model from random weights behind tiny's vision
encoder, once per seed, on the same clips and questions; accuracy is measured on held-out videos.
The lesson of reading, which no representation has part in, is had once per seed. A run that is
there already is not trained again::

    python benchmarks/toyworld_tables.py 5 --out runs/table5 [--seeds 0 1 2] [--watching-steps 2000]

As in Table 4, the model of the fewest frames is also asked with more than it was trained with.
With the defaults a table takes a CPU a night.
"""

from __future__ import annotations

import argparse
import math
import shutil
import statistics
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import torch
from tiny_accuracy import FORMS, ask, form, is_right

import llava_video as lv
from llava_video.representation import make_layout
from llava_video.toyworld import generate_script, make_questions, render
from llava_video.train.adapters import MODEL
from llava_video.train.recipe import bundled_recipes, load_recipe_of
from llava_video.train.tiny import TinyRecipe, train_tiny

READ = "reading"
MORE_FRAMES = {"toyworld-table4/6x16": (12, 20)}
"""Numbers of frames that a model is asked with besides its own."""

T_OF_95_PERCENT = {2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78, 6: 2.57, 7: 2.45, 8: 2.36}
"""Student's t by the number of seeds, for intervals that hold the mean in 95 of 100 cases."""


def accuracy(
    directory: Path, representation: lv.VideoRepresentation, num_videos: int
) -> dict[str, float]:
    """Share of right answers by form of question."""
    model, processor = lv.load(directory, representation=representation, dtype=torch.float32)
    hits: dict[str, list[bool]] = defaultdict(list)
    with torch.no_grad():
        for seed in range(num_videos):
            script = generate_script(seed=seed, level="simple")
            questions = make_questions(script, seed=seed)
            frames = render(
                script,
                num_frames=processor.representation.max_frames,
                size=processor.image_size,
            )
            answers = ask(model, processor, questions, frames)
            for question, answer in zip(questions, answers, strict=True):
                hits[form(question)].append(is_right(question, answer))
    return {name: statistics.mean(found) for name, found in hits.items()}


def mean_and_interval(values: list[float]) -> str:
    if len(values) < 2:
        return f"{values[0]:.3f}"
    t = T_OF_95_PERCENT.get(len(values), 1.96)
    half = t * statistics.stdev(values) / math.sqrt(len(values))
    return f"{statistics.mean(values):.3f} ± {half:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", choices=("4", "5"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--watching-steps", type=int)
    parser.add_argument("--num-clips", type=int)
    parser.add_argument("--num-videos", type=int, default=140)
    options = parser.parse_args()
    changes = [
        f"{key}={value}"
        for key, value in (
            ("watching_steps", options.watching_steps),
            ("num_clips", options.num_clips),
        )
        if value is not None
    ]
    print(f"| recipe | asked with | video tokens | {' | '.join(FORMS)} |\n|---|---|---|---|---|")
    for name in bundled_recipes():
        if not name.startswith(f"toyworld-table{options.table}/"):
            continue
        scores: dict[tuple[lv.VideoRepresentation, str], list[float]] = defaultdict(list)
        for seed in options.seeds:
            out = options.out / name.split("/")[1] / f"seed{seed}"
            recipe = load_recipe_of(TinyRecipe, name, [f"out={out}", f"seed={seed}", *changes])
            own = lv.VideoRepresentation.from_dict(recipe.representation)
            trained = out / MODEL
            recipe.keep_in(out)  # whatever is there must have been made by the same recipe
            if not trained.is_dir():
                has_read = options.out / READ / f"seed{seed}"
                if has_read.is_dir() and not (out / READ).is_dir():
                    shutil.copytree(has_read, out / READ)
                train_tiny(recipe)
                if not has_read.is_dir():
                    shutil.copytree(out / READ, has_read)
            for shown in (own, *(replace(own, max_frames=n) for n in MORE_FRAMES.get(name, ()))):
                for kind, share in accuracy(trained, shown, options.num_videos).items():
                    scores[shown, kind].append(share)
        for shown in dict.fromkeys(shown for shown, _ in scores):
            num_tokens = make_layout(shown, shown.max_frames).num_tokens
            cells = " | ".join(mean_and_interval(scores[shown, kind]) for kind in FORMS)
            print(f"| {name.split('/')[1]} | {shown} | {num_tokens} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
