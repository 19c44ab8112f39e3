"""``llava-video convert``: a checkpoint in another layout, bit for bit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from llava_video.checkpoints.convert import Conversion, Layout


def command(
    source: Annotated[
        str, typer.Argument(metavar="SRC", help="A checkpoint's directory or hub name.")
    ],
    destination: Annotated[
        Path, typer.Argument(metavar="DST", help="A directory that does not exist yet.")
    ],
    to: Annotated[
        str | None,
        typer.Option(
            help="released, native or llava-onevision; default: the other one of the first two."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Convert between the official release's layout, ours, and transformers' LlavaOnevision.

    Weights are copied as they are, without loading a model. What another layout would lose is
    refused, with the reason.
    """
    import json

    done = _convert_with_progress(source, destination, to)
    if as_json:
        typer.echo(json.dumps(done.to_dict(), ensure_ascii=False))
        return
    files = "file" if done.num_files == 1 else "files"
    typer.echo(
        f"{done.source_layout} -> {done.layout}: {done.num_tensors} tensors, "
        f"{done.num_bytes / 1e9:.2f} GB in {done.num_files} {files}, bit for bit"
    )
    typer.echo(done.destination)
    for note in done.notes:
        typer.echo(f"note: {note}", err=True)


def _convert_with_progress(source: str, destination: Path, to: Layout | str | None) -> Conversion:
    from typing import cast

    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    from llava_video.checkpoints.convert import convert_checkpoint

    columns = (TextColumn("converting"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as progress:
        task = progress.add_task("", total=None)
        return convert_checkpoint(
            source,
            destination,
            cast("Layout | None", to),
            on_bytes=lambda done, total: progress.update(task, advance=done, total=total),
        )
