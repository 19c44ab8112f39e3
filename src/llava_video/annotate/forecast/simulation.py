"""How long a run takes: its calls as discrete events (SimPy), through everything they wait for.

What a call waits for, in order: the frames it sends (a core), the process that makes all calls (its
event loop), a slot (`endpoint.concurrency`), the limits per minute (the run's own `Allowance`), the
way up, the endpoint. Attempts fail and are made again after the run's pauses; a budget ends the run
as the ledger does. Videos are taken up in order, a few more at a time than calls may be.

Of a large run a part is simulated; the rest goes on at the rate of the part's middle.
"""

from __future__ import annotations

import random
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from llava_video.calls.rate_limit import Allowance

if TYPE_CHECKING:
    import simpy

_FIRST_PAUSE_SECONDS = 0.5  # of `calls.caller`: doubled with each attempt, up to a second more
_MIDDLE = (0.2, 0.8)


@dataclass(frozen=True, slots=True)
class PlannedCall:
    """One call of a video.

    Attributes:
        stage: the step that asks.
        num_pictures: frames to decode, encode and send.
        num_tokens: of the prompt, which limits per minute count.
        upload_bytes: of the request.
        usd: what it costs.
    """

    stage: str
    num_pictures: int = 0
    num_tokens: int = 0
    upload_bytes: int = 0
    usd: float = 0.0


PlannedVideo = tuple[tuple[PlannedCall, ...], ...]
"""The calls of a video: those of a group are made at the same time, groups one after another."""


@dataclass(frozen=True, slots=True)
class Rates:
    """What was measured, or is assumed.

    Attributes:
        picture_seconds: of one core, to decode, scale and encode a picture that is sent.
        call_seconds: of the process, for everything about a call but waiting.
        latency_seconds: answers' times by stage, of which each call draws one; under ``""`` those
            of stages that are not named.
        failed_share: attempts that fail and are made again.
        failed_seconds: how long such an attempt takes.
    """

    picture_seconds: float = 0.01
    call_seconds: float = 0.005
    latency_seconds: Mapping[str, Sequence[float]] = field(default_factory=lambda: {"": (5.0,)})
    failed_share: float = 0.0
    failed_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Fleet:
    """Where a run runs, and what its endpoint allows.

    Attributes:
        num_cores: of all machines.
        concurrency: calls at a time.
        rpm: requests per minute, or None.
        tpm: tokens per minute, or None.
        upload_bytes_per_second: of all machines, or None.
        attempts: at one call.
        max_wait_seconds: longest pause between two.
        max_usd: the budget, or None.
    """

    num_cores: int = 1
    concurrency: int = 16
    rpm: float | None = None
    tpm: float | None = None
    upload_bytes_per_second: float | None = None
    attempts: int = 8
    max_wait_seconds: float = 60.0
    max_usd: float | None = None


@dataclass(frozen=True, slots=True)
class Simulated:
    """What a run would be.

    Attributes:
        seconds: until its last video ends, or until the budget ends it.
        num_videos: that are done.
        num_failed: videos of which a call failed every time.
        num_calls: calls that were answered.
        num_attempts: attempts at them.
        usd: spent.
        busy: how much of the time each thing that calls wait for was used, 0 to 1.
        videos_per_second: in the middle of the run.
        is_stopped: whether the budget ended it.
    """

    seconds: float
    num_videos: int
    num_failed: int
    num_calls: int
    num_attempts: int
    usd: float
    busy: Mapping[str, float]
    videos_per_second: float
    is_stopped: bool = False

    @property
    def bottleneck(self) -> str:
        """What was used most."""
        return max(self.busy, key=lambda name: self.busy[name])


def simulate(
    videos: Sequence[PlannedVideo],
    fleet: Fleet,
    rates: Rates,
    *,
    num_videos: int | None = None,
    seed: int = 0,
) -> Simulated:
    """Simulate a run.

    Args:
        videos: the calls of each; where the run is larger, of a part of it that stands for all.
        fleet: where it runs.
        rates: how fast everything is.
        num_videos: of the whole run; the ones in ``videos`` by default.
        seed: of latencies, failures and pauses.
    """
    whole = num_videos or len(videos)
    if not videos:
        return Simulated(0.0, 0, 0, 0, 0, 0.0, {"calls": 0.0}, 0.0)
    # The part spends the part's share of the budget.
    share = whole / len(videos)
    part = _Run(videos, fleet, rates, max_usd=fleet.max_usd and fleet.max_usd / share, seed=seed)
    part.run()
    seconds = part.now if part.is_stopped or not part.ended_at else part.ended_at[-1]
    num_ended = len(part.ended_at)
    first, last = (int(num_ended * edge) for edge in _MIDDLE)
    middle = part.ended_at[last] - part.ended_at[first] if num_ended > 1 else seconds
    rate = max(1, last - first) / max(1e-9, middle)
    busy = part.busy(max(1e-9, seconds))
    if whole > len(videos):  # nearly all of it is the middle, where everything is at work
        busy = {
            name: min(1.0, value * seconds * rate / max(1, num_ended))
            for name, value in busy.items()
        }
        seconds += (share - 1) * num_ended / rate
    return Simulated(
        seconds=seconds,
        num_videos=round(part.num_done * share),
        num_failed=round(part.num_failed * share),
        num_calls=round(part.num_calls * share),
        num_attempts=round(part.num_attempts * share),
        usd=part.usd * share,
        busy=busy,
        videos_per_second=rate,
        is_stopped=part.is_stopped,
    )


class _StopError(Exception):
    """The budget holds no further call."""


class _FailedError(Exception):
    """Every attempt at a call failed."""


class _Run:
    """One run of the model."""

    def __init__(
        self,
        videos: Sequence[PlannedVideo],
        fleet: Fleet,
        rates: Rates,
        *,
        max_usd: float | None,
        seed: int,
    ) -> None:
        import simpy

        self._env = env = simpy.Environment()
        self._fleet, self._rates, self._max_usd = fleet, rates, max_usd
        self._waiting = iter(videos)
        self._num_at_a_time = min(len(videos), fleet.concurrency + fleet.num_cores)
        self._random = random.Random(seed)
        self._resources: dict[str, Any] = {
            "cores": simpy.PriorityResource(env, fleet.num_cores),
            "process": simpy.Resource(env, 1),
            "calls": simpy.Resource(env, fleet.concurrency),
            "upload": simpy.PriorityResource(env, 1),
        }
        self._used_seconds = dict.fromkeys(self._resources, 0.0)
        self._requests = Allowance(fleet.rpm, lambda: float(env.now))
        self._tokens = Allowance(fleet.tpm, lambda: float(env.now))
        self._num_tokens = 0
        self._reserved_usd = 0.0
        self._settled = env.event()
        self.ended_at: list[float] = []
        self.num_done = self.num_failed = self.num_calls = self.num_attempts = 0
        self.usd = 0.0
        self.is_stopped = False

    @property
    def now(self) -> float:
        return float(self._env.now)

    def run(self) -> None:
        """Until every video has ended."""
        for _ in range(self._num_at_a_time):
            self._env.process(self._take_videos())
        self._env.run()

    def busy(self, seconds: float) -> dict[str, float]:
        """Share of the time, or of the limit, that each resource was used."""
        found = {
            name: self._used_seconds[name] / seconds / resource.capacity
            for name, resource in self._resources.items()
        }
        if self._fleet.upload_bytes_per_second is None:
            del found["upload"]
        if self._fleet.rpm:
            found["requests per minute"] = 60 * self.num_attempts / seconds / self._fleet.rpm
        if self._fleet.tpm:
            found["tokens per minute"] = 60 * self._num_tokens / seconds / self._fleet.tpm
        return found

    def _take_videos(self) -> Generator[simpy.Event, Any, None]:
        for video in self._waiting:
            try:
                for group in video:
                    yield from self._group(group)
                self.num_done += 1
            except _FailedError:
                self.num_failed += 1
            except _StopError:
                self.is_stopped = True
            if self.is_stopped:
                return
            self.ended_at.append(self.now)

    def _group(self, group: Sequence[PlannedCall]) -> Generator[simpy.Event, Any, None]:
        """All calls finish even when one fails, as in the steps."""
        ends: list[Exception] = []

        def guarded(call: PlannedCall) -> Generator[simpy.Event, Any, None]:
            try:
                yield from self._call(call)
            except (_FailedError, _StopError) as error:
                ends.append(error)

        if len(group) == 1:
            yield from guarded(group[0])
        else:
            yield self._env.all_of([self._env.process(guarded(call)) for call in group])
        if ends:
            raise ends[0]

    def _call(self, call: PlannedCall) -> Generator[simpy.Event, Any, None]:
        if call.num_pictures:
            yield from self._use("cores", call.num_pictures * self._rates.picture_seconds)
        for number in range(self._fleet.attempts):
            if number:
                yield self._env.timeout(self._pause_seconds(number))
            yield from self._process()
            if (yield from self._attempt(call)):
                self.num_calls += 1
                return
        raise _FailedError

    def _process(self) -> Generator[simpy.Event, Any, None]:
        """The event loop of the process that makes all calls, which needs a core."""
        seconds = self._rates.call_seconds
        if not seconds:
            return
        with self._resources["process"].request() as loop:
            yield loop
            # Threads share cores, so that a call does not wait for all that are to decode.
            yield from self._use("cores", seconds, priority=0)
            self._used_seconds["process"] += seconds

    def _attempt(self, call: PlannedCall) -> Generator[simpy.Event, Any, bool]:
        """One attempt in a slot; returns whether it was answered."""
        with self._resources["calls"].request() as slot:
            yield slot
            wait = max(self._requests.wait_seconds(1), self._tokens.wait_seconds(call.num_tokens))
            if wait > 0:
                yield self._env.timeout(wait)
            yield from self._reserve(call)
            self.num_attempts += 1
            self._num_tokens += call.num_tokens
            if self._fleet.upload_bytes_per_second is not None:
                speed = self._fleet.upload_bytes_per_second
                yield from self._use("upload", call.upload_bytes / speed)
            is_answered = self._random.random() >= self._rates.failed_share
            latencies = self._rates.latency_seconds
            known = latencies.get(call.stage) or latencies[""]
            seconds = self._random.choice(known) if is_answered else self._rates.failed_seconds
            yield self._env.timeout(seconds)
            self._used_seconds["calls"] += seconds  # not those in which it waited for a limit
        self._reserved_usd -= call.usd
        self.usd += call.usd * is_answered
        self._settled.succeed()
        self._settled = self._env.event()
        return is_answered

    def _reserve(self, call: PlannedCall) -> Generator[simpy.Event, Any, None]:
        """As the ledger: wait while what is in flight may leave room, stop where nothing is."""
        while not self.is_stopped and self._max_usd is not None:
            if self.usd + self._reserved_usd + call.usd <= self._max_usd * (1 + 1e-9):
                break
            if self._reserved_usd < 1e-12:
                self.is_stopped = True
                break
            yield self._settled
        if self.is_stopped:
            raise _StopError
        self._reserved_usd += call.usd

    def _use(self, name: str, seconds: float, priority: int = 1) -> Iterator[Any]:
        """Use one of a resource for a while."""
        with self._resources[name].request(priority) as turn:
            yield turn
            yield self._env.timeout(seconds)
            self._used_seconds[name] += seconds

    def _pause_seconds(self, number: int) -> float:
        pause = _FIRST_PAUSE_SECONDS * 2 ** (number - 1) + self._random.random()
        return float(min(self._fleet.max_wait_seconds, pause))
