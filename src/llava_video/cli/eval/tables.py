"""``llava-video eval tables``: Tables 4 and 5 on any checkpoint and task."""

from __future__ import annotations

from typing import Annotated

import typer

from llava_video.cli.startup import keep_libraries_quiet, keys_option, many_imports


def command(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="RECIPE [KEY=VALUE]...",
            help="A recipe's name, such as table4 or tiny-table5, or a YAML file; then changes.",
        ),
    ],
    _keys: Annotated[bool, keys_option("evaluate.table_recipe", "TableRecipe")] = False,
) -> None:
    """Compare representations and numbers of frames: a table, a CSV and a page with plots."""
    with many_imports():
        from llava_video.evaluate.table_recipe import TableRecipe
        from llava_video.evaluate.tables import as_table, by_type, make_tables, power_in_words
        from llava_video.pages.terminal import show
        from llava_video.recipes import load_recipe
    keep_libraries_quiet()

    recipe = load_recipe(TableRecipe, words[0], words[1:])
    lines = make_tables(recipe, notice=lambda text: typer.echo(text, err=True))
    show(as_table(recipe, lines), by_type(lines), *power_in_words(lines))
    typer.echo(f"page: {recipe.out / 'table.html'}", err=True)
