"""Checks before a run, the same for every engine: nothing has been measured or sent yet."""

from __future__ import annotations

from llava_video.annotate.recipe import Recipe
from llava_video.annotate.records import VideoRecord
from llava_video.annotate.steps.filter import check_filters
from llava_video.annotate.videos.discover import find_videos
from llava_video.calls.make_annotator import check_endpoint
from llava_video.calls.pricing import load_prices
from llava_video.errors import InputError


def check_run(names: list[str], recipe: Recipe, *, is_sent: bool = True) -> list[VideoRecord]:
    """Check a run; returns its videos.

    Args:
        names: files, folders, globs, manifests.
        recipe: all choices.
        is_sent: whether calls go to the endpoint now, and not into files.

    Raises:
        InputError: a limit without prices, a benchmark file or an embedding model that is not
            there, no video, or an endpoint without a key or an address.
    """
    check_budget(recipe)
    check_filters(recipe.filters)
    records = find_videos(names)
    if is_sent:
        check_endpoint(recipe.endpoint)
    return records


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
    reasons: dict[str, int] = {}
    for record in records:
        reason = record.rejections[-1].reason
        reasons[reason] = reasons.get(reason, 0) + 1
    counted = ", ".join(f"{reason} {number}" for reason, number in sorted(reasons.items()))
    only = next(iter(records)).rejections[-1].detail if len(records) == 1 else ""
    raise InputError(
        f"none of {len(records)} videos was selected ({counted}{': ' + only if only else ''}); "
        "--recipe open takes every readable video, or change the limits in a recipe of your own"
    )
