"""A training run from a plan to a checkpoint, and from a checkpoint to a model.

The run folder holds ``recipe.yaml`` (every value), ``run.json`` (versions, mixture, digests of the
data), ``log.jsonl``, ``checkpoints/``, and at the end ``model/``, which `llava_video.load` reads.
"""

from __future__ import annotations

import math
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from safetensors import SafetensorError
from torch.optim import AdamW
from torch.utils.data import DataLoader
from transformers import get_scheduler

from llava_video.checkpoints.files.adapter_files import holds_adapter
from llava_video.checkpoints.load import find_checkpoint, load_config, load_model, load_processor
from llava_video.errors import InputError
from llava_video.recipes import RECIPE_FILE
from llava_video.records.files import hold_folder
from llava_video.train.adapters import MODEL, merge_adapter, save_adapter, write_model
from llava_video.train.checkpoints import (
    LAST_FILE,
    load_optimizer,
    load_weights,
    newest_checkpoint,
    room_on_disk,
    step_of,
)
from llava_video.train.data.encode import SKIPPED_FILE, Encoder
from llava_video.train.devices import (
    batches_of_process,
    broadcast_from_first,
    join_processes,
    leave_processes,
    make_accelerator,
    shard,
)
from llava_video.train.log import Log, start_trackers
from llava_video.train.loop import Loop
from llava_video.train.objectives import RowObjective, objective_of
from llava_video.train.parameters import (
    build_model,
    checkpoint_activations,
    compile_layers,
    parameter_groups,
)
from llava_video.train.plan import Plan, check_devices, describe_left_out, describe_run, make_plan
from llava_video.train.predictions import PREDICTIONS_FILE, write_predictions
from llava_video.train.recipe import Recipe, load_recipe
from llava_video.train.report import REPORT_FILE, RUN_FILE, write_report

CHECKPOINTS = "checkpoints"
ADAPTER = "adapter"


def train(recipe: Recipe, *, bar: bool = True) -> Path | None:
    """Run a recipe, or resume its run folder where it stopped: in training, or in the report.

    Returns:
        The directory of the trained model; None in all processes but the first.

    Raises:
        InputError: the run folder belongs to another recipe, another process trains in it, or the
            loss is not finite.
        VideoError: a video fails and the recipe does not say to skip it.
    """
    with ExitStack() as held:
        processes = join_processes()
        try:
            plan, checkpoint = broadcast_from_first(
                processes, lambda: _begin(recipe, processes.num_processes, held)
            )
            is_trained = (recipe.out / MODEL).is_dir()  # the first process writes it at the end
            if not is_trained:
                with room_on_disk(recipe.out / CHECKPOINTS):
                    _run(plan, checkpoint, bar)
        finally:
            leave_processes(processes)
        if not processes.is_main_process:
            return None
        with room_on_disk(recipe.out / CHECKPOINTS):
            if not is_trained:
                last = _checkpoint_of(recipe.out)
                export_model(recipe, last, recipe.out / MODEL, recipe.out / ADAPTER)
            _report(plan)
        return recipe.out / MODEL


def _begin(recipe: Recipe, num_processes: int, held: ExitStack) -> tuple[Plan, Path | None]:
    """Make and record the run plan; returns it with the checkpoint to resume from."""
    if (recipe.out / MODEL).is_dir() and (recipe.out / REPORT_FILE).is_file():
        raise InputError(f"{recipe.out} holds a finished run; give another folder as out=DIR")
    check_devices(recipe, num_processes)
    plan = make_plan(recipe)
    held.enter_context(hold_folder(recipe.out, "wait for it, or give another folder as out=DIR"))
    describe_run(plan, num_processes)
    for line in describe_left_out(plan.problems, len(plan.samples)):
        print(f"{line}; all are in {recipe.out / RUN_FILE}", file=sys.stderr)
    for warning in plan.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    return plan, newest_checkpoint(recipe.out / CHECKPOINTS)


def _run(plan: Plan, checkpoint: Path | None, bar: bool) -> None:
    """Train from the first step or from a checkpoint, up to the last checkpoint."""
    recipe = plan.recipe
    dtype = getattr(torch, recipe.dtype)
    accelerator = make_accelerator(recipe.trackers, recipe.out / "tensorboard")
    splits = recipe.shard and accelerator.num_processes > 1

    set_seed(recipe.seed)  # adapters are initialised at random
    model = build_model(recipe, plan.directory, plan.config, torch.float32 if splits else dtype)
    objective = objective_of(recipe, plan.processor)
    model.set_attn_implementation({"text_config": objective.attention})
    if recipe.gradient_checkpointing:
        checkpoint_activations(model)
    if recipe.compile:
        compile_layers(model)
    flos_per_token = 6 * model.num_parameters(exclude_embeddings=True)
    if splits:
        shard(model, accelerator, dtype)
    if checkpoint is not None:
        load_weights(checkpoint, model)
    prepared = accelerator.prepare_model(model)  # on its device, wrapped for DDP

    is_cuda = accelerator.device.type == "cuda"
    groups = parameter_groups(model, recipe)
    optimizer = AdamW(groups, lr=0.0, betas=(0.9, 0.999), fused=is_cuda or None)
    # The rate of the first of them is 0, so that a run of one step has none.
    num_warmup_steps = min(math.ceil(plan.num_steps * recipe.warmup_ratio), plan.num_steps - 1)
    name = "constant_with_warmup" if recipe.schedule == "constant" else recipe.schedule
    scheduler = get_scheduler(name, optimizer, num_warmup_steps, plan.num_steps)
    if checkpoint is not None:
        load_optimizer(checkpoint, model, optimizer)

    start_trackers(accelerator, recipe)
    done = 0 if checkpoint is None else step_of(checkpoint)
    with Log(
        recipe.out,
        accelerator,
        bar=bar,
        video_token_id=plan.config.video_token_id,
        steps_per_epoch=plan.steps_per_epoch,
        flos_per_token=flos_per_token,
    ) as log:
        loop = Loop(
            accelerator,
            prepared,
            objective,
            optimizer,
            scheduler,
            log,
            folder=recipe.out / CHECKPOINTS,
            num_steps=plan.num_steps,
            batches_per_update=recipe.rows_per_update
            // (recipe.rows_per_step * accelerator.num_processes),
            log_steps=min(recipe.log_steps, plan.num_steps),
            save_steps=recipe.save_steps,
            autocast_dtype=None if splits or dtype == torch.float32 else dtype,
            step=done,
        )
        set_seed(recipe.seed)  # dropout does not depend on how the model was initialised
        objective.begin(loop, plan.samples)
        loop.run(_loader(plan, objective, done, accelerator), checkpoint)


def _loader(
    plan: Plan, objective: RowObjective, num_done: int, accelerator: Accelerator
) -> DataLoader[Any]:
    """Batches of the rows of this process, after ``num_done`` updates."""
    recipe = plan.recipe
    return DataLoader(
        objective.dataset(plan.samples, plan.rows, recipe.out / SKIPPED_FILE),
        batch_sampler=batches_of_process(
            len(plan.rows), recipe.rows_per_step, num_done * recipe.rows_per_update, accelerator
        ),
        collate_fn=objective.collate,
        num_workers=recipe.workers,
        pin_memory=accelerator.device.type == "cuda",
    )


def _checkpoint_of(out: Path) -> Path:
    checkpoint = newest_checkpoint(out / CHECKPOINTS)
    if checkpoint is None:
        raise InputError(f"{out} holds no whole checkpoint; give the folder of a run as out=DIR")
    return checkpoint


def export_model(
    recipe: Recipe, checkpoint: Path, target: Path, adapter: Path | None = None
) -> None:
    """Write the model of a checkpoint with its processor, adapters merged into it.

    They are merged in float32 and then rounded to the recipe's dtype. Takes the memory of one copy
    of the model in float32, on the CPU.

    Args:
        recipe: recipe of the run.
        checkpoint: its checkpoint.
        target: folder of the model.
        adapter: folder of the adapters alone, if the run has any.
    """
    directory = find_checkpoint(recipe.model)
    config = load_config(directory, recipe.representation)
    dtype = getattr(torch, recipe.dtype)
    model = build_model(recipe, directory, config, torch.float32)
    load_weights(checkpoint, model)
    if recipe.lora is not None:
        if adapter is not None:
            save_adapter(model, adapter, dtype)
        model = model.merge_and_unload()
    write_model(model, load_processor(directory, config), target, dtype)


def merge(source: Path, target: Path, model: str | None = None) -> None:
    """Make a model of an adapter, or of a checkpoint of a run, finished or not.

    Args:
        source: a folder with an adapter, a run folder, or one of its checkpoints.
        target: where the model is written.
        model: the model that an adapter was trained on; default: the one that it names.

    Raises:
        InputError: the source is none of these, or the target exists.
        CheckpointError: an adapter does not fit the model.
    """
    if target.exists():
        raise InputError(f"{target} is there already; give another folder")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _merge(source, target, model)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{target} cannot be written: {error}") from error


def _merge(source: Path, target: Path, model: str | None) -> None:
    if holds_adapter(source):
        merge_adapter(source, target, model)
        return
    whole = (source / LAST_FILE).is_file()
    out = source.resolve().parent.parent if whole else source
    if not (out / RECIPE_FILE).is_file():
        raise InputError(
            f"{source} holds neither an adapter nor a run; give the folder that 'train' wrote, or "
            "adapter/ or checkpoints/checkpoint-N in it"
        )
    export_model(
        load_recipe(str(out / RECIPE_FILE)), source if whole else _checkpoint_of(out), target
    )


def _report(plan: Plan) -> None:
    """Predict the answers of some samples with the trained model, and write the report."""
    recipe = plan.recipe
    wanted = min(recipe.report_samples, len(plan.samples))
    if wanted:
        directory = recipe.out / MODEL
        device = "cuda" if torch.cuda.is_available() else "cpu"
        model = load_model(directory, load_config(directory)).to(device)
        spread = [plan.samples[index * len(plan.samples) // wanted] for index in range(wanted)]
        encoder = Encoder(plan.processor, recipe)
        write_predictions(model, encoder, spread, recipe.out / PREDICTIONS_FILE)
    write_report(recipe.out)
