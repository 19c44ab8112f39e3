"""``llava-video doctor``: the environment, and whether a checkpoint computes what it should."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from llava_video.budget.expectations import Expectation
    from llava_video.checkpoints.parity import Stage
    from llava_video.cli.environment import Environment


def command(
    parity: Annotated[
        str | None,
        typer.Option(
            metavar="DIR", help="Compare this checkpoint stage by stage with plain transformers."
        ),
    ] = None,
    video: Annotated[
        str | None, typer.Option(help="The video to compare on; default: a sample.")
    ] = None,
    num_frames: Annotated[int, typer.Option(min=1, help="Frames to compare.")] = 5,
    dtype: Annotated[
        str, typer.Option(help="float32, bfloat16 or float16; decides what counts as rounding.")
    ] = "float32",
    device: Annotated[
        str, typer.Option(help="Where to compare: auto, cpu, cuda, cuda:1, mps.")
    ] = "cpu",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Report what is installed and usable; or compare a checkpoint with plain transformers.

    Exits with 1 if something required is missing, or if a stage differs.
    """
    if parity is None:
        _examine(as_json)
    else:
        _compare(parity, video, num_frames, dtype, device, as_json)


def _examine(as_json: bool) -> None:
    import json

    from llava_video.cli.environment import examine

    found = examine()
    place, expected = _expectations()
    if as_json:
        values = {**found.to_dict(), "expectations": [row.to_dict() for row in expected]}
        typer.echo(json.dumps(values, ensure_ascii=False))
    else:
        _print_environment(found)
        _print_expectations(place, expected)
    if found.problems:
        raise typer.Exit(1)


def _expectations() -> tuple[str, list[Expectation]]:
    """The device that models would run on, and what to expect of them there."""
    from llava_video.budget.devices import AUTO, parse_device
    from llava_video.budget.expectations import measure_expectations

    device = parse_device(AUTO)
    return str(device), measure_expectations(device)


def _print_expectations(place: str, expected: list[Expectation]) -> None:
    from llava_video.budget.expectations import NUM_FRAMES
    from llava_video.cli.models import expectations_table
    from llava_video.pages.terminal import show

    show(
        f"\nWhat to expect of {NUM_FRAMES} frames on {place}, measured just now",
        expectations_table(expected),
    )


def _print_environment(found: Environment) -> None:
    from llava_video.cli.environment import COMPANIONS

    typer.echo(f"python    {found.python}, {found.system}")
    for name, version in found.packages.items():
        typer.echo(f"          {name} {version or 'MISSING'}")
    for device in found.devices:
        typer.echo(f"device    {device}")
    versions = ", ".join(f"{name} {version}" for name, version in found.ffmpeg.items())
    typer.echo(f"ffmpeg    {versions}")
    present = [name for name, there in found.decoders.items() if there]
    absent = [name for name, there in found.decoders.items() if not there]
    missing = f"; not {', '.join(absent)}" if absent else ""
    typer.echo(f"decoders  {', '.join(present)}{missing}")
    for extra in found.extras:
        if extra.lacking:
            typer.echo(f"extra     {extra.name}: lacks {', '.join(extra.lacking)}; {extra.remedy}")
        else:
            typer.echo(f"extra     {extra.name}: usable")
    for name, version in found.companions.items():
        state = version or f"not installed; pip install {name}"
        typer.echo(f"also      {name} ({COMPANIONS[name]}): {state}")
    for problem in found.problems:
        typer.secho(f"problem   {problem}", fg="red")


def _compare(
    model: str, video: str | None, num_frames: int, dtype: str, device: str, as_json: bool
) -> None:
    import json
    from importlib.resources import files

    import torch

    from llava_video.budget.devices import parse_device
    from llava_video.budget.units import parse_dtype
    from llava_video.checkpoints.parity import check_parity, first_difference

    if video is None:
        video = str(files("llava_video") / "assets" / "samples" / "two_movers.mp4")
    stages = check_parity(
        model,
        video,
        num_frames=num_frames,
        dtype=parse_dtype(dtype) or torch.float32,
        device=parse_device(device),
    )
    differs = first_difference(stages)
    name = None if differs is None else differs.name
    if as_json:
        rows = [stage.to_dict() for stage in stages]
        typer.echo(json.dumps({"agrees": name is None, "first_difference": name, "stages": rows}))
    else:
        _print_stages(stages)
        typer.echo("\nall stages agree" if name is None else f"\nfirst stage that differs: {name}")
    if differs is not None:
        raise typer.Exit(1)


def _print_stages(stages: Sequence[Stage]) -> None:
    typer.secho(f"{'stage':<17}{'largest difference':>19}{'allowed':>10}  against", bold=True)
    for stage in stages:
        difference = "-" if stage.difference is None else f"{stage.difference:.2e}"
        mark = "" if stage.agrees else "  DIFFERS"
        typer.echo(
            f"{stage.name:<17}{difference:>19}{stage.tolerance:>10.1e}  {stage.against}{mark}"
        )
        if stage.note:
            typer.secho(f"{'':<17}{stage.note}", dim=True)
