"""What several verbs share: quick imports, quiet libraries, the option ``--keys``."""

from __future__ import annotations

import gc
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import typer

_MOST_DEFAULT = 20


@contextmanager
def many_imports() -> Iterator[None]:
    """Import within this without garbage collection.

    Importing torch and transformers creates millions of objects that stay. Looking through them for
    garbage, again and again, takes a sixth to a quarter of the time, and finds nothing.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def keep_libraries_quiet() -> None:
    """Show bars of transformers on a terminal only, and not the warning that peft sets off in it.

    peft asks a model for a property that transformers 5 calls by another name.
    """
    from transformers.utils import logging

    warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is", FutureWarning)
    if not sys.stderr.isatty():
        logging.disable_progress_bar()


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
