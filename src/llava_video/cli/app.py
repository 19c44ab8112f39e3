"""The command line: one module per verb. They import what is heavy only when they run."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from llava_video import __version__
from llava_video.cli import (
    annotate,
    convert,
    doctor,
    eval,
    frames,
    merge,
    models,
    plan,
    presets,
    tiny,
    tokens,
    toyworld,
    train,
)
from llava_video.cli.answering import ask, chat, kept
from llava_video.cli.planning import training
from llava_video.cli.serving import serve
from llava_video.errors import LlavaVideoError, install

EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130

app = typer.Typer(
    name="llava-video",
    help="Ask questions about videos, and see what the model saw.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("ask")(ask.command)
app.command("chat")(chat.command)
app.command("ps")(kept.list_command)
app.command("stop")(kept.stop_command)
app.command("serve")(serve.command)
app.command("frames")(frames.command)
app.command("tokens")(tokens.command)
app.command("presets")(presets.command)
app.command("convert")(convert.command)
app.command("plan")(plan.command)
app.command("plan-training")(training.command)
app.command("doctor")(doctor.command)
app.command("train")(train.command)
app.command("merge")(merge.command)
app.add_typer(models.app, name="models")
app.add_typer(tiny.app, name="tiny")
app.add_typer(toyworld.app, name="toyworld")
app.add_typer(annotate.app, name="annotate")
app.add_typer(eval.app, name="eval")

_EXTRAS = {
    "annotate": "annotate",
    "train": "train",
    "plan-training": "train",
    "merge": "train",
    "tiny": "train",
    "eval": "evaluate",
    "serve": "serve",
}
"""What has to be installed for a command, beside the package itself."""


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"llava-video {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    _debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors.")] = False,
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Options of all commands; `main` reads ``--debug`` before this is called."""


def main() -> None:
    """Run the command line: errors that are meant for the user become one line and exit code 2."""
    debug = "--debug" in sys.argv
    sys.argv = [word for word in sys.argv if word != "--debug"]
    try:
        app()
    except LlavaVideoError as error:
        if debug:
            raise
        typer.echo(f"llava-video: {error}", err=True)
        sys.exit(EXIT_BAD_INPUT)
    except ModuleNotFoundError as error:
        extra = next((_EXTRAS[word] for word in sys.argv[1:2] if word in _EXTRAS), None)
        if debug or extra is None or str(error.name).startswith("llava_video"):
            raise
        typer.echo(f"llava-video: {sys.argv[1]} needs {error.name}; {install(extra)}", err=True)
        sys.exit(EXIT_BAD_INPUT)
    except KeyboardInterrupt:
        typer.echo("interrupted", err=True)
        sys.exit(EXIT_INTERRUPTED)
    except BrokenPipeError:
        os.dup2(
            os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
        )  # a closed pipe is not an error
