"""What history is worth: a video described with and without it, side by side (Figure 2)."""

from __future__ import annotations

import asyncio
import html
from pathlib import Path
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from llava_video.annotate.preflight import check_budget
from llava_video.annotate.recipe import Recipe, Selection, make_recipe
from llava_video.annotate.records import Caption, VideoRecord
from llava_video.annotate.run_folder import start_run
from llava_video.annotate.steps.context import Tools
from llava_video.annotate.steps.describe import describe
from llava_video.annotate.videos.discover import common_folder, find_videos
from llava_video.annotate.videos.frames import pictures_spread
from llava_video.annotate.videos.select import measure
from llava_video.annotate.views.console import harmless
from llava_video.calls.caller import Caller
from llava_video.calls.ledger import Ledger
from llava_video.calls.make_annotator import check_endpoint, make_annotator
from llava_video.calls.pricing import load_prices
from llava_video.errors import InputError
from llava_video.records.files import write_whole

SETTINGS = ("all_unsummarised", "none")
_NUM_FRAMES = 8
_NO_LIMITS = Selection(
    over_scenes=None, max_scenes_per_second=None, drop_near_duplicates=False, min_seconds=0
)


def compare(video: str, recipe: Recipe, folder: Path) -> dict[str, Any]:
    """Describe a video with history and without; both cost calls, which the ledger keeps.

    Returns:
        The level-1 and level-3 texts of both, as plain values; ``page`` is the HTML file.
    """
    check_budget(recipe)
    check_endpoint(recipe.endpoint)
    records = find_videos([video])
    if len(records) != 1:
        raise InputError(f"{video}: {len(records)} videos there; name one")
    record = measure(records[0], _NO_LIMITS)
    if record.is_rejected:
        raise InputError(f"{video}: {record.rejections[0].detail}")
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
    write_whole(page, _page(record, rows, recipe))
    return {"video": record.video_id, "rows": rows, "page": str(page)}


async def _describe_both(
    record: VideoRecord, recipe: Recipe, ledger: Ledger
) -> tuple[VideoRecord, VideoRecord]:
    annotator = make_annotator(recipe.endpoint)
    caller = Caller(annotator, ledger, recipe.endpoint, load_prices(recipe.endpoint.prices_file))
    try:
        results = []
        for setting in SETTINGS:
            values = recipe.model_dump()
            values["describe"]["history"] = setting
            results.append(await describe(record, Tools(make_recipe(values), caller)))
    finally:
        await annotator.aclose()
        await ledger.aclose()
    return results[0], results[1]


def _shown(record: VideoRecord) -> list[Caption]:
    return [caption for caption in record.captions if caption.level != 2]


def history_screen(found: dict[str, Any]) -> RenderableType:
    """The comparison as a table."""
    table = Table("span", "with history", "without history", show_lines=True)
    for row in found["rows"]:
        name = "whole video" if row["level"] == 3 else row["span"]
        texts = (harmless(row[side]) for side in ("with_history", "without_history"))
        table.add_row(name, *map(Text, texts))
    table.caption = found["page"]
    return table


def _page(record: VideoRecord, rows: list[dict[str, Any]], recipe: Recipe) -> str:
    assert record.facts is not None
    pictures = pictures_spread(record.path, _NUM_FRAMES, record.facts, recipe.describe)
    figures = "".join(
        f'<figure><img src="{picture.data_url()}" alt="frame"><figcaption>{picture.seconds:.1f} s'
        "</figcaption></figure>"
        for picture in pictures
    )
    name = html.escape(record.video_id)
    cells = "\n".join(
        f"<tr><th>{'whole video' if row['level'] == 3 else row['span']}</th>"
        f"<td>{html.escape(row['with_history'])}</td>"
        f"<td>{html.escape(row['without_history'])}</td></tr>"
        for row in rows
    )
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>History: {name}</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem }}
table {{ border-collapse: collapse; width: 100% }}
th, td {{ border: 1px solid #ccc; padding: .5rem; text-align: left; vertical-align: top }}
th {{ white-space: nowrap; font-weight: 600 }} h1 {{ font-size: 1.5rem }}
.frames {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(7rem, 1fr)); gap: .4rem }}
figure {{ margin: 0 }} img {{ width: 100% }} figcaption {{ color: #5b6675; font-size: .8rem }}
</style>
<h1>{name}: descriptions with and without history</h1>
<div class="frames">{figures}</div>
<p>With history, each clip's description was written with those before it at hand; without, from
its frames alone. The description of the whole video is made of them in the same way.</p>
<table><tr><th>span</th><th>with history</th><th>without history</th></tr>
{cells}
</table></html>
"""
