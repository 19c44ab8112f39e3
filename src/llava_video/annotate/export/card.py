"""The dataset card: Markdown beside the exported files, with one worked example."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path

from llava_video.annotate.export.conversations import answer_text, question_text
from llava_video.annotate.export.statistics import (
    TABLE3,
    TABLE3_HEAD,
    Statistics,
    count,
    table3_row,
)
from llava_video.annotate.recipe import Recipe
from llava_video.annotate.records import VideoRecord
from llava_video.annotate.steps.prompts import titles
from llava_video.annotate.videos.frames import pictures_spread
from llava_video.calls.ledger import Ledger
from llava_video.calls.messages import Picture
from llava_video.calls.totals import Totals
from llava_video.errors import VideoError
from llava_video.pages.blocks import Table
from llava_video.pages.markdown import escape, to_markdown
from llava_video.records.files import write_whole
from llava_video.records.question_types import QUESTION_TYPES

_EXAMPLE_FRAMES = 4
_NO_LICENSE = (
    "not stated (`export.license` of the recipe names one); the licences of the videos and the "
    "terms of the annotator hold besides"
)


def write_card(
    records: list[VideoRecord], recipe: Recipe, ledger: Ledger, folder: Path
) -> list[Path]:
    """Write ``README.md`` and the example's frames into the dataset's folder, and name them.

    Args:
        records: final records.
        recipe: what they were made with.
        ledger: for the cost.
        folder: where the dataset is.
    """
    found = count(records)
    model = recipe.endpoint.model
    example, pictures = _example(records, recipe, folder)
    sections = [
        _overview(found, recipe, ledger),
        _types(found, recipe.prompts),
        _table3(found, model),
        _distributions(found),
        _waterfall(found),
        _prompts(records),
        example,
    ]
    path = folder / "README.md"
    write_whole(path, "\n\n".join(sections) + "\n")
    return [path, *pictures]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return to_markdown(Table(head, rows))


def _overview(found: Statistics, recipe: Recipe, ledger: Ledger) -> str:
    named = {"faithfulness checked": recipe.faithfulness, "blind filter": recipe.blind}
    checks = [(name, check) for name, check in named.items() if check.enabled]
    rows = [
        ("videos", f"{found.num_kept} of {found.num_videos}"),
        ("hours", f"{found.total_seconds / 3600:.3f}"),
        ("descriptions", str(found.num_captions)),
        ("open-ended questions", str(found.num_open_ended)),
        ("multiple-choice questions", str(found.num_multi_choice)),
        ("right letters", ", ".join(f"{k}: {v}" for k, v in found.letters.items()) or "-"),
        ("right choice is the longest", f"{100 * found.longest_right_share:.1f} %"),
        ("annotator", recipe.endpoint.model),
        *((f"{name} by", check.model or recipe.endpoint.model) for name, check in checks),
        ("history", recipe.describe.history),
        ("question mode", recipe.ask.mode),
        ("seed", str(recipe.seed)),
        ("cost of the calls behind it", _cost(ledger.totals())),
        *_thoughts(ledger.totals()),
        ("licence", recipe.export.license or _NO_LICENSE),
    ]
    if found.num_without_questions:
        rows.append(("videos without any question", str(found.num_without_questions)))
    return "# Dataset\n\n" + _table(("what", "value"), rows)


def _cost(totals: Totals) -> str:
    text = f"${totals.usd:.4f}"
    if totals.num_estimated:
        text += f", of which ${totals.estimated_usd:.4f} estimated (answers without a usage)"
    return text


def _thoughts(totals: Totals) -> list[tuple[str, str]]:
    number = totals.num_with_thoughts
    return [("answers whose thoughts were cut off", str(number))] if number else []


def _types(found: Statistics, folder: str | None) -> str:
    total = sum(found.types.values()) or 1
    paper = {own.slug: f"{own.paper_percent} %" for own in QUESTION_TYPES}
    names = titles(folder)
    rows = [
        (
            names.get(slug, slug),
            str(found.types.get(slug, 0)),
            f"{100 * found.types.get(slug, 0) / total:.1f} %",
            paper.get(slug, "-"),
        )
        for slug in dict.fromkeys((*paper, *sorted(found.types)))
    ]
    return "## Question types\n\n" + _table(("type", "questions", "here", "LLaVA-Video-178K"), rows)


def _table3(found: Statistics, model: str) -> str:
    rows = [table3_row("**this dataset**", model, found), *reversed(TABLE3)]
    return "## Beside other datasets (the paper's Table 3)\n\n" + _table(TABLE3_HEAD, rows)


def _distributions(found: Statistics) -> str:
    rows = [
        ("video seconds", *_spread(found.durations)),
        ("description words", *_spread(found.caption_words)),
        ("open-ended answer words", *_spread(found.answer_words)),
    ]
    return "## Lengths\n\n" + _table(("what", "least", "median", "mean", "most"), rows)


def _spread(values: tuple[float, ...] | tuple[int, ...]) -> tuple[str, ...]:
    if not values:
        return ("-",) * 4
    middle, mean = statistics.median(values), statistics.fmean(values)
    return tuple(f"{value:.1f}" for value in (min(values), middle, mean, max(values)))


def _waterfall(found: Statistics) -> str:
    rows = [(stage, reason, str(n)) for (stage, reason), n in found.waterfall.items()]
    return "## What was left out\n\n" + _table(("step", "reason", "count"), rows)


def _prompts(records: list[VideoRecord]) -> str:
    """The prompts behind the dataset, filled with all but what comes of a video."""
    origins = [caption.provenance for record in records for caption in record.captions]
    origins += [qa.provenance for record in records for qa in record.qas]
    versions = sorted({origin.prompt for origin in origins})
    rows = [(name, digest) for name, _, digest in (v.partition("@") for v in versions)]
    return "## Prompts\n\n" + _table(("prompt", "content hash"), rows)


def find_example(records: list[VideoRecord]) -> VideoRecord | None:
    """The first video that has a description and both kinds of questions."""
    kept = [r for r in records if r.description is not None and not r.is_rejected]
    full = [r for r in kept if {qa.kind for qa in r.qas} == {"open_ended", "multi_choice"}]
    return next(iter(full or kept), None)


def example_pictures(record: VideoRecord, recipe: Recipe) -> tuple[list[Picture], str]:
    """Frames of an example, or why there are none: the videos may have moved."""
    assert record.facts is not None
    try:
        found = pictures_spread(record.path, _EXAMPLE_FRAMES, record.facts, recipe.describe)
    except (VideoError, OSError) as error:
        return [], f"Its frames cannot be shown: {record.in_words(error)}"
    return found, ""


def _example(records: list[VideoRecord], recipe: Recipe, folder: Path) -> tuple[str, list[Path]]:
    record = find_example(records)
    if record is None or record.facts is None or record.description is None:
        return "## Example\n\nNo video was kept.", []
    pictures, why_not = example_pictures(record, recipe)
    images, paths = [escape(why_not)] * bool(why_not), []
    for number, picture in enumerate(pictures):
        name = f"example/frame_{number}.jpg"
        paths.append(folder / name)
        write_whole(folder / name, picture.jpeg)
        images.append(f"![{picture.seconds:.1f} s]({name})")
    lines = [
        f"## Example: {escape(record.video_id)}",
        " ".join(images),
        f"> {escape(record.description.text)}",
    ]
    for kind in ("open_ended", "multi_choice"):
        qa = next((qa for qa in record.qas if qa.kind == kind), None)
        if qa is not None:
            question = escape(question_text(qa, recipe.seed)).replace("\n", "  \n")
            lines.append(f"**{question}**\n\n{escape(answer_text(qa, recipe.seed))}")
    return "\n\n".join(lines), paths
