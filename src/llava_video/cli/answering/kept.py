"""``llava-video ps`` and ``stop``: the models that are kept ready."""

from __future__ import annotations

import json
from typing import Annotated

import typer


def list_command(
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list.")] = False,
) -> None:
    """List the models that `ask --keep` and `chat --keep` left ready."""
    from llava_video.budget.units import size_text
    from llava_video.chat.keep.status import kept_models
    from llava_video.pages.blocks import Table
    from llava_video.pages.terminal import show

    models = kept_models()
    if as_json:
        typer.echo(json.dumps([model.to_dict() for model in models], ensure_ascii=False))
    elif not models:
        typer.echo("no model is kept ready")
    else:
        rows = [
            (
                model.model,
                model.device or model.wanted_device,
                str(model.pid),
                size_text(model.held_bytes),
                model.state,
            )
            for model in models
        ]
        show(Table(("model", "device", "process", "holds", "state"), rows, "llrrl"))


def stop_command(
    model: Annotated[
        str | None, typer.Argument(help="Its name or directory; default: all that are kept.")
    ] = None,
) -> None:
    """End kept models at once, answers on their way too."""
    from llava_video.chat.keep.place import model_name_of
    from llava_video.chat.keep.start import stop
    from llava_video.chat.keep.status import kept_models
    from llava_video.errors import InputError

    wanted = None if model is None else model_name_of(model)
    found = [kept for kept in kept_models() if wanted in (None, kept.model)]
    if not found and model is not None:
        raise InputError(f"{model}: is not kept ready; `llava-video ps` lists the models that are")
    for kept in found:
        stop(kept.place)
        typer.echo(f"{kept.model}: is not kept any more")
    if not found:
        typer.echo("no model is kept ready")
