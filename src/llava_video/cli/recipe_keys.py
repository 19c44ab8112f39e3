"""``--keys``: what a recipe holds, the same for every verb that takes one."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import typer

_MOST_DEFAULT = 20


def keys_option(module: str, kind: str) -> Any:
    """An option that lists every key of a kind of recipe and ends the command.

    Args:
        module: where the kind is, imported only when the option is given.
        kind: its name there.
    """

    def list_and_exit(wanted: bool) -> None:
        if not wanted:
            return
        from llava_video.pages.blocks import Table
        from llava_video.pages.terminal import show
        from llava_video.recipes import bundled_recipes, list_keys

        found = getattr(import_module(f"llava_video.{module}"), kind)
        rows = [
            (key.name, _cut(key.default), f"{key.explanation} ({key.type})")
            for key in list_keys(found)
        ]
        show(
            "recipes in the package: " + ", ".join(bundled_recipes(found)),
            Table(("key", "default", ""), rows),
            "Write key=value behind the recipe to change one, key= for no value; lists and "
            "mappings are YAML.",
        )
        raise typer.Exit

    return typer.Option(
        "--keys",
        callback=list_and_exit,
        is_eager=True,
        help="List every key of a recipe with its type, its default and what it is.",
    )


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_DEFAULT else f"{text[: _MOST_DEFAULT - 1]}…"
