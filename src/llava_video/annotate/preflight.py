"""Checks before a run, the same for every engine: nothing has been measured or sent yet."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from llava_video.annotate.recipe import Recipe
from llava_video.annotate.records import VideoRecord
from llava_video.annotate.run_folder import known_ids
from llava_video.annotate.steps.ask import instructions, type_groups
from llava_video.annotate.steps.filter import check_filters
from llava_video.annotate.steps.prompts import PROMPTS, load_prompt, question_types
from llava_video.annotate.videos.discover import find_videos
from llava_video.calls.make_annotator import check_endpoint
from llava_video.calls.pricing import load_prices
from llava_video.errors import InputError
from llava_video.recipes import nearest


def check_run(
    names: list[str], recipe: Recipe, folder: Path | None = None, *, is_sent: bool = True
) -> list[VideoRecord]:
    """Check a run; returns its videos.

    Args:
        names: files, folders, globs, manifests.
        recipe: all choices.
        folder: of the run; videos that it has keep their ids, though others join them.
        is_sent: whether calls go to the endpoint now, and not into files.

    Raises:
        InputError: a limit without prices, a benchmark file or an embedding model that is not
            there, no video, or an endpoint without a key or an address.
    """
    check_recipe(recipe, is_sent=False)
    records = find_videos(names, {} if folder is None else known_ids(folder))
    if is_sent:
        check_endpoint(recipe.endpoint)
    return records


def check_recipe(recipe: Recipe, *, is_sent: bool = True) -> None:
    """The part of `check_run` that needs no videos."""
    check_budget(recipe)
    check_filters(recipe.filters)
    check_prompts(recipe)
    if is_sent:
        check_endpoint(recipe.endpoint)


def check_prompts(recipe: Recipe) -> None:
    """Read every prompt and question type that the recipe uses.

    Raises:
        InputError: a file of its folder cannot be used, or none of them has a name that is read.
    """
    question_types(recipe.prompts)
    for kind in recipe.ask.kinds:
        for types in type_groups(recipe.ask):
            instructions(kind, types, recipe.ask, recipe.prompts)
    for name in ("level1", "level2", "level3", "faithfulness", "blind"):
        load_prompt(name, recipe.prompts)
    if recipe.prompts is not None:
        known = {f"{name}.md" for name in PROMPTS}
        unread = sorted(p.name for p in Path(recipe.prompts).glob("*.md") if p.name not in known)
        if unread:
            raise InputError(
                f"{recipe.prompts}/{unread[0]}: no prompt has this name{nearest(unread[0], known)}"
            )


def check_budget(recipe: Recipe) -> None:
    """A limit in dollars needs the prices of all models.

    Raises:
        InputError: there is a limit, and a model without a price.
    """
    prices = load_prices(recipe.endpoint.prices_file)
    models = [recipe.endpoint.model]
    models += [c.model for c in (recipe.faithfulness, recipe.blind) if c.enabled and c.model]
    for model in models:
        if recipe.max_usd is not None and not prices.of(model).is_known:
            raise InputError(
                f"--max-usd needs a price of {model}; the table of {prices.date} has none; give "
                "endpoint.prices_file (see docs/data-engine.md) or leave --max-usd out"
            )


def check_any_selected(records: list[VideoRecord]) -> None:
    """Refuse a run that selection leaves empty.

    Raises:
        InputError: every video was rejected; the reasons are counted.
    """
    if any(not record.is_rejected for record in records):
        return
    reasons = Counter(record.rejections[-1].reason for record in records)
    counted = ", ".join(f"{reason} {number}" for reason, number in sorted(reasons.items()))
    only = next(iter(records)).rejections[-1].detail if len(records) == 1 else ""
    raise InputError(
        f"none of {len(records)} videos was selected ({counted}{': ' + only if only else ''}); "
        "--recipe open takes every readable video, or change the limits in a recipe of your own"
    )
