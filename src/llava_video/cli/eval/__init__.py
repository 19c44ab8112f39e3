"""``llava-video eval``: benchmarks, what is wrong with their files, and what their scores mean."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup

from llava_video.cli.eval import compare, doctor, rescore, run, tables


class _RunByDefault(TyperGroup):
    """``eval TASK`` is ``eval run TASK``."""

    default = "run"

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in (*self.commands, "--help"):
            args = [self.default, *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    help="Evaluate models on benchmarks: `eval TASK...`, or one of the commands below.",
    no_args_is_help=True,
    cls=_RunByDefault,
)
app.command("run")(run.command)
app.command("doctor")(doctor.command)
app.command("rescore")(rescore.command)
app.command("compare")(compare.command)
app.command("tables")(tables.command)
