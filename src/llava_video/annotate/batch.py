"""OpenAI Batch files: the same pipeline, with calls written to files and read back in waves.

A wave is all calls that can be made now. Level 1 waits for the level 1 before it, so describing
takes as many waves as a video has descriptions; questions take one. Between waves the user
uploads the files to the batch API and downloads its output files: half the price, no rate limits.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import math
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, field_validator
from rich.console import Console

from llava_video.annotate.engines.local import annotate_all
from llava_video.annotate.engines.progress import Progress
from llava_video.annotate.preflight import check_any_selected, check_run
from llava_video.annotate.recipe import Recipe, load_recipe
from llava_video.annotate.records import VideoRecord
from llava_video.annotate.run_folder import finish_records, save_records, start_run
from llava_video.annotate.steps.context import WaitingError
from llava_video.annotate.videos.discover import common_folder
from llava_video.annotate.videos.select import select_videos
from llava_video.calls.caller import call_info, find_answer, used_tokens
from llava_video.calls.completion import read_completion
from llava_video.calls.ledger import CallInfo, Ledger, open_ledger
from llava_video.calls.messages import Reply, Request
from llava_video.calls.pricing import PriceTable, load_prices
from llava_video.errors import BudgetError, InputError
from llava_video.recipes import RECIPE_FILE
from llava_video.records.files import write_whole, writing
from llava_video.records.json_lines import dump_json

MAX_FILE_BYTES = 200_000_000
MAX_FILE_REQUESTS = 50_000
_MOST_DETAIL = 2000


class _Response(BaseModel):
    status_code: int | None = None
    body: Any = None


class _Row(BaseModel):
    """A line of a batch's output file or error file."""

    custom_id: str
    response: _Response = _Response()
    error: Any = None

    @field_validator("response", mode="before")
    @classmethod
    def _none_is_empty(cls, value: Any) -> Any:
        return value or {}


@dataclass(frozen=True, slots=True)
class Note:
    """A call in a wave.

    Attributes:
        info: for the ledger.
        num_attempts: that were made before.
        custom_id: names it in the files that come back.
    """

    info: CallInfo
    num_attempts: int
    custom_id: str

    def to_json(self) -> str:
        """A line of a ``.calls`` file."""
        own = {"num_attempts": self.num_attempts, "custom_id": self.custom_id}
        return dump_json(dataclasses.asdict(self.info) | own)

    @classmethod
    def from_json(cls, line: str) -> Note:
        """The note of a line."""
        values = json.loads(line)
        if "video_id" in values:  # as version 0.1 wrote them
            values["item_id"] = values.pop("video_id")
        num_attempts = values.pop("num_attempts", 0)
        custom_id = values.pop("custom_id", values["key"])
        return cls(CallInfo(**values), num_attempts, custom_id)


class Wave:
    """Files of requests below the API's limits; none exists before `finish`.

    Args:
        folder: of the files; those of earlier waves stay.
        max_bytes: of one file.
        max_requests: in one file.
    """

    def __init__(
        self,
        folder: Path,
        max_bytes: int = MAX_FILE_BYTES,
        max_requests: int = MAX_FILE_REQUESTS,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._limits = (max_bytes, max_requests)
        earlier = (int(p.stem.removeprefix("wave")) for p in folder.glob("wave*.calls"))
        self._first = 1 + max(earlier, default=-1)
        self._notes: list[list[str]] = []
        self._num_bytes = 0
        self._files = ExitStack()
        self._unfinished = folder

    def add(self, line: bytes, note: Note) -> None:
        """Append a request to the last file, or to a new one where it would get too large."""
        max_bytes, max_requests = self._limits
        if (
            not self._notes
            or self._num_bytes + len(line) > max_bytes
            or len(self._notes[-1]) >= max_requests
        ):
            path = self._path(len(self._notes))
            self._unfinished = self._files.enter_context(writing(path))
            self._notes.append([])
            self._num_bytes = 0
        self._notes[-1].append(note.to_json())
        self._num_bytes += len(line)
        with self._unfinished.open("ab") as file:
            file.write(line)

    def finish(self) -> list[Path]:
        """The files, each with the notes that `read_results` needs beside it."""
        paths = [self._path(number) for number in range(len(self._notes))]
        for path, notes in zip(paths, self._notes, strict=True):
            write_whole(path.with_suffix(".calls"), "\n".join(notes) + "\n")
        self._files.close()
        return paths

    def _path(self, number: int) -> Path:
        return self._folder / f"wave{self._first + number:04d}.jsonl"


class BatchCaller:
    """Answers from the ledger; other requests are written into the wave.

    Args:
        ledger: the answers so far.
        recipe: of the run, with the budget.
        wave: to which requests are written.
    """

    def __init__(self, ledger: Ledger, recipe: Recipe, wave: Wave) -> None:
        self._ledger = ledger
        self._prices = load_prices(recipe.endpoint.prices_file)
        self._wave = wave
        field = recipe.endpoint.limit_field
        self._limit_field = "max_completion_tokens" if field == "auto" else field
        self._seen: set[str] = set()
        totals = ledger.totals()
        self._usd_left = math.inf
        if recipe.max_usd is not None:
            self._usd_left = recipe.max_usd - totals.usd - totals.unknown_usd
        self.num_over_budget = 0

    async def call(self, request: Request) -> Reply:
        """The answer, once a batch has brought it.

        Raises:
            WaitingError: it has not; the request joins the wave, if the budget holds it.
        """
        found, key = await find_answer(self._ledger, request)
        if found is not None:
            return found
        if key not in self._seen:
            self._seen.add(key)
            info = call_info(request, key, self._prices.of(request.model))
            info = dataclasses.replace(info, upper_usd=info.upper_usd * self._prices.batch_discount)
            if info.upper_usd > self._usd_left:
                self.num_over_budget += 1
            else:
                self._usd_left -= info.upper_usd
                number = _num_attempts(self._ledger, key)
                note = Note(info, number, f"{key}-{number}")
                self._wave.add(await asyncio.to_thread(self._line, request, note), note)
        raise WaitingError(f"{request.item_id}: waits for a batch")

    def _line(self, request: Request, note: Note) -> bytes:
        url = "/v1/chat/completions"
        line = {
            "custom_id": note.custom_id,
            "method": "POST",
            "url": url,
            "body": request.body(self._limit_field),
        }
        return (dump_json(line) + "\n").encode()


def write_wave(names: list[str], recipe: Recipe, folder: Path) -> list[Path]:
    """Write the next wave's files into ``folder/batch``; none are left when the run is complete.

    Each file stays below the API's 200 MB and 50,000 requests. When no call waits, the
    records are finished, as at the end of a run.

    Raises:
        InputError: the wave before was not read back.
        BudgetError: calls wait, and none fits into the budget.
    """
    records = check_run(names, recipe, folder, is_sent=False)
    return asyncio.run(_write_wave(folder, recipe, records))


async def _write_wave(folder: Path, recipe: Recipe, records: list[VideoRecord]) -> list[Path]:
    ledger = start_run(folder, recipe, common_folder(records))
    batch = folder / "batch"
    try:
        _check_all_read(batch, ledger)
        wave = Wave(batch)
        caller = BatchCaller(ledger, recipe, wave)
        selected = select_videos(records, recipe, ledger)
        check_any_selected(selected)
        async with Progress(Console(stderr=True), ledger.totals) as progress:
            outcome = await annotate_all(selected, recipe, caller, ledger, progress)
    finally:
        await ledger.aclose()
    if outcome.stopped_by is not None:
        raise outcome.stopped_by
    paths = wave.finish()
    if caller.num_over_budget and not paths:
        raise BudgetError(
            f"budget of ${recipe.max_usd:g} reached: {caller.num_over_budget} calls wait; raise "
            "--max-usd and run again to resume"
        )
    if not paths:
        save_records(finish_records(outcome.records, recipe), folder)
    return paths


def _check_all_read(batch: Path, ledger: Ledger) -> None:
    """Refuse a new wave while calls of an earlier one were not read back."""
    answered = {row[0] for row in ledger.query("SELECT key FROM calls")}
    attempts = dict(ledger.query("SELECT key, COUNT(*) FROM attempts GROUP BY key"))
    for path in sorted(batch.glob("wave*.jsonl")):
        num_open = sum(
            note.info.key not in answered and attempts.get(note.info.key, 0) <= note.num_attempts
            for note in _notes(path.with_suffix(".calls"))
        )
        if num_open:
            raise InputError(
                f"{path}: {num_open} of its calls were not read back; give its output and error "
                "files to `annotate batch-read`, or delete it to ask again"
            )


def read_results(folder: Path, files: list[Path]) -> dict[str, int]:
    """Commit the answers in the output files of finished batches.

    Returns:
        How many lines were ``settled``, ``known`` already, ``failed`` (they join the next wave) or
        ``foreign`` (of no wave of this run).
    """
    return asyncio.run(_read_results(folder, files))


async def _read_results(folder: Path, files: list[Path]) -> dict[str, int]:
    open_ledger(folder).close()  # there has to be one
    ledger = Ledger(folder / "ledger.sqlite")
    waves = sorted((folder / "batch").glob("*.calls"))
    notes = {note.custom_id: note for path in waves for note in _notes(path)}
    prices = load_prices(_prices_file(folder))
    counts = {"settled": 0, "known": 0, "failed": 0, "foreign": 0}
    try:
        for path in files:
            for row in _read_rows(path):
                note = notes.get(row.custom_id)
                counts["foreign" if note is None else await _commit(ledger, note, row, prices)] += 1
    finally:
        await ledger.aclose()
    return counts


async def _commit(ledger: Ledger, note: Note, row: _Row, prices: PriceTable) -> str:
    """Commit a line of a batch's output; returns how it counts."""
    info = note.info
    if await ledger.find(info.key) is not None:
        return "known"
    try:
        reply, price = read_completion(row.response.body), prices.of(info.model)
    except ValueError:
        if _num_attempts(ledger, info.key) > note.num_attempts:
            return "known"  # the file was read before
        status = row.response.status_code
        detail = json.dumps(row.error or row.response.body)[:_MOST_DETAIL]
        attempt = await ledger.reserve(info)
        await ledger.fail(attempt, str(status or "batch"), detail, may_be_billed=status == 200)
        return "failed"
    usd = price.usd(used_tokens(reply, info, price)) * prices.batch_discount
    await ledger.settle(await ledger.reserve(info), reply, usd)
    return "settled"


def _num_attempts(ledger: Ledger, key: str) -> int:
    return int(ledger.query("SELECT COUNT(*) FROM attempts WHERE key = ?", (key,))[0][0])


def _notes(path: Path) -> Iterator[Note]:
    """The calls of one file, as `Wave` wrote them down.

    Raises:
        InputError: they are gone.
    """
    try:
        lines = path.read_text(encoding="utf-8").strip().split("\n")
    except OSError as error:
        name = path.with_suffix(".jsonl").name
        raise InputError(f"{path}: is gone; delete {name} too, to ask its calls again") from error
    return map(Note.from_json, lines)


def _prices_file(folder: Path) -> str | None:
    return load_recipe(folder / RECIPE_FILE).endpoint.prices_file


def _read_rows(path: Path) -> Iterator[_Row]:
    if not path.is_file():
        raise InputError(f"{path}: no such file; give the output file of a finished batch")
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                if line.strip():
                    yield _Row.model_validate(json.loads(line))
            except (ValueError, RecursionError) as error:
                message = f"{path}:{number}: not a line of a batch's output; give its output file"
                raise InputError(message) from error
