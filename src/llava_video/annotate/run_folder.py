"""A run's folder: what is in it, how a run ends, how it is read again.

Its files::

    recipe.yaml       the resolved recipe
    run.json          the videos' common folder
    ledger.sqlite     every call, every video's state
    records.jsonl     one final record per video, rejected ones included
    review/*.jsonl    decisions of reviewers, one file each
    dataset/          the exported dataset, with its card
    batch/            files of the batch API
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from llava_video.annotate.decisions import apply_decisions, read_decisions
from llava_video.annotate.recipe import Recipe, load_recipe
from llava_video.annotate.records import (
    VideoRecord,
    from_json,
    read_records,
    to_json,
    write_records,
)
from llava_video.annotate.steps.filter import compare
from llava_video.annotate.steps.option_order import arrange_choices
from llava_video.annotate.steps.prompts import prompts_digest
from llava_video.calls.ledger import Ledger, SavedVideo, open_ledger
from llava_video.errors import InputError
from llava_video.recipes import RECIPE_FILE
from llava_video.records.files import write_whole
from llava_video.records.json_lines import dump_json

DONE = "done"
FAILED = "failed"
REJECTED = "rejected"
UNSELECTED = "unselected"
WAITING = "waiting"
UNANSWERED = "unanswered"
"""How the work on a video ended: all but `DONE`, `REJECTED` and `UNSELECTED` are resumed."""


_NAMED = ("source", "category", "views")
"""What a manifest says of a video, today's as of today; its path is part of the fingerprint."""


class KeepsVideos(Protocol):
    """The part of a ledger that keeps videos."""

    async def save_video(self, video: SavedVideo) -> None:
        """See `Ledger.save_video`."""
        ...


@dataclass(frozen=True, slots=True)
class Work:
    """The work of an engine.

    Attributes:
        finished: how a video ended and its record, by id.
        todo: position and record of every other one, in input order.
    """

    finished: dict[str, tuple[str, VideoRecord]]
    todo: list[tuple[int, VideoRecord]]


@dataclass(frozen=True, slots=True)
class Run:
    """A run folder that was read.

    Attributes:
        folder: where it is.
        recipe: what it was made with.
        root: the folder that the videos' paths in the dataset are relative to.
        records: the final records, reviewers' decisions not applied.
    """

    folder: Path
    recipe: Recipe
    root: Path
    records: tuple[VideoRecord, ...]

    def reviewed(self) -> list[VideoRecord]:
        """The records after the reviewers' decisions, choices balanced anew."""
        decided = apply_decisions(self.records, read_decisions(self.folder))
        return arrange_choices(decided, self.recipe.seed)


def start_run(folder: Path, recipe: Recipe, root: Path) -> Ledger:
    """Open a run folder and write the recipe and the videos of the run.

    Returns:
        Its ledger, which keeps other runs out until it is closed.

    Raises:
        InputError: the folder cannot be written, holds something else, or another run is at work.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file; give --out a folder")
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if names and not names & {"run.json", "ledger.sqlite.lock"}:
        raise InputError(f"{folder}: is not empty and not a run; give --out a new folder")
    ledger = Ledger(folder / "ledger.sqlite", recipe.max_usd)
    _remember_limit(folder, ledger)
    write_whole(folder / "run.json", dump_json({"version": 1, "root": str(root)}) + "\n")
    recipe.write_to(folder)
    return ledger


def known_ids(folder: Path) -> dict[str, str]:
    """Ids of the videos of a run by `os.path.realpath`; none where there is no run yet."""
    if not (folder / "ledger.sqlite").is_file():
        return {}
    ledger = open_ledger(folder)
    try:
        rows = ledger.query("SELECT json_extract(record, '$.path'), video_id FROM videos")
    finally:
        ledger.close()
    return {os.path.realpath(path): video_id for path, video_id in rows}


def _remember_limit(folder: Path, ledger: Ledger) -> None:
    """Note the limit of answers that earlier calls were made with: their keys may hold it."""
    path = folder / RECIPE_FILE
    if not path.is_file():
        return
    try:
        limit = load_recipe(path).endpoint.max_output_tokens
    except InputError:  # of a version with other keys; usual limits are tried all the same
        return
    ledger.remember_limit_now(limit)


def finish_records(records: Iterable[VideoRecord], recipe: Recipe) -> list[VideoRecord]:
    """The steps that need all videos at once: comparing filters, then the order of choices."""
    return arrange_choices(compare(records, recipe), recipe.seed)


def save_records(records: list[VideoRecord], folder: Path) -> None:
    """Write the final records."""
    write_records(records, folder / "records.jsonl")


def load_run(folder: Path) -> Run:
    """Read a run folder.

    Raises:
        InputError: it is not a run folder, or its run has not ended.
    """
    note = folder / "run.json"
    if not note.is_file():
        raise InputError(
            f"{folder}: no run there; `llava-video annotate run --out {folder}` makes one"
        )
    try:
        root = Path(json.loads(note.read_text(encoding="utf-8"))["root"])
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{note}: does not name the videos' folder; run again into {folder}"
        ) from error
    recipe = load_recipe(folder / RECIPE_FILE)
    return Run(folder, recipe, root, tuple(read_records(folder / "records.jsonl")))


async def split_work(records: list[VideoRecord], recipe: Recipe, ledger: Ledger) -> Work:
    """Which videos are done, by the ledger, and which are not; those not in the input are dropped.

    A video is done if selection rejected it, or if an earlier run ended it with the same file and
    the same choices.
    """
    saved = {video: (end, name, text) for video, end, name, text in ledger.saved_videos()}
    finished: dict[str, tuple[str, VideoRecord]] = {}
    todo: list[tuple[int, VideoRecord]] = []
    for position, record in enumerate(records):
        end, name, text = saved.get(record.video_id, ("", "", ""))
        if record.is_rejected:
            await save_end(ledger, recipe, position, record, UNSELECTED, record)
            finished[record.video_id] = (UNSELECTED, record)
        elif end in (DONE, REJECTED) and name in _work_names(record, recipe):
            named = {name: getattr(record, name) for name in _NAMED}
            finished[record.video_id] = (end, dataclasses.replace(from_json(text), **named))
        else:
            todo.append((position, record))
    ledger.forget_videos({record.video_id for record in records})
    return Work(finished, todo)


async def save_end(
    keeper: KeepsVideos,
    recipe: Recipe,
    position: int,
    record: VideoRecord,
    end: str,
    result: VideoRecord,
) -> None:
    """Save how the work on a video ended, with its fingerprint.

    Args:
        keeper: the ledger, or a remote one.
        recipe: all choices.
        position: the video's place in the input.
        record: the video before the work.
        end: how it ended.
        result: its record then.
    """
    whole, limited = _work_names(record, recipe)
    # A description that was cut off, and that a further try brought whole, is not missing.
    own = len(record.video_id)  # which may say anything
    missing = (r for r in result.rejections if "/try" not in r.subject_id[own:])
    name = limited if any(r.reason == "truncated" for r in missing) else whole
    is_unanswered = end == UNANSWERED
    await keeper.save_video(
        SavedVideo(record.video_id, position, end, name, to_json(result), is_unanswered)
    )


def _work_names(record: VideoRecord, recipe: Recipe) -> tuple[str, str]:
    """Names of the work on a video that is whole, and of one that the limit of answers cut off.

    Only the second is done anew with another limit.
    """
    name = work_fingerprint(record, recipe)
    return name, f"{name}/{recipe.endpoint.max_output_tokens}"


def work_fingerprint(record: VideoRecord, recipe: Recipe) -> str:
    """Fingerprint of the work on a video: its file, and every choice that can change its record."""
    path = Path(record.path)
    stat = path.stat() if path.is_file() else None
    choices = recipe.model_dump(
        mode="json", include={"describe", "captions", "ask", "faithfulness", "blind", "seed"}
    )
    refusal, ratio = recipe.filters.refusal, recipe.filters.max_length_ratio
    endpoint = recipe.endpoint.model_dump(
        mode="json",
        include={"model", "temperature", "seed", "structured", "extra_body"},
    )
    parts = [
        *(record.video_id, record.path, stat and stat.st_size, stat and stat.st_mtime_ns),
        *(choices, endpoint, refusal, ratio, prompts_digest(recipe.prompts)),
    ]
    return hashlib.sha256(dump_json(parts).encode()).hexdigest()[:32]


def finished_records(ledger: Ledger) -> list[VideoRecord]:
    """Every video's record as the ledger keeps it, also of a run that has not ended."""
    return [from_json(text) for _, _, _, text in ledger.saved_videos()]


def redo(folder: Path, names: list[str]) -> int:
    """Have the next run ask everything about videos anew.

    Args:
        folder: of the run.
        names: ids or files of videos.

    Returns:
        How many videos that are.

    Raises:
        InputError: there is no such run or video, or a run is at work.
    """
    open_ledger(folder).close()  # there has to be one
    ledger = Ledger(folder / "ledger.sqlite")
    try:
        known = {record.video_id: record for record in finished_records(ledger)}
        by_path = {record.path: record.video_id for record in known.values()}
        chosen = [name if name in known else by_path.get(name, "") for name in names]
        if "" in chosen:
            name = names[chosen.index("")]
            close = difflib.get_close_matches(name, known, n=3, cutoff=0.3)
            hint = f"; close are {', '.join(close)}" if close else ""
            raise InputError(f"{name}: no video of {folder} has this id{hint}")
        ledger.redo(list(dict.fromkeys(chosen)))
    finally:
        ledger.close()
    return len(set(chosen))


def count_states(ledger: Ledger) -> dict[str, int]:
    """Videos by how they ended."""
    return dict(Counter(end for _, end, _, _ in ledger.saved_videos()))
