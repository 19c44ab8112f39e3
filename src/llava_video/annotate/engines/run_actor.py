"""The actor that makes the calls of a run on a cluster, and what workers have of it.

Nothing here needs Ray but the errors of remote calls.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llava_video.annotate.recipe import Recipe
from llava_video.calls.address import variables_of
from llava_video.calls.annotator import AttemptError
from llava_video.calls.caller import ENDS_THE_RUN, Caller, InterruptedRunError
from llava_video.calls.ledger import Ledger, LedgerError, SavedVideo
from llava_video.calls.make_annotator import make_annotator
from llava_video.calls.messages import Reply, Request
from llava_video.calls.pricing import load_prices
from llava_video.calls.totals import Totals
from llava_video.errors import InputError, LlavaVideoError, VideoError

LOST = (
    "the Ray actor that holds the ledger is gone; what it had committed is in the run's folder: "
    "run again to resume"
)


@dataclass(frozen=True, slots=True)
class Failure:
    """An error on its way between processes: its type by name, and what it says."""

    kind: str
    message: str

    @classmethod
    def of(cls, error: LlavaVideoError) -> Failure:
        """An error that a step or a run knows what to do about, as what it is to them."""
        kinds = (kind.__name__ for kind in _KINDS if isinstance(error, kind))
        return cls(next(kinds, LlavaVideoError.__name__), str(error))

    def to_error(self) -> LlavaVideoError:
        """The error, to be raised here."""
        if self.kind == AttemptError.__name__:
            return AttemptError(self.message, "failed", is_transient=False)
        kinds = (kind for kind in _KINDS if kind.__name__ == self.kind)
        return next(kinds, LlavaVideoError)(self.message)


_KINDS: tuple[type[LlavaVideoError], ...] = (*ENDS_THE_RUN, AttemptError, InputError, VideoError)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a command has around it, for processes of a cluster that began elsewhere.

    Attributes:
        folder: where it was called, to which paths are relative.
        environment: the variables that its endpoint's settings name.
    """

    folder: str
    environment: dict[str, str]

    @classmethod
    def of(cls, recipe: Recipe) -> Surroundings:
        """Those of this process."""
        names = variables_of(recipe.endpoint)
        here = {name: os.environ[name] for name in names if name in os.environ}
        return cls(str(Path.cwd()), here)

    def take(self) -> None:
        """Be as if this process had been started there; where the folder is not, stay."""
        os.environ.update(self.environment)
        with suppress(OSError):
            os.chdir(self.folder)


class RunActor:
    """The actor that makes the calls of all workers, and holds the ledger.

    Errors of what workers ask for are returned: Ray's own would not arrive as they were raised.
    """

    def __init__(self, path: str, recipe: dict[str, Any], surroundings: Surroundings) -> None:
        surroundings.take()
        read = Recipe.model_validate(recipe)
        self._ledger = Ledger(Path(path), read.max_usd)
        self._annotator = make_annotator(read.endpoint)
        prices = load_prices(read.endpoint.prices_file)
        self._caller = Caller(self._annotator, self._ledger, read.endpoint, prices)
        self._ends: dict[str, str] = {}
        self._begun: Counter[str] = Counter()

    async def call(self, request: Request) -> Reply | Failure:
        """See `Caller.call`."""
        try:
            return await self._caller.call(request)
        except LlavaVideoError as error:
            return Failure.of(error)

    async def begin(self, video_id: str) -> int:
        """Count a worker that takes a video up; returns how many have."""
        self._begun[video_id] += 1
        return self._begun[video_id]

    async def save_video(self, video: SavedVideo) -> Failure | None:
        """See `Ledger.save_video`."""
        try:
            await self._ledger.save_video(video)
        except LedgerError as error:
            return Failure.of(error)
        self._ends[video.video_id] = video.end
        return None

    async def stop(self, reason: str) -> None:
        """Send nothing more; calls in flight are waited for."""
        self._caller.stop(InterruptedRunError(reason))

    async def news(self) -> tuple[Totals, dict[str, str]]:
        """Sums, and how videos have ended since the last time."""
        ends, self._ends = self._ends, {}
        return self._ledger.totals(), ends

    async def aclose(self) -> None:
        """Wait for the calls in flight, and finish all writes."""
        await self._caller.wait()
        await self._annotator.aclose()
        await self._ledger.aclose()


class RemoteRun:
    """A worker's side of a `RunActor`.

    Args:
        actor: its handle.
        num_calls: that it is given at a time, so that pictures do not pile up there.
    """

    def __init__(self, actor: Any, num_calls: int) -> None:
        self._actor = actor
        self._slots = asyncio.Semaphore(num_calls)

    async def call(self, request: Request) -> Reply:
        """See `Caller.call`."""
        async with self._slots:
            answer: Reply = await self._of(self._actor.call.remote(request))
        return answer

    async def begin(self, video_id: str) -> int:
        """See `RunActor.begin`."""
        number: int = await self._of(self._actor.begin.remote(video_id))
        return number

    async def save_video(self, video: SavedVideo) -> None:
        """See `Ledger.save_video`."""
        await self._of(self._actor.save_video.remote(video))

    async def _of(self, reference: Any) -> Any:
        """The result of a remote call.

        Raises:
            LlavaVideoError: as the actor had it; a `LedgerError` where the actor is gone.
        """
        from ray.exceptions import RayActorError

        try:
            result = await reference
        except RayActorError as error:
            raise LedgerError(LOST) from error
        if isinstance(result, Failure):
            raise result.to_error()
        return result
