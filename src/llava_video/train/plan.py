"""The run plan, complete before the first step: samples, rows, steps, memory.

A dry run shows the plan; a run follows it, and records its inputs in ``run.json``.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from llava_video import __version__
from llava_video.checkpoints.load import find_checkpoint, load_config, load_processor
from llava_video.errors import InputError
from llava_video.model import LlavaVideoConfig
from llava_video.processing.processor import LlavaVideoProcessor
from llava_video.records.files import write_whole
from llava_video.train.data.lengths import measure
from llava_video.train.data.packing import plan_rows
from llava_video.train.data.samples import Folders, Part, Problem, Sample, read_mixture
from llava_video.train.log import check_trackers
from llava_video.train.memory import Batch, TrainingMemory, estimate_memory
from llava_video.train.objectives import RowObjective, objective_of
from llava_video.train.recipe import Recipe
from llava_video.train.report import RUN_FILE

_SHOWN_REASONS = 20

_VERSIONS = ("torch", "transformers", "accelerate")


@dataclass(frozen=True, slots=True)
class Plan:
    """The plan of a run.

    Attributes:
        recipe: the recipe.
        directory: folder of the model to start from.
        config: configuration of the model.
        processor: processor of the model.
        parts: the mixture, file by file.
        samples: the training samples.
        lengths: tokens of each sample, video tokens included.
        problems: records that are left out, and why.
        rows: samples of each row, for all epochs of the run in order.
        steps_per_epoch: updates per pass over the samples.
        num_steps: updates of the whole run.
        warnings: settings that are followed but hardly intended.
    """

    recipe: Recipe
    directory: Path
    config: LlavaVideoConfig
    processor: LlavaVideoProcessor
    parts: tuple[Part, ...]
    samples: tuple[Sample, ...]
    lengths: tuple[int, ...]
    problems: tuple[Problem, ...]
    rows: tuple[tuple[int, ...], ...]
    steps_per_epoch: float
    num_steps: int
    warnings: tuple[str, ...]


def make_plan(recipe: Recipe) -> Plan:
    """Read the mixture, open every video, count all tokens, and plan the rows.

    Raises:
        InputError: no sample is usable, a sample is longer than ``max_tokens``, ``num_frames``
            exceeds the representation's T, or a tracker's package is missing.
        CheckpointError: the model cannot be used.
    """
    check_trackers(recipe.trackers)
    directory = find_checkpoint(recipe.model)
    config = load_config(directory, recipe.representation)
    processor = load_processor(directory, config)
    most = processor.representation.max_frames
    if recipe.num_frames and recipe.num_frames > most:
        raise InputError(
            f"num_frames={recipe.num_frames} is more than the T = {most} frames that the "
            f"representation of {recipe.model} takes; set num_frames to 1..{most}, or leave it "
            f"empty (num_frames=) for {most}, or set representation=T,M,s,p with a larger T"
        )
    folders = Folders(recipe.video_folder, recipe.image_folder)
    objective = objective_of(recipe, processor)
    parts = read_mixture(recipe.mixture, folders, recipe.seed, objective.parse)
    listed = [sample for part in parts for sample in part.samples]
    problems = [problem for part in parts for problem in part.problems]
    notes = [note for part in parts for note in part.notes]
    samples: list[Sample] = []
    lengths: list[int] = []
    limit = min(recipe.max_tokens, processor.max_positions)
    _refuse_window(config, limit, recipe)
    for sample, length in zip(listed, measure(objective.encoder, listed), strict=True):
        if isinstance(length, str):
            media = tuple(str(medium.source) for medium in sample.media)
            problems.append(Problem(sample.name, length, media))
        elif length <= limit:
            samples.append(sample)
            lengths.append(length)
        elif recipe.on_long_sample == "error":
            raise InputError(
                f"{sample.name} has {length} tokens, a row holds {limit}; raise max_tokens, take "
                "fewer frames, or set on_long_sample=skip_and_report"
            )
        else:
            problems.append(Problem(sample.name, f"it has {length} tokens, a row holds {limit}"))
    if not samples:
        why = "; ".join([*describe_left_out(problems, 0), *notes])
        raise InputError(f"{recipe.mixture} has no sample that can be used; {why}")
    rows, rows_per_epoch = _rows_of_run(recipe, objective, lengths, limit)
    steps_per_epoch = rows_per_epoch / recipe.rows_per_update
    num_steps = len(rows) // recipe.rows_per_update
    return Plan(
        recipe, directory, config, processor, tuple(parts), tuple(samples), tuple(lengths),
        tuple(problems), tuple(rows), steps_per_epoch, num_steps,
        (*notes, *_warnings(recipe, rows_per_epoch, len(samples))),
    )  # fmt: skip


def count_reasons(problems: Sequence[Problem]) -> list[tuple[Problem, int]]:
    """The first record that each reason leaves out, and how many it leaves out; most first."""
    first: dict[str, Problem] = {}
    counts: Counter[str] = Counter()
    for problem in problems:
        kind = problem.kind
        first.setdefault(kind, problem)
        counts[kind] += 1
    return [(first[kind], num) for kind, num in counts.most_common()]


def describe_left_out(problems: Sequence[Problem], num_samples: int) -> list[str]:
    """One line for each reason why records are left out, the first ones of many.

    Args:
        problems: records that are left out.
        num_samples: those that are not.
    """
    total = len(problems) + num_samples
    reasons = count_reasons(problems)
    lines = [
        f"left out: {num} of {total} samples, the first: {first.name}: {first.reason}"
        for first, num in reasons[:_SHOWN_REASONS]
    ]
    if len(reasons) > _SHOWN_REASONS:
        num = sum(num for _, num in reasons[_SHOWN_REASONS:])
        lines.append(f"left out: {num} for {len(reasons) - _SHOWN_REASONS} other reasons")
    return lines


def _refuse_window(config: LlavaVideoConfig, limit: int, recipe: Recipe) -> None:
    """Refuse rows that are longer than a window of attention, which training does not have."""
    window = config.text.sliding_window
    if set(config.text.layer_types) != {"full_attention"} and limit > window:
        raise InputError(
            f"{recipe.model} attends to a window of {window} positions (use_sliding_window), which "
            f"training does not; set max_tokens={window} or less"
        )


def _warnings(recipe: Recipe, rows_per_epoch: int, num_samples: int) -> Iterator[str]:
    if rows_per_epoch < recipe.rows_per_update:
        times = recipe.rows_per_update / rows_per_epoch
        more = "; packing=false makes more rows of them" if rows_per_epoch < num_samples else ""
        yield (
            f"all samples fit into {rows_per_epoch} rows, so that each update of "
            f"rows_per_update={recipe.rows_per_update} rows uses each sample {times:.1f} "
            f"times; set rows_per_update={rows_per_epoch} or less{more}"
        )


def _rows_of_run(
    recipe: Recipe, objective: RowObjective, lengths: Sequence[int], limit: int
) -> tuple[list[tuple[int, ...]], int]:
    """Rows of all epochs, cut or filled up to whole updates, and the rows per epoch."""
    per_update = recipe.rows_per_update

    def epoch(number: int) -> list[tuple[int, ...]]:
        return plan_rows(
            lengths, limit, packing=recipe.packing and objective.can_pack,
            rows_per_step=recipe.rows_per_step, seed=recipe.seed + number,
        )  # fmt: skip

    first = epoch(0)
    wanted = math.ceil(len(first) * recipe.epochs / per_update)
    if recipe.max_steps is not None:
        wanted = min(wanted, recipe.max_steps)
    rows, number = first, 1
    while len(rows) < wanted * per_update:
        rows = rows + epoch(number)
        number += 1
    return rows[: wanted * per_update], len(first)


def check_devices(recipe: Recipe, num_devices: int) -> None:
    """Refuse a number of devices that does not divide an update."""
    at_once = recipe.rows_per_step * num_devices
    if recipe.rows_per_update % at_once:
        raise InputError(
            f"rows_per_update={recipe.rows_per_update} is not a multiple of {at_once}, the rows "
            f"that {num_devices} devices compute at a time; change it or rows_per_step"
        )


def estimate_plan(plan: Plan, num_devices: int = 1, device_type: str = "cuda") -> TrainingMemory:
    """Memory that a run takes on each device, of which the largest batch is read.

    Args:
        plan: the run.
        num_devices: that it is shared among.
        device_type: ``"cuda"`` or ``"cpu"``.

    Raises:
        VideoError: a video of this batch fails.
    """
    size = plan.recipe.rows_per_step
    batches = [plan.rows[start : start + size] for start in range(0, len(plan.rows), size)]
    largest = max(batches, key=lambda rows: sum(plan.lengths[i] for row in rows for i in row))
    # Nothing is written: what is left out is the run's to report.
    objective = objective_of(plan.recipe, plan.processor)
    dataset = objective.dataset(plan.samples, largest, Path(os.devnull))
    rows = [dataset[index] for index in range(len(largest))]
    batch = Batch.of(objective.collate(rows), plan.config)
    return estimate_memory(plan.recipe, plan.config, batch, num_devices, device_type)


def describe_run(plan: Plan, num_devices: int) -> None:
    """Write the recipe and what it ran on; a folder keeps the recipe and samples it began with.

    Raises:
        InputError: the folder belongs to another recipe, or to other samples.
    """
    out = plan.recipe.out
    plan.recipe.keep_in(out)
    described = {
        "versions": {
            "python": platform.python_version(),
            "llava-video": __version__,
            **{name: version(name) for name in _VERSIONS},
        },
        "mixture": [
            {
                "file": part.path.name,
                "sha256": _sha256(part.path),
                "sampling_strategy": part.strategy,
                "num_records": part.num_records,
                "num_samples": len(part.samples),
            }
            for part in plan.parts
        ],
        "samples_sha256": _sha256_of_samples(plan),
        "num_samples": len(plan.samples),
        "num_tokens": sum(plan.lengths[sample] for row in plan.rows for sample in row),
        "num_steps": plan.num_steps,
        "num_devices": num_devices,
        "left_out": [{"sample": p.name, "reason": p.reason} for p in plan.problems],
        "warnings": list(plan.warnings),
    }
    if (out / RUN_FILE).is_file():
        before = json.loads((out / RUN_FILE).read_text(encoding="utf-8"))
        if any(before.get(key) != described[key] for key in ("mixture", "samples_sha256")):
            raise InputError(
                f"{out} was begun with other samples; restore them or give another out=DIR"
            )
    write_whole(out / RUN_FILE, json.dumps(described, indent=2) + "\n")


def _sha256_of_samples(plan: Plan) -> str:
    """The digest of the usable samples, their lengths and rows, which no file's digest covers."""
    names = [sample.name for sample in plan.samples]
    return hashlib.sha256(json.dumps([names, plan.lengths, plan.rows]).encode()).hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:  # a shard may be larger than memory
        return hashlib.file_digest(file, "sha256").hexdigest()
