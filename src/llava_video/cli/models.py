"""``llava-video models``: released checkpoints, and what to expect of them here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from llava_video.cli.startup import many_imports

if TYPE_CHECKING:
    from llava_video.budget.expectations import Expectation
    from llava_video.pages.blocks import Table

app = typer.Typer(
    help="List released checkpoints with short names; download one.", invoke_without_command=True
)


@app.callback()
def list_models(
    ctx: typer.Context,
    device: Annotated[
        str, typer.Option(help="Where they would run: auto, cpu, cuda, cuda:1, mps.")
    ] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list.")] = False,
) -> None:
    """List the released checkpoints that have a short name, and what to expect of them here.

    The device is measured with layers of the smallest one, which takes seconds.
    """
    if ctx.invoked_subcommand is not None:
        return
    import json

    with many_imports():
        from llava_video.budget.devices import parse_device
        from llava_video.budget.expectations import NUM_FRAMES, measure_expectations
        from llava_video.checkpoints.hub import downloaded
        from llava_video.checkpoints.known_models import KNOWN_MODELS
        from llava_video.pages.blocks import Table
        from llava_video.pages.terminal import show

    here = downloaded()
    place = parse_device(device)
    expected = measure_expectations(place)
    if as_json:
        rows = [
            {
                "hub_name": model.hub_name,
                "download_bytes": model.download_bytes,
                "license": model.license,
                "downloaded_bytes": here.get(model.hub_name, 0),
                **expectation.to_dict(),
            }
            for model, expectation in zip(KNOWN_MODELS, expected, strict=True)
        ]
        typer.echo(json.dumps(rows))
        return
    table = [("tiny", "-", "Apache-2.0", "with the package", "toyworld alone, a drawn world")]
    table += [
        (
            model.short_name,
            f"{model.download_bytes / 1e9:.1f} GB",
            model.license,
            f"{here[model.hub_name] / 1e9:.1f} GB here" if model.hub_name in here else "-",
            f"{model.about}\n{model.hub_name}",
        )
        for model in KNOWN_MODELS
    ]
    show(
        Table(("name", "download", "licence", "downloaded", "about"), table, "lrlll"),
        expectations_table(expected),
        f"{NUM_FRAMES} frames on {place}, measured just now; reading the video and loading the "
        "weights come before.\nDownload one: llava-video models get 0.5b",
    )


@app.command("get")
def get(
    name: Annotated[
        str, typer.Argument(help="A short name, or owner/name, or owner/name@revision on the hub.")
    ],
) -> None:
    """Download a checkpoint, or what is missing of it; its newest version where it is there."""
    with many_imports():
        from llava_video.checkpoints.load import find_checkpoint, load_config

    directory = find_checkpoint(name, refresh=True)
    load_config(directory)  # checks the files
    typer.echo(f"{name} is in {directory}")


def expectations_table(expected: list[Expectation]) -> Table:
    """What each model needs on a device, and how fast it answers there."""
    from llava_video.budget.units import size_text
    from llava_video.pages.blocks import Table

    rows = [
        (
            row.model,
            row.dtype,
            size_text(row.memory_bytes),
            "fits" if row.problem is None else "does not fit",
            f"{row.first_token_seconds:,.1f} s" if row.problem is None else "-",
            f"{row.tokens_per_second:,.1f}" if row.problem is None else "-",
        )
        for row in expected
    ]
    return Table(
        ("model", "dtype", "memory", "here", "first token after", "tokens/s"), rows, "llrlrr"
    )
