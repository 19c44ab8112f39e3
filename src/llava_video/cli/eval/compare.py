"""``llava-video eval compare``: two runs on the same questions."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from llava_video.cli.eval.common import AsJson


def command(
    first: Annotated[Path, typer.Argument(help="Folder of a run.")],
    second: Annotated[Path, typer.Argument(help="Folder of another run.")],
    *,
    page: Annotated[
        Path | None, typer.Option(help="The page to write. [default: compare.html in the second]")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """The paired difference of two runs, and the questions that changed."""
    from llava_video.evaluate.compare import compare, write_page
    from llava_video.pages.terminal import show

    found = compare(first, second)
    path = page or second / "compare.html"
    write_page(found, first, second, path)
    if as_json:
        plain = [
            {
                "task": each.task,
                "paired": asdict(each.paired),
                "differing_share": each.paired.differing_share,
            }
            for each in found
        ]
        typer.echo(json.dumps(plain))
    else:
        for each in found:
            show(each.in_words(), each.power_in_words())
    typer.echo(f"page: {path}", err=True)
