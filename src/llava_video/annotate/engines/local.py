"""The local engine: videos concurrently, the steps of each in order."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from av.error import FFmpegError

from llava_video.annotate.engines.progress import Progress
from llava_video.annotate.recipe import Recipe
from llava_video.annotate.records import VideoRecord, from_json, to_json
from llava_video.annotate.steps.ask import ask
from llava_video.annotate.steps.check import check
from llava_video.annotate.steps.context import AnswerError, CanCall, Tools, WaitingError
from llava_video.annotate.steps.describe import describe
from llava_video.annotate.steps.filter import screen
from llava_video.calls.annotator import AttemptError
from llava_video.calls.caller import ENDS_THE_RUN, Caller, InterruptedRunError
from llava_video.calls.ledger import Ledger
from llava_video.calls.make_annotator import make_annotator
from llava_video.calls.pricing import load_prices
from llava_video.errors import InputError, LlavaVideoError, VideoError
from llava_video.records.json_lines import dump_json

FAILED = "failed"
DONE = "done"
REJECTED = "rejected"
UNSELECTED = "unselected"
WAITING = "waiting"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run went.

    Attributes:
        records: every video in input order, annotated, rejected or failed.
        stopped_by: why the run stopped early, or None where every video was tried.
    """

    records: list[VideoRecord]
    stopped_by: LlavaVideoError | None


async def annotate_video(
    record: VideoRecord, tools: Tools, stage: Callable[[str, str], None]
) -> tuple[str, VideoRecord]:
    """One selected video through describe, ask, screen and check.

    Returns:
        How it ended (`DONE`, `REJECTED`, `FAILED`: worth another try, `WAITING`: for a batch) and
        its record.

    Raises:
        LlavaVideoError: one of `caller.ENDS_THE_RUN`: the run as a whole cannot go on.
    """
    steps: tuple[tuple[str, Callable[[VideoRecord, Tools], Awaitable[VideoRecord]]], ...] = (
        ("describe", describe),
        ("ask", ask),
        ("check", _screen_and_check),
    )
    for name, step in steps:
        stage(record.video_id, name)
        try:
            record = await step(record, tools)
        except WaitingError:
            return WAITING, record
        except AttemptError as error:
            return FAILED, record.rejected(name, "call_failed", str(error))
        except AnswerError as error:
            return REJECTED, record.rejected(name, error.reason, str(error), error.raw_text)
        except (VideoError, InputError, OSError, FFmpegError) as error:
            return REJECTED, record.rejected(name, "unreadable", record.in_words(error))
    return DONE, record


async def _screen_and_check(record: VideoRecord, tools: Tools) -> VideoRecord:
    [screened] = screen([record], tools.recipe)
    return await check(screened, tools)


async def annotate_all(
    records: list[VideoRecord], recipe: Recipe, caller: CanCall, ledger: Ledger, progress: Progress
) -> Outcome:
    """All selected videos, each saved as it ends, so that a later run need not even decode it.

    The first error that concerns every call stops the run: nothing new is sent, calls in flight are
    waited for and committed.
    """
    tools = Tools(recipe, caller)
    saved = {video: (stage, name, text) for video, stage, name, text in ledger.saved_videos()}
    results: dict[str, VideoRecord] = {}
    todo: asyncio.Queue[tuple[int, VideoRecord]] = asyncio.Queue()
    for position, record in enumerate(records):
        name = work_fingerprint(record, recipe)
        old = saved.get(record.video_id)
        if record.is_rejected:
            await ledger.save_video(record.video_id, position, UNSELECTED, name, to_json(record))
            progress.stage(record.video_id, REJECTED)
            results[record.video_id] = record
        elif old is not None and old[0] in (DONE, REJECTED) and old[1] == name:
            progress.stage(record.video_id, old[0])
            results[record.video_id] = from_json(old[2])
        else:
            progress.stage(record.video_id, "waiting")
            todo.put_nowait((position, record))
    ledger.forget_videos({record.video_id for record in records})
    stops: list[LlavaVideoError] = []

    async def work() -> None:
        while not todo.empty() and not stops:
            position, record = todo.get_nowait()
            try:
                end, result = await annotate_video(record, tools, progress.stage)
                name = work_fingerprint(record, recipe)
                await ledger.save_video(record.video_id, position, end, name, to_json(result))
            except ENDS_THE_RUN as error:
                stops.append(error)
                progress.stage(record.video_id, "waiting")
                return
            progress.stage(record.video_id, end)
            results[record.video_id] = result

    # A few more videos than calls at a time, so that decoding hides behind other videos' calls.
    num_workers = min(len(records), recipe.endpoint.concurrency + (os.cpu_count() or 1))
    await asyncio.gather(*(work() for _ in range(num_workers)))
    unfinished = {r.video_id: r for r in records} | results
    return Outcome([unfinished[r.video_id] for r in records], stops[0] if stops else None)


async def run_local(
    records: list[VideoRecord],
    recipe: Recipe,
    ledger: Ledger,
    make_progress: Callable[[], Progress],
) -> Outcome:
    """Annotate selected videos in this process."""
    annotator = make_annotator(recipe.endpoint)
    caller = Caller(annotator, ledger, recipe.endpoint, load_prices(recipe.endpoint.prices_file))
    try:
        async with make_progress() as progress, _interruptible(caller, progress):
            return await annotate_all(records, recipe, caller, ledger, progress)
    finally:
        await annotator.aclose()


@asynccontextmanager
async def _interruptible(caller: Caller, progress: Progress) -> AsyncIterator[None]:
    """The first Ctrl-C lets calls in flight finish; the second one stops at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()

    def stop() -> None:
        caller.stop(InterruptedRunError("interrupted; run the same command again to go on"))
        progress.say("waiting for the calls in flight; Ctrl-C again leaves them")
        loop.remove_signal_handler(signal.SIGINT)

    loop.add_signal_handler(signal.SIGINT, stop)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)


def work_fingerprint(record: VideoRecord, recipe: Recipe) -> str:
    """Names the work on a video: its file, and every choice that can change its record."""
    path = Path(record.path)
    stat = path.stat() if path.is_file() else None
    choices = recipe.model_dump(
        mode="json", include={"describe", "ask", "faithfulness", "blind", "seed"}
    )
    refusal, ratio = recipe.filters.refusal, recipe.filters.max_length_ratio
    endpoint = recipe.endpoint.model_dump(
        mode="json",
        include={"model", "temperature", "seed", "max_output_tokens", "structured", "extra_body"},
    )
    parts = [
        *(record.video_id, record.path, stat and stat.st_size, stat and stat.st_mtime_ns),
        *(choices, endpoint, refusal, ratio),
    ]
    return hashlib.sha256(dump_json(parts).encode()).hexdigest()[:32]
