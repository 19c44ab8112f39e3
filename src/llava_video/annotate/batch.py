"""OpenAI Batch files: the same pipeline, with calls written to files and read back in waves.

A wave is everything that can be asked now. Level 1 waits for the level 1 before it, so describing
takes as many waves as a video has descriptions; questions take one. Between waves the files go to
the batch API and its output files come back; half the price, no rate limits.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console

from llava_video.annotate.endpoint import read_usage
from llava_video.annotate.engine import check_any_selected
from llava_video.annotate.inputs import common_folder, find_videos
from llava_video.annotate.ledger import CallInfo, Ledger, open_ledger
from llava_video.annotate.messages import Reply, Request, Usage
from llava_video.annotate.money import PriceTable, load_prices, prompt_tokens, text_tokens
from llava_video.annotate.pipeline import annotate_all, select_videos
from llava_video.annotate.progress import Progress
from llava_video.annotate.recipe import Recipe
from llava_video.annotate.records import dump_json
from llava_video.annotate.runs import finish_records, save_records, start_run
from llava_video.annotate.tools import WaitingError
from llava_video.errors import InputError

MAX_FILE_BYTES = 200_000_000
MAX_FILE_REQUESTS = 50_000


class BatchCaller:
    """Answers from the ledger; what is not there is kept for the next wave."""

    def __init__(self, ledger: Ledger, prices: PriceTable) -> None:
        self._ledger = ledger
        self._prices = prices
        self.wanted: dict[str, tuple[Request, CallInfo]] = {}

    async def call(self, request: Request) -> Reply:
        """The answer, once a batch has brought it.

        Raises:
            WaitingError: it has not; the request joins the wave.
        """
        key = request.key()
        found = await self._ledger.find(key)
        if found is not None:
            return found
        tokens = prompt_tokens(request, self._prices.of(request.model))
        info = CallInfo(
            key=key,
            video_id=request.video_id,
            stage=request.stage,
            model=request.model,
            prompt=request.prompt,
            forecast_tokens=tokens,
            upper_usd=0.0,
        )
        self.wanted[key] = (request, info)
        raise WaitingError(f"{request.video_id}: waits for a batch")


def write_wave(names: list[str], recipe: Recipe, folder: Path) -> list[Path]:
    """Write the next wave's files into ``folder/batch``; none are left when the run is complete.

    Each file stays below the API's 200 MB and 50,000 requests. When nothing waits any more, the
    records are finished, as at the end of a run.
    """
    records = find_videos(names)
    start_run(folder, recipe, common_folder(records))
    return asyncio.run(_write_wave(folder, recipe, names))


async def _write_wave(folder: Path, recipe: Recipe, names: list[str]) -> list[Path]:
    ledger = Ledger(folder / "ledger.sqlite")
    caller = BatchCaller(ledger, load_prices(recipe.endpoint.prices_file))
    try:
        selected = select_videos(find_videos(names), recipe, ledger)
        check_any_selected(selected)
        async with Progress(Console(stderr=True), ledger.totals) as progress:
            outcome = await annotate_all(selected, recipe, caller, ledger, progress)
    finally:
        await ledger.aclose()
    batch = folder / "batch"
    batch.mkdir(exist_ok=True)
    number = len(list(batch.glob("wave*.jsonl")))
    paths = []
    for lines in _files(_lines(caller, recipe)):
        path = batch / f"wave{number:04d}.jsonl"
        path.write_bytes(b"".join(lines))
        infos = {json.loads(line)["custom_id"]: None for line in lines}
        notes = [dump_json(_note(caller.wanted[key][1])) for key in infos]
        path.with_suffix(".calls").write_text("\n".join(notes) + "\n", encoding="utf-8")
        paths.append(path)
        number += 1
    if not paths:
        save_records(finish_records(outcome.records, recipe), folder)
    return paths


def read_results(folder: Path, files: list[Path]) -> dict[str, int]:
    """Commit the answers in the output files of finished batches.

    Returns:
        How many lines were ``settled``, ``known`` already, ``failed`` (they join the next wave) or
        ``foreign`` (of no wave of this run).
    """
    return asyncio.run(_read_results(folder, files))


async def _read_results(folder: Path, files: list[Path]) -> dict[str, int]:
    ledger = open_ledger(folder)
    infos = dict(_notes(folder / "batch"))
    prices = load_prices(_prices_file(folder))
    counts = {"settled": 0, "known": 0, "failed": 0, "foreign": 0}
    try:
        for path in files:
            for number, line in enumerate(_read_lines(path), 1):
                try:
                    row = json.loads(line)
                    key = row["custom_id"]
                except (ValueError, KeyError, TypeError) as error:
                    message = (
                        f"{path}:{number}: not a line of a batch's output; give its output file"
                    )
                    raise InputError(message) from error
                if key not in infos:
                    counts["foreign"] += 1
                elif await ledger.find(key) is not None:
                    counts["known"] += 1
                else:
                    settled = await _settle(ledger, infos[key], row, prices)
                    counts["settled" if settled else "failed"] += 1
    finally:
        await ledger.aclose()
    return counts


async def _settle(ledger: Ledger, info: CallInfo, row: dict[str, Any], prices: PriceTable) -> bool:
    attempt = await ledger.reserve(info)
    response = row.get("response") or {}
    body = response.get("body") or {}
    choices = body.get("choices") or []
    if response.get("status_code") != 200 or not choices:
        detail = dump_json(row.get("error") or body.get("error") or "no answer")
        status = str(response.get("status_code", "batch"))
        await ledger.fail(attempt, status, detail, may_be_billed=False)
        return False
    message = choices[0].get("message") or {}
    text = message.get("content") or message.get("refusal") or ""
    usage = read_usage(body.get("usage"))
    reply = Reply(text, body.get("id", ""), str(choices[0].get("finish_reason")), usage)
    counted = usage or Usage(info.forecast_tokens, text_tokens(text))
    usd = prices.of(info.model).usd(counted) * prices.batch_discount
    await ledger.settle(attempt, reply, usd)
    return True


def _lines(caller: BatchCaller, recipe: Recipe) -> Iterator[bytes]:
    for key in sorted(caller.wanted):
        request, _ = caller.wanted[key]
        body = request.body(recipe.endpoint.structured) | recipe.endpoint.extra_body
        line = {
            "custom_id": key,
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": body,
        }
        yield (dump_json(line) + "\n").encode()


def _files(
    lines: Iterator[bytes],
    max_bytes: int = MAX_FILE_BYTES,
    max_requests: int = MAX_FILE_REQUESTS,
) -> Iterator[list[bytes]]:
    chunk: list[bytes] = []
    size = 0
    for line in lines:
        if chunk and (size + len(line) > max_bytes or len(chunk) >= max_requests):
            yield chunk
            chunk, size = [], 0
        chunk.append(line)
        size += len(line)
    if chunk:
        yield chunk


def _note(info: CallInfo) -> dict[str, Any]:
    return {
        "key": info.key,
        "video_id": info.video_id,
        "stage": info.stage,
        "model": info.model,
        "prompt": info.prompt,
        "forecast_tokens": info.forecast_tokens,
        "upper_usd": 0.0,
    }


def _notes(batch: Path) -> Iterator[tuple[str, CallInfo]]:
    for path in sorted(batch.glob("*.calls")):
        for line in path.read_text(encoding="utf-8").splitlines():
            info = CallInfo(**json.loads(line))
            yield info.key, info


def _prices_file(folder: Path) -> str | None:
    from llava_video.annotate.recipe import load_recipe

    return load_recipe(folder / "recipe.yaml").endpoint.prices_file


def _read_lines(path: Path) -> list[str]:
    if not path.is_file():
        raise InputError(f"{path}: no such file; give the output file of a finished batch")
    return [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
