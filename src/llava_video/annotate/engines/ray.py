"""The cluster engine: the same steps on Ray Data, with output identical to the local engine.

Measuring videos for selection is a ``map``; choosing among them compares numbers of all and
stays on the driver. The chosen videos flow through ``map_batches`` on a pool of actors, each of
which runs the local steps with its share of the concurrency. One more actor on the driver's node
holds the ledger, so every call of every worker is committed in one place, the budget is one budget,
and a worker that dies loses only calls that were in flight: its videos restart on another worker
and find their finished calls.
"""

from __future__ import annotations

import asyncio
import logging
import math
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llava_video.annotate.engines.local import Outcome, annotate_video
from llava_video.annotate.engines.progress import Progress
from llava_video.annotate.probe import probe_before
from llava_video.annotate.recipe import Recipe, Selection
from llava_video.annotate.records import VideoRecord, from_json, to_json
from llava_video.annotate.run_folder import (
    FAILED,
    REJECTED,
    UNANSWERED,
    UNSELECTED,
    WAITING,
    Work,
    save_end,
    split_work,
)
from llava_video.annotate.steps.context import StepContext
from llava_video.annotate.videos.select import measure
from llava_video.calls.caller import ENDS_THE_RUN, Caller
from llava_video.calls.ledger import CallInfo, Ledger, LedgerError, Tries
from llava_video.calls.make_annotator import make_annotator
from llava_video.calls.messages import Reply
from llava_video.calls.pricing import load_prices
from llava_video.calls.totals import Totals
from llava_video.errors import InputError, LlavaVideoError

STOPPED = "stopped"
_VIDEOS_PER_BLOCK = 4
_NEWS_EVERY_SECONDS = 2.0
_LOST = (
    "the Ray actor that holds the ledger is gone; what it had committed is in the run's folder: "
    "run again to resume"
)


class LedgerKeeper:
    """The actor that holds the ledger, with the ledger's methods."""

    def __init__(self, path: str, max_usd: float | None) -> None:
        self._ledger = Ledger(Path(path), max_usd)
        self._ends: dict[str, str] = {}

    async def find(self, key: str) -> Reply | None:
        return await self._ledger.find(key)

    async def reserve(self, info: CallInfo) -> int:
        return await self._ledger.reserve(info)

    async def settle(self, attempt: int, reply: Reply, usd: float) -> None:
        await self._ledger.settle(attempt, reply, usd)

    async def fail(self, attempt: int, outcome: str, detail: str, may_be_billed: bool) -> None:
        await self._ledger.fail(attempt, outcome, detail, may_be_billed=may_be_billed)

    async def has_answered(self, stage: str, model: str) -> bool:
        return await self._ledger.has_answered(stage, model)

    async def limits(self) -> list[int]:
        return await self._ledger.limits()

    async def remember_limit(self, max_output_tokens: int) -> None:
        await self._ledger.remember_limit(max_output_tokens)

    async def save_video(self, *values: Any, is_unanswered: bool) -> None:
        await self._ledger.save_video(*values, is_unanswered=is_unanswered)
        video_id, _, end = values[:3]
        self._ends[video_id] = end

    async def news(self) -> tuple[Totals, dict[str, str]]:
        """Sums, and how videos have ended since the last time."""
        ends, self._ends = self._ends, {}
        return self._ledger.totals(), ends

    async def aclose(self) -> None:
        await self._ledger.aclose()


class RemoteLedger:
    """The workers' side of a `LedgerKeeper`."""

    def __init__(self, keeper: Any) -> None:
        self._keeper = keeper

    async def find(self, key: str) -> Reply | None:
        found: Reply | None = await _own_errors(self._keeper.find.remote(key))
        return found

    async def reserve(self, info: CallInfo) -> int:
        number: int = await _own_errors(self._keeper.reserve.remote(info))
        return number

    async def settle(self, attempt: int, reply: Reply, usd: float) -> None:
        await _own_errors(self._keeper.settle.remote(attempt, reply, usd))

    async def fail(self, attempt: int, outcome: str, detail: str, *, may_be_billed: bool) -> None:
        await _own_errors(self._keeper.fail.remote(attempt, outcome, detail, may_be_billed))

    async def has_answered(self, stage: str, model: str) -> bool:
        found: bool = await _own_errors(self._keeper.has_answered.remote(stage, model))
        return found

    async def limits(self) -> list[int]:
        found: list[int] = await _own_errors(self._keeper.limits.remote())
        return found

    async def remember_limit(self, max_output_tokens: int) -> None:
        await _own_errors(self._keeper.remember_limit.remote(max_output_tokens))

    async def save_video(
        self,
        video_id: str,
        position: int,
        stage: str,
        fingerprint: str,
        record: str,
        *,
        is_unanswered: bool = False,
    ) -> None:
        values = (video_id, position, stage, fingerprint, record)
        await _own_errors(self._keeper.save_video.remote(*values, is_unanswered=is_unanswered))


async def _own_errors(reference: Any) -> Any:
    """The result of a remote call; errors that end a run keep their type.

    Raises:
        LedgerError: the actor that holds the ledger is gone, so no call may be paid for.
    """
    from ray.exceptions import RayActorError, RayTaskError

    try:
        return await reference
    except RayActorError as error:
        raise LedgerError(_LOST) from error
    except RayTaskError as error:
        if isinstance(error.cause, ENDS_THE_RUN):
            raise type(error.cause)(str(error.cause)) from error
        raise


class AnnotateWorker:
    """One actor of the pool: annotates batches of videos with the local steps."""

    def __init__(
        self, recipe: dict[str, Any], keeper: Any, num_workers: int, tries: dict[str, Tries]
    ) -> None:
        self._recipe = _share_of(Recipe.model_validate(recipe), num_workers)
        self._keeper = keeper
        self._tries = tries

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[str]]:
        """Rows of ``position`` and ``record`` in, rows of ``end`` and ``record`` out."""
        positions = [int(position) for position in batch["position"]]
        return asyncio.run(self._annotate(positions, list(batch["record"])))

    async def _annotate(self, positions: list[int], texts: list[str]) -> dict[str, list[str]]:
        prices = load_prices(self._recipe.endpoint.prices_file)
        annotator = make_annotator(self._recipe.endpoint)
        caller = Caller(annotator, RemoteLedger(self._keeper), self._recipe.endpoint, prices)
        context = StepContext(self._recipe, caller, self._tries)
        try:
            ends = await asyncio.gather(
                *(self._one(p, t, context) for p, t in zip(positions, texts, strict=True))
            )
        finally:
            await annotator.aclose()
        return {
            "position": [str(position) for position in positions],
            "end": [end for end, _, _ in ends],
            "record": [record for _, record, _ in ends],
            "reason": [reason for _, _, reason in ends],
        }

    async def _one(self, position: int, text: str, context: StepContext) -> tuple[str, str, str]:
        record = from_json(text)
        try:
            end, result = await annotate_video(record, context, lambda video_id, stage: None)
            ledger = RemoteLedger(self._keeper)
            await save_end(ledger, context.recipe, position, record, end, result)
        except ENDS_THE_RUN as error:
            return STOPPED, text, f"{type(error).__name__}: {error}"
        return end, to_json(result), ""


def measure_with_ray(
    jobs: list[tuple[VideoRecord, Selection]],
) -> Iterator[tuple[int, VideoRecord]]:
    """Measure videos on all nodes; they come as they are done.

    Raises:
        InputError: Ray is not installed.
    """
    ray = _ray()
    rows = [
        {"position": position, "record": to_json(record), "rules": rules.model_dump_json()}
        for position, (record, rules) in enumerate(jobs)
    ]
    num_blocks = max(1, len(rows) // _VIDEOS_PER_BLOCK)
    found = ray.data.from_items(rows, override_num_blocks=num_blocks).map(_measure_row)
    for row in found.iter_rows():
        yield int(row["position"]), from_json(row["record"])


def _measure_row(row: dict[str, Any]) -> dict[str, Any]:
    rules = Selection.model_validate_json(row["rules"])
    measured = measure(from_json(row["record"]), rules)
    return {"position": row["position"], "record": to_json(measured)}


async def run_ray(
    records: list[VideoRecord],
    recipe: Recipe,
    ledger: Ledger,
    make_progress: Callable[[Callable[[], Totals]], Progress],
) -> Outcome:
    """Annotate selected videos on a Ray cluster, or on this machine's cores where there is none.

    Args:
        records: after selection; their paths must be readable on every node.
        recipe: all choices; concurrency and limits are shared among the workers.
        ledger: closed here and reopened by the ledger's actor, which is its only writer then.
        make_progress: makes what shows the run, from a function that says its sums.
    """
    work = await split_work(records, recipe, ledger)
    results = {video: record for video, (_, record) in work.finished.items()}
    todo = [{"position": position, "record": to_json(record)} for position, record in work.todo]
    if not todo:
        return Outcome.of(records, results, [])
    stops: list[LlavaVideoError] = []
    state = _State(ledger.totals(), {})
    async with make_progress(lambda: state.totals) as progress:
        for record in records:
            end = work.finished.get(record.video_id, (WAITING, record))[0]
            progress.stage(record.video_id, REJECTED if end == UNSELECTED else end)
        try:
            await _probe(work, recipe, ledger, progress)
            tries = ledger.tries()
            await ledger.aclose()
            state.progress = progress
            await asyncio.to_thread(_map_videos, todo, recipe, ledger.path, tries, state)
        except ENDS_THE_RUN as error:
            stops.append(error)
    for row in state.rows.values():
        record = from_json(row["record"])
        if row["end"] == STOPPED:
            kind, _, message = row["reason"].partition(": ")
            [error_type] = [known for known in ENDS_THE_RUN if known.__name__ == kind]
            stops.append(error_type(message))
        else:
            results[record.video_id] = record
    return Outcome.of(records, results, stops)


async def _probe(work: Work, recipe: Recipe, ledger: Ledger, progress: Progress) -> None:
    """One call of each kind, made from here before the workers start."""
    annotator = make_annotator(recipe.endpoint)
    prices = load_prices(recipe.endpoint.prices_file)
    try:
        caller = Caller(annotator, ledger, recipe.endpoint, prices)
        await probe_before(work, recipe, caller, progress.say)
    finally:
        await annotator.aclose()


@dataclass(slots=True)
class _State:
    """What has come back so far: sums of the ledger, rows by position."""

    totals: Totals
    rows: dict[int, dict[str, Any]]
    progress: Progress | None = None

    def add(self, row: dict[str, Any]) -> None:
        """The row of a video has come back, with those of its batch."""
        self.rows[int(row["position"])] = row
        self._show(from_json(row["record"]).video_id, row["end"])

    def tell(self, totals: Totals, ends: dict[str, str]) -> None:
        """What the ledger's actor has committed since the last time."""
        self.totals = totals
        for video_id, end in ends.items():
            self._show(video_id, end)

    def _show(self, video_id: str, end: str) -> None:
        if self.progress is not None:
            shown = {STOPPED: WAITING, UNANSWERED: FAILED}
            self.progress.stage(video_id, shown.get(end, end))


def _ray() -> Any:
    """Ray, connected to the cluster or started here.

    Raises:
        InputError: Ray is not installed, or the cluster of RAY_ADDRESS is not there for us.
    """
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise InputError(
            "--engine ray needs another package: pip install 'llava-video[scale]'"
        ) from error
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # an error comes as an exception
    if not ray.is_initialized():
        try:
            ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
        except (OSError, ValueError, RuntimeError, ray.exceptions.RayError) as error:
            cause = " ".join(str(error).split())
            raise InputError(
                f"Ray: {cause}; check RAY_ADDRESS, and that this machine has the cluster's token "
                "(see docs/scale.md)"
            ) from error
    ray.data.DataContext.get_current().enable_progress_bars = False
    return ray


def _map_videos(
    todo: list[dict[str, Any]],
    recipe: Recipe,
    path: Path,
    tries: dict[str, Tries],
    state: _State,
) -> None:
    """Annotate videos on workers, and add each to the state as it ends.

    Raises:
        LedgerError: the ledger's actor is gone, or Ray itself has failed.
    """
    ray = _ray()
    resources: dict[str, float] = ray.cluster_resources()
    # Each makes one call at a time at least.
    most = min(int(resources.get("CPU", 1)), len(todo), recipe.endpoint.concurrency)
    num_workers = max(1, most)
    # A worker takes a batch up when it has ended the one before, so a batch holds twice the videos
    # that keep its calls going; fewer where some worker would get none.
    share = _share_of(recipe, num_workers).endpoint.concurrency
    batch_size = min(2 * share, math.ceil(len(todo) / num_workers))
    # The ledger is a file of this machine, so its actor stays here; it needs no core of its own.
    here = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
        ray.get_runtime_context().get_node_id(), soft=False
    )
    keeper: Any = (
        ray.remote(LedgerKeeper)
        .options(num_cpus=0, scheduling_strategy=here, max_concurrency=1000)
        .remote(str(path), recipe.max_usd)
    )
    is_over = threading.Event()
    watcher = threading.Thread(target=_watch, args=(keeper, state, is_over), daemon=True)
    watcher.start()
    try:
        found = ray.data.from_items(
            todo, override_num_blocks=math.ceil(len(todo) / batch_size)
        ).map_batches(
            AnnotateWorker,
            fn_constructor_args=(recipe.model_dump(mode="json"), keeper, num_workers, tries),
            batch_size=batch_size,
            compute=ray.data.ActorPoolStrategy(size=num_workers),
            num_cpus=1,
        )
        for row in found.iter_rows():
            state.add(row)
        state.tell(*ray.get(keeper.news.remote()))
        ray.get(keeper.aclose.remote())
    except ray.exceptions.RayActorError as error:
        raise LedgerError(_LOST) from error
    except ray.exceptions.RayError as error:
        reason = " ".join(str(error).split())[-300:]
        raise LedgerError(f"Ray failed ({reason}); run again to resume") from error
    finally:
        is_over.set()
        watcher.join()
        ray.kill(keeper)


def _watch(keeper: Any, state: _State, is_over: threading.Event) -> None:
    """Show calls and videos as they end: rows come back a whole batch at a time."""
    ray = _ray()
    while not is_over.wait(_NEWS_EVERY_SECONDS):
        try:
            state.tell(*ray.get(keeper.news.remote()))
        except ray.exceptions.RayError:
            return  # what reads the rows meets the same error


def _share_of(recipe: Recipe, num_workers: int) -> Recipe:
    """The recipe with one worker's share of the concurrency and of the limits."""
    endpoint = recipe.endpoint
    share = endpoint.model_copy(
        update={
            "concurrency": max(1, endpoint.concurrency // num_workers),
            "rpm": endpoint.rpm / num_workers if endpoint.rpm else None,
            "tpm": endpoint.tpm / num_workers if endpoint.tpm else None,
        }
    )
    return recipe.model_copy(update={"endpoint": share})
