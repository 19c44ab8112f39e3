"""What is checked before anything is sent: the budget, and that something was selected."""

from __future__ import annotations

from llava_video.annotate.recipe import Recipe
from llava_video.annotate.records import VideoRecord
from llava_video.calls.pricing import load_prices
from llava_video.errors import InputError


def check_budget(recipe: Recipe) -> None:
    """A limit in dollars needs prices to be kept.

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
