"""``llava-video train``: from a dataset in the LLaVA format to a checkpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from llava_video.cli.startup import keep_libraries_quiet, keys_option, many_imports

if TYPE_CHECKING:
    from llava_video.train.memory import TrainingMemory
    from llava_video.train.plan import Plan

_BINS = 8


def command(
    recipe: Annotated[str, typer.Argument(help="A recipe's name, or a YAML file.")],
    changes: Annotated[
        list[str] | None,
        typer.Argument(help="Values to change: key=value, with dots for what lies inside."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything and train nothing.")
    ] = False,
    devices: Annotated[
        int, typer.Option(min=1, help="With --dry-run: devices that the run will have.")
    ] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print the plan as JSON.")] = False,
    _keys: Annotated[bool, keys_option("train.recipe", "Recipe")] = False,
) -> None:
    """Train a model by a recipe, or resume its run folder."""
    import json
    import sys

    with many_imports():
        from llava_video.train.plan import check_devices, estimate_plan, make_plan
        from llava_video.train.recipe import load_recipe
        from llava_video.train.run import train
    keep_libraries_quiet()

    chosen = load_recipe(recipe, changes or ())
    if not dry_run:
        model = train(chosen, bar=sys.stderr.isatty())
        if model is not None:  # of several processes, the first one speaks
            typer.echo(f"{model}")
        return
    check_devices(chosen, devices)
    plan = make_plan(chosen)
    memory = estimate_plan(plan, devices)
    if as_json:
        result = {**_as_dict(plan), "memory_bytes_per_device": memory.to_dict()}
        typer.echo(json.dumps(result, ensure_ascii=False))
    else:
        _show(plan, memory, devices)


def _as_dict(plan: Plan) -> dict[str, object]:
    """The run plan as JSON-compatible values."""
    from llava_video.train.plan import count_reasons

    return {
        "recipe": plan.recipe.model_dump(mode="json"),
        "mixture": [
            {
                "file": str(part.path),
                "sampling_strategy": part.strategy,
                "num_records": part.num_records,
                "num_samples": len(part.samples),
            }
            for part in plan.parts
        ],
        "num_samples": len(plan.samples),
        "num_tokens": sum(plan.lengths),
        "longest_sample_tokens": max(plan.lengths),
        "num_rows": len(plan.rows),
        "steps_per_epoch": plan.steps_per_epoch,
        "num_steps": plan.num_steps,
        "reasons": [
            {"reason": first.reason, "num_samples": num}
            for first, num in count_reasons(plan.problems)
        ],
        "left_out": [{"sample": p.name, "reason": p.reason} for p in plan.problems],
        "warnings": list(plan.warnings),
    }


def _show(plan: Plan, memory: TrainingMemory, devices: int) -> None:
    from llava_video.pages.blocks import Histogram, Table
    from llava_video.pages.terminal import show
    from llava_video.train.plan import describe_left_out

    parts = [(p.path.name, p.strategy, p.num_records, len(p.samples)) for p in plan.parts]
    used = sum(plan.lengths[i] for row in plan.rows for i in row)
    place = f"memory on each of {devices}" if devices > 1 else "memory on the device"
    sizes = [(name, f"{size / 2**30:.2f}") for name, size in memory.to_dict().items()]
    show(
        plan.recipe.to_yaml().rstrip(),
        Table(("file", "strategy", "records", "samples"), parts, "llrr", title="mixture"),
        *describe_left_out(plan.problems, len(plan.samples)),
        Histogram.of("tokens per sample, videos included", plan.lengths, _BINS),
        f"{len(plan.samples)} samples in {len(plan.rows)} rows, {plan.num_steps} steps "
        f"({plan.steps_per_epoch:.1f} an epoch), "
        f"{used} tokens, {used / len(plan.rows):.0f} a row",
        *(f"warning: {warning}" for warning in plan.warnings),
        Table((place, "GiB"), sizes, "lr"),
    )
