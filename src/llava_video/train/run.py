"""A training run from a plan to a checkpoint, and from a checkpoint to a model.

The run folder holds ``recipe.yaml`` (every value), ``run.json`` (versions, mixture, digests of the
data), ``log.jsonl``, ``checkpoints/``, and at the end ``model/``, which `llava_video.load` reads.
"""

from __future__ import annotations

import math
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from torch.optim import AdamW
from transformers import PrinterCallback, TrainingArguments, set_seed
from transformers.integrations import TensorBoardCallback

from llava_video.checkpoints.load import find_checkpoint, load_config, load_model, load_processor
from llava_video.errors import InputError
from llava_video.model import LlavaVideoConfig
from llava_video.recipes import RECIPE_FILE
from llava_video.train.adapters import MODEL, add_lora, merge_adapter, save_adapter, write_model
from llava_video.train.attention import PACKED
from llava_video.train.checkpoints import LAST_FILE, load_weights, newest_checkpoint, room_on_disk
from llava_video.train.data.encode import SKIPPED_FILE, Encoder
from llava_video.train.devices import by_first, join_processes, leave_processes, shard
from llava_video.train.plan import (
    Plan,
    check_devices,
    dataset_and_collator,
    describe_run,
    make_plan,
)
from llava_video.train.predictions import PREDICTIONS_FILE, write_predictions
from llava_video.train.preferences import PreferenceTrainer
from llava_video.train.recipe import Recipe, load_recipe
from llava_video.train.report import REPORT_FILE, RUN_FILE, write_report
from llava_video.train.trainer import RowTrainer, Watch, parameter_groups, set_trainable

CHECKPOINTS = "checkpoints"
ADAPTER = "adapter"


def train(recipe: Recipe, *, bar: bool = True) -> Path | None:
    """Run a recipe, or go on with its run folder where it stopped: in training, or in the report.

    Returns:
        The directory of the trained model; None in all processes but the first.

    Raises:
        InputError: the run folder belongs to another recipe, or the loss is no number.
        VideoError: a video fails and the recipe does not say to skip it.
    """
    processes = join_processes()
    try:
        plan, checkpoint = by_first(processes, lambda: _begin(recipe, processes.num_processes))
        is_trained = (recipe.out / MODEL).is_dir()  # the first process writes it when all are done
        if not is_trained:
            with room_on_disk(recipe.out / CHECKPOINTS):
                _run(plan, checkpoint, processes, bar)
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


def _begin(recipe: Recipe, num_processes: int) -> tuple[Plan, Path | None]:
    """The plan of a run, written down, and the checkpoint that it goes on from."""
    if (recipe.out / MODEL).is_dir() and (recipe.out / REPORT_FILE).is_file():
        raise InputError(f"{recipe.out} holds a finished run; give another folder as out=DIR")
    check_devices(recipe, num_processes)
    if recipe.tensorboard and find_spec("tensorboard") is None:
        raise InputError("tensorboard=true needs its package; pip install tensorboard")
    plan = make_plan(recipe)
    describe_run(plan, num_processes)
    if plan.problems:
        first, num = plan.problems[0], len(plan.problems)
        print(
            f"left out: {num} of {num + len(plan.samples)} samples, the first: {first.name}: "
            f"{first.reason}; all are in {recipe.out / RUN_FILE}",
            file=sys.stderr,
        )
    for warning in plan.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    return plan, newest_checkpoint(recipe.out / CHECKPOINTS)


def _run(plan: Plan, checkpoint: Path | None, processes: PartialState, bar: bool) -> None:
    """Train, from the first step or from a checkpoint, and leave the last checkpoint."""
    recipe = plan.recipe
    dtype = getattr(torch, recipe.dtype)
    set_seed(recipe.seed)  # adapters begin at random
    splits = recipe.shard and processes.num_processes > 1
    model = _build(recipe, plan.directory, plan.config, torch.float32 if splits else dtype)
    # Answers that share a video need a mask; samples side by side only need to know their ends.
    attention = PACKED if recipe.attention == "sdpa" and recipe.dpo is None else recipe.attention
    model.set_attn_implementation({"text_config": attention})
    if recipe.gradient_checkpointing:
        _checkpoint_activations(model)
    if splits:
        shard(model, processes, dtype)
    watch = Watch(recipe.out, bar and processes.is_main_process)
    trainer = _make_trainer(
        plan,
        model=model,
        args=_arguments(plan, processes.num_processes),
        optimizers=(AdamW(parameter_groups(model, recipe), lr=0.0, betas=(0.9, 0.999)), None),
        watch=watch,
    )
    if recipe.tensorboard and processes.is_main_process:
        from torch.utils.tensorboard import SummaryWriter

        trainer.add_callback(TensorBoardCallback(SummaryWriter(str(recipe.out / "tensorboard"))))
    trainer.remove_callback(PrinterCallback)  # the watch shows and logs what there is
    try:
        trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    finally:
        watch.stop()


def _make_trainer(plan: Plan, **common: Any) -> RowTrainer:
    """The trainer of samples or of preferences."""
    recipe = plan.recipe
    report = recipe.out / SKIPPED_FILE
    dataset, collate = dataset_and_collator(plan, plan.rows, report)
    common |= {"train_dataset": dataset, "data_collator": collate}
    if recipe.dpo is not None:
        each = [(number,) for number in range(len(plan.samples))]
        return PreferenceTrainer(
            beta=recipe.dpo.beta,
            every_pair=dataset_and_collator(plan, each, report)[0],
            folder=recipe.out,
            **common,
        )
    return RowTrainer(**common)


def _build(
    recipe: Recipe, directory: Path, config: LlavaVideoConfig, frozen_dtype: torch.dtype
) -> Any:
    """The model as the run begins: with adapters, and in float32 what is trained."""
    model: Any = load_model(directory, config, dtype=frozen_dtype)
    if recipe.lora is not None:
        model = add_lora(model, recipe.lora, recipe.model)
    set_trainable(model, recipe)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    return model


def _checkpoint_activations(model: Any) -> None:
    """Compute activations again in the backward pass instead of keeping them."""
    model.config.get_text_config().use_cache = False  # transformers would say that it has to
    if hasattr(model, "activation_checkpointing_enable"):
        model.activation_checkpointing_enable({"use_reentrant": False})
    else:  # before transformers 5.24
        model.gradient_checkpointing_enable({"use_reentrant": False})
    # transformers makes embeddings require gradients, also those of patches. Only its reentrant way
    # needs that; it would send gradients through a frozen vision encoder, for nothing.
    if getattr(model, "_require_grads_hooks", None):
        model.disable_input_require_grads()


def _arguments(plan: Plan, num_processes: int) -> TrainingArguments:
    recipe = plan.recipe
    return TrainingArguments(
        output_dir=str(recipe.out / CHECKPOINTS),
        max_steps=plan.num_steps,
        per_device_train_batch_size=recipe.rows_per_step,
        gradient_accumulation_steps=recipe.rows_per_update
        // (recipe.rows_per_step * num_processes),
        train_sampling_strategy="sequential",  # rows are in the order of training
        lr_scheduler_type=recipe.schedule,
        warmup_steps=math.ceil(plan.num_steps * recipe.warmup_ratio),
        max_grad_norm=1.0,
        bf16=recipe.dtype == "bfloat16",
        logging_steps=min(recipe.log_steps, plan.num_steps),
        logging_nan_inf_filter=False,  # the trainer stops there
        save_steps=recipe.save_steps,
        save_total_limit=2,
        dataloader_num_workers=recipe.workers,
        remove_unused_columns=False,
        accelerator_config={"dispatch_batches": False, "split_batches": False},
        ddp_find_unused_parameters=True,  # some are never used, such as SigLIP's last norm
        disable_tqdm=True,
        report_to=[],
        use_cpu=not torch.cuda.is_available(),
        seed=recipe.seed,
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

    They are merged in float32 and then rounded to the recipe's dtype. Needs the memory of one copy
    of the model in float32, on the CPU.

    Args:
        recipe: of the run.
        checkpoint: what it has learnt.
        target: where the model is written.
        adapter: where its adapters are written alone, if it has any.
    """
    directory = find_checkpoint(recipe.model)
    config = load_config(directory, recipe.representation)
    dtype = getattr(torch, recipe.dtype)
    model = _build(recipe, directory, config, torch.float32)
    load_weights(checkpoint, model)
    if recipe.lora is not None:
        if adapter is not None:
            save_adapter(model, adapter, dtype)
        model = model.merge_and_unload()
    write_model(model, load_processor(directory, config), target, dtype)


def merge(source: Path, target: Path, model: str | None = None) -> None:
    """Make a model of an adapter, or of a checkpoint of a run, even of one that has not ended.

    Args:
        source: a folder with an adapter, a run folder, or one of its checkpoints.
        target: where the model is written.
        model: the model that an adapter was trained on; default: the one that it names.

    Raises:
        InputError: the source is none of these, or the target is there already.
        CheckpointError: an adapter does not fit the model.
    """
    if target.exists():
        raise InputError(f"{target} is there already; give another folder")
    if (source / "adapter_config.json").is_file():
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
    """Ask the trained model some of its samples, and write the page about the run."""
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
