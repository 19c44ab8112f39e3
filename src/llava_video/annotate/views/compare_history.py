"""The effect of history: a video described with and without it, side by side (Figure 2)."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from llava_video.annotate.preflight import check_run
from llava_video.annotate.recipe import Recipe, Selection
from llava_video.annotate.records import Caption, VideoRecord
from llava_video.annotate.run_folder import start_run
from llava_video.annotate.steps.context import StepContext
from llava_video.annotate.steps.describe import describe
from llava_video.annotate.videos.discover import common_folder
from llava_video.annotate.videos.frames import pictures_spread
from llava_video.annotate.videos.select import measure
from llava_video.annotate.views.report import frames_shown
from llava_video.calls.caller import open_caller
from llava_video.calls.ledger import Ledger
from llava_video.errors import InputError
from llava_video.pages.blocks import Page, Table, Text
from llava_video.pages.html import to_html
from llava_video.records.files import write_whole

SETTINGS = ("all_unsummarised", "none")
_NUM_FRAMES = 8
_NO_LIMITS = Selection(
    over_scenes=None, max_scenes_per_second=None, drop_near_duplicates=False, min_seconds=0
)


def compare(videos: list[str], recipe: Recipe, folder: Path) -> dict[str, Any]:
    """Describe a video with history and without; both cost calls, which the ledger keeps.

    Returns:
        The level-1 and level-3 texts of both, as plain values; ``page`` is the HTML file.
    """
    records = check_run(videos, recipe)
    if len(records) != 1:
        raise InputError(f"{', '.join(videos)}: {len(records)} videos there; name one")
    record = measure(records[0], _NO_LIMITS)
    if record.is_rejected:
        raise InputError(f"{videos[0]}: {record.rejections[0].detail}")
    if (folder / "run.json").is_file():  # of a run, whose recipe and videos stay its own
        ledger = Ledger(folder / "ledger.sqlite", recipe.max_usd)
    else:
        ledger = start_run(folder, recipe, common_folder(records))
    with_history, without = asyncio.run(_describe_both(record, recipe, ledger))
    rows = [
        {
            "span": f"{a.start_seconds:g} to {a.end_seconds:g} s",
            "level": a.level,
            "with_history": a.text,
            "without_history": b.text,
        }
        for a, b in zip(_shown(with_history), _shown(without), strict=True)
    ]
    page = folder / "history.html"
    found = {"video": record.video_id, "rows": rows, "page": str(page)}
    write_whole(page, to_html(_page(record, found, recipe)))
    return found


async def _describe_both(
    record: VideoRecord, recipe: Recipe, ledger: Ledger
) -> tuple[VideoRecord, VideoRecord]:
    results = []
    try:
        async with open_caller(recipe.endpoint, ledger) as caller:
            for setting in SETTINGS:
                rules = recipe.describe.model_copy(update={"history": setting})
                own = recipe.model_copy(update={"describe": rules})
                results.append(await describe(record, StepContext(own, caller)))
    finally:
        await ledger.aclose()
    return results[0], results[1]


def _shown(record: VideoRecord) -> list[Caption]:
    return [caption for caption in record.captions if caption.level != 2]


def history_table(found: dict[str, Any]) -> Table:
    """The comparison, side by side."""
    rows = [
        (
            "whole video" if row["level"] == 3 else row["span"],
            row["with_history"],
            row["without_history"],
        )
        for row in found["rows"]
    ]
    return Table(("span", "with history", "without history"), rows)


def _page(record: VideoRecord, found: dict[str, Any], recipe: Recipe) -> Page:
    assert record.facts is not None
    pictures = pictures_spread(record.path, _NUM_FRAMES, record.facts, recipe.describe)
    return Page(
        f"{record.video_id}: descriptions with and without history",
        [
            frames_shown(pictures),
            Text(
                "With history, each clip's description was written with those before it at hand; "
                "without, from its frames alone. The description of the whole video is made of "
                "them in the same way."
            ),
            history_table(found),
        ],
        [],
    )
