"""Tokens per second of packed rows against padded ones, and the share of time waiting for data.

Toyworld videos of 5 to 60 seconds are decoded from files, as in real training. Captions and
questions differ in length, which is what packing is for. Padding does not count as tokens.

Run: python benchmarks/training.py [--num-videos 24] [--steps 8] [--workers 2]
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from pathlib import Path

import yaml

from llava_video.toyworld.dataset import DatasetSettings, make_dataset
from llava_video.train.recipe import load_recipe
from llava_video.train.run import LOG_FILE, train

SAMPLES_PER_PADDED_ROW = 8


def make_mixture(folder: Path, num_videos: int) -> Path:
    for number, seconds in enumerate((5.0, 20.0, 60.0)):
        settings = DatasetSettings(seed=1000 * number, level="standard", seconds=seconds)
        list(make_dataset(folder / f"{seconds:g}", num_videos // 3, settings))
    entries = []
    for path in sorted(folder.glob("*/toyworld_*.json")):
        records = json.loads(path.read_text())
        for record in records:
            record["video"] = f"{path.parent.name}/{record['video']}"
        path.write_text(json.dumps(records))
        entries.append({"json_path": str(path.relative_to(folder))})
    mixture = folder / "mixture.yaml"
    mixture.write_text(yaml.safe_dump({"datasets": entries}))
    return mixture


def measure(mixture: Path, out: Path, *changes: str) -> tuple[float, float]:
    """Median tokens per second and data-wait share, the first step left out."""
    recipe = load_recipe(
        "projector",
        [
            "model=tiny", f"mixture={mixture}", f"video_folder={mixture.parent}", f"out={out}",
            "learning_rates.language_model=1e-5", "rows_per_update=1", "log_steps=1",
            "dtype=float32", "gradient_checkpointing=false", *changes,
        ],
    )  # fmt: skip
    train(recipe, bar=False)
    lines = [json.loads(line) for line in (out / LOG_FILE).read_text().splitlines()]
    steps = [line for line in lines if "tokens_per_second" in line][1:]
    return (
        statistics.median(line["tokens_per_second"] for line in steps),
        statistics.mean(line["data_wait_share"] for line in steps),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--num-videos", type=int, default=24)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        mixture = make_mixture(folder, options.num_videos)
        common = [f"max_steps={options.steps}", f"workers={options.workers}"]
        padded = [*common, "packing=false", f"rows_per_step={SAMPLES_PER_PADDED_ROW}"]
        packed = [*common, "packing=true", "max_tokens=1600"]
        print("| rows | tokens/s | share of time waiting for data |")
        print("|---|---|---|")
        rates = []
        for label, changes in (("padded", padded), ("packed", packed)):
            rate, waited = measure(mixture, folder / label, *changes)
            rates.append(rate)
            print(f"| {label} | {rate:.0f} | {waited:.3f} |", flush=True)
        print(f"\npacked / padded: {rates[1] / rates[0]:.2f}")


if __name__ == "__main__":
    main()
