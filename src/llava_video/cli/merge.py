"""``llava-video merge``: a model out of an adapter, or of a checkpoint of a training run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from llava_video.cli.startup import keep_libraries_quiet, many_imports


def command(
    source: Annotated[
        Path,
        typer.Argument(metavar="SRC", help="An adapter, a run folder, or one of its checkpoints."),
    ],
    destination: Annotated[
        Path, typer.Argument(metavar="DST", help="A directory that does not exist yet.")
    ],
    model: Annotated[
        str | None,
        typer.Option(help="The model that an adapter was trained on; default: what it names."),
    ] = None,
) -> None:
    """Merge an adapter into its model, or export the model of a run's newest checkpoint."""
    with many_imports():
        from llava_video.train.run import merge
    keep_libraries_quiet()

    merge(source, destination, model)
    typer.echo(f"{destination}")
