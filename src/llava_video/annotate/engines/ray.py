"""The cluster engine: the same steps on Ray Data, with output identical to the local engine.

Measuring videos for selection is a ``map``; choosing among them compares numbers of all and
stays on the driver. The chosen videos flow through ``map_batches`` on a pool of workers, which
decode them and run the local steps. The calls of all workers are made by one actor on the driver's
node, which holds the ledger: there is one budget, one pace and one answer to a question, and a call
whose worker dies is completed and committed all the same.
"""

from __future__ import annotations

import asyncio
import logging
import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llava_video.annotate.engines.local import Outcome, annotate_video, interruptible
from llava_video.annotate.engines.progress import Progress
from llava_video.annotate.engines.run_actor import LOST, Failure, RemoteRun, RunActor, Surroundings
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
from llava_video.calls.caller import ENDS_THE_RUN, open_caller
from llava_video.calls.ledger import Ledger, LedgerError, Tries
from llava_video.calls.totals import Totals
from llava_video.errors import InputError, LlavaVideoError, install

STOPPED = "stopped"
_VIDEOS_PER_BLOCK = 4
_NEWS_EVERY_SECONDS = 2.0
_MOST_WORKERS = 3
"""That take a video up: it may kill each, and Ray starts others without end."""


class AnnotateWorker:
    """One of the pool: annotates batches of videos with the local steps."""

    def __init__(
        self,
        recipe: dict[str, Any],
        actor: Any,
        num_calls: int,
        tries: dict[str, Tries],
        surroundings: Surroundings,
    ) -> None:
        surroundings.take()
        self._recipe = Recipe.model_validate(recipe)
        self._actor = actor
        self._num_calls = num_calls
        self._tries = tries
        self._stopped_by: Failure | None = None

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[str]]:
        """Rows of ``position`` and ``record`` in, rows of ``end`` and ``record`` out."""
        positions = [int(position) for position in batch["position"]]
        return asyncio.run(self._annotate(positions, list(batch["record"])))

    async def _annotate(self, positions: list[int], texts: list[str]) -> dict[str, list[str]]:
        run = RemoteRun(self._actor, self._num_calls)
        ends = await asyncio.gather(
            *(self._one(p, t, run) for p, t in zip(positions, texts, strict=True))
        )
        return {
            "position": [str(position) for position in positions],
            "end": [end for end, _ in ends],
            "record": [record for _, record in ends],
            "kind": [self._stopped_by.kind if self._stopped_by else ""] * len(ends),
            "message": [self._stopped_by.message if self._stopped_by else ""] * len(ends),
        }

    async def _one(self, position: int, text: str, run: RemoteRun) -> tuple[str, str]:
        if self._stopped_by is not None:  # nothing is decoded for calls that are not made
            return STOPPED, text
        record = from_json(text)
        context = StepContext(self._recipe, run, self._tries)
        try:
            if await run.begin(record.video_id) > _MOST_WORKERS:
                died = f"each of {_MOST_WORKERS} Ray workers that took it up died"
                why = f"{died}; run with --engine local to see why"
                end, result = FAILED, record.rejected("describe", "worker_died", why)
            else:
                end, result = await annotate_video(record, context, lambda video_id, stage: None)
            await save_end(run, self._recipe, position, record, end, result)
        except ENDS_THE_RUN as error:
            self._stopped_by = self._stopped_by or Failure.of(error)
            return STOPPED, text
        return end, to_json(result)


def measure_with_ray(
    jobs: list[tuple[VideoRecord, Selection]],
) -> Iterator[tuple[int, VideoRecord]]:
    """Measure videos on all nodes; they come as they are done.

    Raises:
        InputError: Ray is not installed.
        LlavaVideoError: Ray has failed.
    """
    ray = _ray()
    folder = str(Path.cwd())
    rows = [
        {
            "position": position,
            "record": to_json(record),
            "rules": rules.model_dump_json(),
            "folder": folder,
        }
        for position, (record, rules) in enumerate(jobs)
    ]
    num_blocks = max(1, len(rows) // _VIDEOS_PER_BLOCK)
    found = ray.data.from_items(rows, override_num_blocks=num_blocks).map(_measure_row)
    with _ray_errors():
        for row in found.iter_rows():
            yield int(row["position"]), from_json(row["record"])


def _measure_row(row: dict[str, Any]) -> dict[str, Any]:
    Surroundings(row["folder"], {}).take()
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
        recipe: all choices.
        ledger: closed here and reopened by the actor, which is its only writer then.
        make_progress: makes what shows the run, from a function that says its sums.
    """
    work = await split_work(records, recipe, ledger)
    results = {video: record for video, (_, record) in work.finished.items()}
    todo = [{"position": position, "record": to_json(record)} for position, record in work.todo]
    if not todo:
        return Outcome.of(records, results, [])
    stops: list[LlavaVideoError] = []
    state = _State(ledger.totals())
    async with make_progress(lambda: state.totals) as progress:
        for record in records:
            end = work.finished.get(record.video_id, (WAITING, record))[0]
            progress.stage(record.video_id, REJECTED if end == UNSELECTED else end)
        state.progress = progress
        try:
            await _probe(work, recipe, ledger, progress)
            tries = ledger.tries()
            await ledger.aclose()
            await _annotate_all(todo, recipe, ledger.path, tries, state)
        except ENDS_THE_RUN as error:
            stops.append(error)
    for row in state.rows.values():
        record = from_json(row["record"])
        if row["end"] == STOPPED:
            stops.append(Failure(row["kind"], row["message"]).to_error())
        else:
            results[record.video_id] = record
    return Outcome.of(records, results, stops)


async def _probe(work: Work, recipe: Recipe, ledger: Ledger, progress: Progress) -> None:
    """One call of each kind, made from here before the workers start."""
    async with open_caller(recipe.endpoint, ledger) as caller:
        await probe_before(work, recipe, caller, progress.say)


@dataclass(slots=True)
class _State:
    """What has come back so far: sums of the ledger, rows by position."""

    totals: Totals
    rows: dict[int, dict[str, Any]] = field(default_factory=dict)
    progress: Progress | None = None

    def add(self, row: dict[str, Any]) -> None:
        """The row of a video has come back, with those of its batch."""
        self.rows[int(row["position"])] = row
        self._show(from_json(row["record"]).video_id, row["end"])

    def tell(self, totals: Totals, ends: dict[str, str]) -> None:
        """What the actor has committed since the last time."""
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
        raise InputError(f"--engine ray needs Ray: {install('scale')}") from error
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


@contextmanager
def _ray_errors() -> Iterator[None]:
    """What Ray raises, as our own errors.

    Raises:
        LedgerError: the run's actor is gone, or Ray itself has failed.
    """
    from ray.exceptions import RayActorError, RayError

    try:
        yield
    except RayActorError as error:
        raise LedgerError(LOST) from error
    except RayError as error:
        reason = " ".join(str(error).split())[-300:]
        raise LedgerError(f"Ray failed ({reason}); run again to resume") from error


async def _annotate_all(
    todo: list[dict[str, Any]], recipe: Recipe, path: Path, tries: dict[str, Tries], state: _State
) -> None:
    """Start the actor and the workers, and add each video to the state as it ends.

    Raises:
        LedgerError: the actor is gone, or Ray itself has failed.
    """
    ray = await asyncio.to_thread(_ray)
    concurrency = recipe.endpoint.concurrency
    # The ledger is a file of this machine, so the actor stays here; it needs no core of its own.
    here = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
        ray.get_runtime_context().get_node_id(), soft=False
    )
    actor: Any = (
        ray.remote(RunActor)
        # Besides twice the calls, that many videos are saved, and a few ask for news.
        .options(num_cpus=0, scheduling_strategy=here, max_concurrency=8 * concurrency + 100)
        .remote(str(path), recipe.model_dump(mode="json"), Surroundings.of(recipe))
    )
    assert state.progress is not None
    try:
        await asyncio.to_thread(_wait_until_up, actor)
        async with interruptible(lambda why: actor.stop.remote(str(why)), state.progress):
            await asyncio.to_thread(_map_videos, todo, recipe, actor, tries, state)
    finally:
        ray.kill(actor)  # ends the workers' waiting too, where a second Ctrl-C has brought us here


def _wait_until_up(actor: Any) -> None:
    """Return once the actor can be asked.

    Raises:
        LedgerError: it could not start.
    """
    ray = _ray()
    try:
        ray.get(actor.news.remote())
    except ray.exceptions.RayError as error:
        reason = str(error).strip().splitlines()[-1]
        raise LedgerError(f"the Ray actor that makes the calls cannot start: {reason}") from error


def _map_videos(
    todo: list[dict[str, Any]],
    recipe: Recipe,
    actor: Any,
    tries: dict[str, Tries],
    state: _State,
) -> None:
    ray = _ray()
    resources: dict[str, float] = ray.cluster_resources()
    concurrency = recipe.endpoint.concurrency
    num_workers = max(1, min(int(resources.get("CPU", 1)), len(todo), concurrency))
    # A worker takes a batch up when it has ended the one before, so a batch holds twice the videos
    # that keep its share of the calls going; fewer where some worker would get none.
    share = math.ceil(concurrency / num_workers)
    batch_size = min(2 * share, math.ceil(len(todo) / num_workers))
    is_over = threading.Event()
    watcher = threading.Thread(target=_watch, args=(actor, state, is_over), daemon=True)
    watcher.start()
    try:
        with _ray_errors():
            found = ray.data.from_items(
                todo, override_num_blocks=math.ceil(len(todo) / batch_size)
            ).map_batches(
                AnnotateWorker,
                fn_constructor_args=(
                    *(recipe.model_dump(mode="json"), actor, 2 * share, tries),
                    Surroundings(str(Path.cwd()), {}),  # workers need no key
                ),
                batch_size=batch_size,
                compute=ray.data.ActorPoolStrategy(size=num_workers),
                num_cpus=1,
            )
            for row in found.iter_rows():
                state.add(row)
            state.tell(*ray.get(actor.news.remote()))
            ray.get(actor.aclose.remote())
    finally:
        is_over.set()
        watcher.join()


def _watch(actor: Any, state: _State, is_over: threading.Event) -> None:
    """Show calls and videos as they end: rows come back a whole batch at a time."""
    ray = _ray()
    while not is_over.wait(_NEWS_EVERY_SECONDS):
        try:
            state.tell(*ray.get(actor.news.remote()))
        except ray.exceptions.RayError:
            return  # what reads the rows meets the same error
