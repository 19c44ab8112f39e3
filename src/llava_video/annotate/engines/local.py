"""The local engine: videos concurrently, the steps of each in order."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from av.error import FFmpegError

from llava_video.annotate.engines.progress import Progress
from llava_video.annotate.probe import probe_before
from llava_video.annotate.recipe import Recipe
from llava_video.annotate.records import VideoRecord
from llava_video.annotate.run_folder import (
    DONE,
    FAILED,
    REJECTED,
    UNANSWERED,
    UNSELECTED,
    WAITING,
    Work,
    save_end,
    split_work,
)
from llava_video.annotate.steps.ask import ask
from llava_video.annotate.steps.check import check
from llava_video.annotate.steps.context import AnswerError, CanCall, StepContext, WaitingError
from llava_video.annotate.steps.describe import describe
from llava_video.annotate.steps.filter import screen
from llava_video.calls.annotator import AttemptError
from llava_video.calls.caller import ENDS_THE_RUN, InterruptedRunError, open_caller
from llava_video.calls.ledger import Ledger
from llava_video.errors import InputError, LlavaVideoError, VideoError


@dataclass(frozen=True, slots=True)
class Outcome:
    """Result of a run.

    Attributes:
        records: every video in input order, annotated, rejected or failed.
        stopped_by: why the run stopped early, or None where every video was tried.
    """

    records: list[VideoRecord]
    stopped_by: LlavaVideoError | None

    @classmethod
    def of(
        cls,
        records: list[VideoRecord],
        results: dict[str, VideoRecord],
        stops: list[LlavaVideoError],
    ) -> Outcome:
        """Results in input order; a video without one stays as it was."""
        ended = [results.get(record.video_id, record) for record in records]
        return cls(ended, stops[0] if stops else None)


async def annotate_video(
    record: VideoRecord, context: StepContext, stage: Callable[[str, str], None]
) -> tuple[str, VideoRecord]:
    """One selected video through describe, ask, screen and check.

    Returns:
        How it ended (`DONE`, `REJECTED`, `FAILED`: worth another try, `UNANSWERED`: worth other
        answers, `WAITING`: for a batch) and its record.

    Raises:
        LlavaVideoError: one of `caller.ENDS_THE_RUN`: the run cannot continue.
    """
    steps: tuple[tuple[str, Callable[[VideoRecord, StepContext], Awaitable[VideoRecord]]], ...] = (
        ("describe", describe),
        ("ask", ask),
        ("check", _screen_and_check),
    )
    for name, step in steps:
        stage(record.video_id, name)
        try:
            record = await step(record, context)
        except WaitingError:
            return WAITING, record
        except AttemptError as error:
            return FAILED, record.rejected(name, "call_failed", str(error))
        except AnswerError as error:
            noted = record.noting(*error.before)
            return UNANSWERED, noted.rejected(name, error.reason, str(error), error.raw_text)
        except (VideoError, InputError, OSError, FFmpegError) as error:
            return REJECTED, record.rejected(name, "unreadable", record.in_words(error))
    return DONE, record


async def _screen_and_check(record: VideoRecord, context: StepContext) -> VideoRecord:
    [screened] = screen([record], context.recipe)
    return await check(screened, context)


async def annotate_all(
    records: list[VideoRecord],
    recipe: Recipe,
    caller: CanCall,
    ledger: Ledger,
    progress: Progress,
    work: Work | None = None,
) -> Outcome:
    """All selected videos, each saved as it ends, so that a later run does not decode it again.

    The first error that concerns every call stops the run: nothing new is sent, calls in flight are
    waited for and committed.
    """
    context = StepContext(recipe, caller, ledger.tries())
    work = work or await split_work(records, recipe, ledger)
    results = _finished(work)
    for video, (end, _) in work.finished.items():
        progress.stage(video, REJECTED if end == UNSELECTED else end)
    todo: asyncio.Queue[tuple[int, VideoRecord]] = asyncio.Queue()
    for position, record in work.todo:
        progress.stage(record.video_id, WAITING)
        todo.put_nowait((position, record))
    stops: list[LlavaVideoError] = []

    async def take_videos() -> None:
        while not todo.empty() and not stops:
            position, record = todo.get_nowait()
            try:
                end, result = await annotate_video(record, context, progress.stage)
                await save_end(ledger, recipe, position, record, end, result)
            except ENDS_THE_RUN as error:
                stops.append(error)
                progress.stage(record.video_id, WAITING)
                return
            progress.stage(record.video_id, FAILED if end == UNANSWERED else end)
            results[record.video_id] = result

    # A few more videos than calls at a time, so that decoding overlaps with other videos' calls.
    num_workers = min(len(records), recipe.endpoint.concurrency + (os.cpu_count() or 1))
    await asyncio.gather(*(take_videos() for _ in range(num_workers)))
    return Outcome.of(records, results, stops)


async def run_local(
    records: list[VideoRecord],
    recipe: Recipe,
    ledger: Ledger,
    make_progress: Callable[[], Progress],
) -> Outcome:
    """Annotate selected videos in this process."""
    async with (
        open_caller(recipe.endpoint, ledger) as caller,
        make_progress() as progress,
        interruptible(caller.stop, progress),
    ):
        work = await split_work(records, recipe, ledger)
        try:
            await probe_before(work, recipe, caller, progress.say)
        except ENDS_THE_RUN as error:
            return Outcome.of(records, _finished(work), [error])
        return await annotate_all(records, recipe, caller, ledger, progress, work)


def _finished(work: Work) -> dict[str, VideoRecord]:
    return {video: record for video, (_, record) in work.finished.items()}


@asynccontextmanager
async def interruptible(
    stop_calls: Callable[[LlavaVideoError], object], progress: Progress
) -> AsyncIterator[None]:
    """The first Ctrl-C lets calls in flight finish; the second one stops at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()

    def stop() -> None:
        stop_calls(InterruptedRunError("interrupted; run the same command again to resume"))
        progress.say("waiting for the calls in flight; Ctrl-C again leaves them")
        loop.remove_signal_handler(signal.SIGINT)

    loop.add_signal_handler(signal.SIGINT, stop)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)
