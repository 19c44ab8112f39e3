"""``llava-video tiny``: train the embedded model, and the models of its tables."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from llava_video.cli.startup import keep_libraries_quiet, keys_option, many_imports

app = typer.Typer(
    help="Train the embedded model, and compare models like it.", no_args_is_help=True
)


@app.command()
def train(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[RECIPE] [KEY=VALUE]...",
            help="A recipe's name (tiny by default) or a YAML file, then values to change.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything and train nothing.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="With --dry-run: print the recipe as JSON.")
    ] = False,
    _keys: Annotated[bool, keys_option("tiny.recipe", "TinyRecipe")] = False,
) -> None:
    """Train the embedded model from random weights, or resume its run folder."""
    with many_imports():
        from llava_video.recipes import load_recipe
        from llava_video.tiny.recipe import TinyRecipe
        from llava_video.tiny.train import check_tiny, train_tiny
    keep_libraries_quiet()

    changes = list(words or [])
    name = changes.pop(0) if changes and "=" not in changes[0] else "tiny"
    recipe = load_recipe(TinyRecipe, name, changes)
    if not dry_run:
        typer.echo(f"{train_tiny(recipe)}")
        return
    check_tiny(recipe)
    if as_json:
        typer.echo(recipe.model_dump_json())
    else:
        typer.echo(recipe.to_yaml(), nl=False)


@app.command()
def tables(
    table: Annotated[str, typer.Argument(help="4 or 5.")],
    out: Annotated[Path, typer.Option("--out", help="Keeps the runs, of both tables.")],
    seeds: Annotated[
        list[int] | None,
        typer.Option("--seed", help="A seed of the runs; may be repeated. Default: 0, 1 and 2."),
    ] = None,
    watching_steps: Annotated[
        int | None, typer.Option(min=1, help="Steps, instead of those of the recipes.")
    ] = None,
) -> None:
    """Train the models that Table 4 or 5 compares on toyworld; `eval tables` compares them."""
    from llava_video.errors import InputError

    with many_imports():
        from llava_video.tiny.tables import RECIPES, train_models
    keep_libraries_quiet()

    if table not in RECIPES:
        raise InputError(f"there is no table {table!r} here; use one of {', '.join(RECIPES)}")
    for model in train_models(table, out, seeds or [0, 1, 2], watching_steps=watching_steps):
        typer.echo(model)
    typer.echo(
        f"compare them: llava-video eval tables toyworld-table{table} runs={out} out=DIR", err=True
    )
