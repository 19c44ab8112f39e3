"""``llava-video plan-training``: what training a known model would take, before there is data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from llava_video.cli.startup import many_imports
from llava_video.errors import InputError

if TYPE_CHECKING:
    from llava_video.train.forecast.cost import TrainingCost

_UNUSED = "of-no-use"  # a recipe names data and a folder, which are not looked at


def command(
    recipe: Annotated[str, typer.Argument(help="A recipe's name, or a YAML file.")],
    changes: Annotated[
        list[str] | None, typer.Argument(help="Values to change, such as shard=true.")
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option(help="0.5b, 7b or 72b; may be repeated. [default: 7b, 72b]")
    ] = None,
    devices: Annotated[
        list[int] | None, typer.Option(min=1, help="GPUs; may be repeated. [default: 8, 128]")
    ] = None,
    samples: Annotated[int, typer.Option(min=1, help="Videos with their answers.")] = 1_600_000,
    frames: Annotated[
        int | None, typer.Option(min=1, help="Of each video. [default: the recipe's]")
    ] = None,
    text_tokens: Annotated[int, typer.Option(min=1, help="Of a sample, beside its video.")] = 400,
    answer_tokens: Annotated[int, typer.Option(min=1, help="Of them, supervised ones.")] = 200,
    mfu: Annotated[
        float, typer.Option(min=0.01, max=1, help="Share of --tflops that the model reaches.")
    ] = 0.35,
    tflops: Annotated[float, typer.Option(min=1, help="Of a GPU's datasheet, in bfloat16.")] = 989,
    gpu_memory: Annotated[str, typer.Option(help="Of a GPU, such as 80GB or 141GB.")] = "80GB",
    usd_per_hour: Annotated[float, typer.Option(min=0, help="Price of a GPU.")] = 2.5,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Memory on each GPU, tokens per second, days and dollars of training a known model.

    Nothing is downloaded. Time follows from --mfu, which has to be measured or assumed: docs/gpu.md
    has measurements. An epoch of --samples like samples is counted.
    """
    import dataclasses
    import json

    with many_imports():
        from llava_video.budget.units import parse_bytes
        from llava_video.checkpoints.known_models import KNOWN_MODELS
        from llava_video.checkpoints.load import fit_representation
        from llava_video.train.forecast.cost import Hardware, Work, training_cost
        from llava_video.train.recipe import load_recipe

    known = {found.short_name: found for found in KNOWN_MODELS}
    costs: list[tuple[str, int, TrainingCost]] = []
    for name in model or ("7b", "72b"):
        if name not in known:
            raise InputError(f"--model {name}: not a known model; take one of {', '.join(known)}")
        unused = [f"model={name}", f"mixture={_UNUSED}", f"out={_UNUSED}"]
        chosen = load_recipe(recipe, [*unused, *(changes or ())])
        for num_devices in devices or (8, 128):
            config = known[name].config()
            if chosen.representation is not None:
                config.representation = fit_representation(chosen.representation, config)
            num_frames = frames or chosen.num_frames or config.representation.max_frames
            work = Work(samples, num_frames, text_tokens, answer_tokens)
            hardware = Hardware(
                num_devices, tflops * 1e12, mfu, parse_bytes(gpu_memory), usd_per_hour
            )
            costs.append((name, num_devices, training_cost(chosen, config, work, hardware)))
    if as_json:
        rows = [
            {"model": name, "num_devices": number, **dataclasses.asdict(cost)}
            for name, number, cost in costs
        ]
        for row, (_, _, cost) in zip(rows, costs, strict=True):
            row["memory"] = cost.memory.to_dict()
        typer.echo(json.dumps({"runs": rows}))
        return
    _print(costs, f"{samples:,} samples, MFU {mfu:g} of {tflops:g} TFLOP/s")


def _print(costs: list[tuple[str, int, TrainingCost]], title: str) -> None:
    from llava_video.pages.blocks import Table
    from llava_video.pages.terminal import show

    head = ["model", "GPUs", "tokens", "GB/GPU", "fits", "tokens/s", "days", "GPU hours", "USD"]
    rows = [
        (
            *(name, f"{number}", f"{cost.tokens_per_sample:,}"),
            *(f"{cost.memory.peak / 1e9:,.0f}", "yes" if cost.fits else "no"),
            *(f"{cost.tokens_per_second:,.0f}", f"{cost.seconds / 86400:,.1f}"),
            *(f"{cost.device_hours:,.0f}", f"{cost.usd:,.0f}"),
        )
        for name, number, cost in costs
    ]
    show(title, Table(tuple(head), rows, "lrrrlrrrr"))
