"""Recognise what happens by watching where everything is at every moment.

This is the other route to the truth: not from the script's list of events. It sees only the
`Stage`, sampled densely, as a patient viewer would, and finds out who did what by looking for
changes. The checker answers questions from it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from llava_video.toyworld.script import Actor, Script
from llava_video.toyworld.stage import Stage, perform
from llava_video.toyworld.words import COLOURS, DIRECTIONS, PHRASES

STEP_SECONDS = 0.02
_TOUCH = 0.87  # of the sum of both radii: closer than this, two shapes touch
_LIFT = 0.08  # a shorter way than this is being picked up or put down, not moving
_FLASH_SECONDS = 0.5  # a colour that lasts less is a flash
_AT_ONCE_SECONDS = 0.05

Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Sighting:
    """Something an actor was seen doing.

    Attributes:
        who: name of the actor.
        verb: a key of `PHRASES`.
        value: the word that goes with it: a direction, a colour, another actor's name.
        start_seconds: when the change began.
        end_seconds: when it ended.
        direction: which way a movement went, also of coming and going.
        speed: of a movement, in heights per second.
        count: how often, of what repeats.
        arms: of waving, "left", "right" or "both".
        cause: name of the actor that ran into this one at that moment, or "".
        carrier: name of the person that carried it while it moved, or "".
    """

    who: str
    verb: str
    value: str = ""
    start_seconds: float = 0.0
    end_seconds: float = 0.0
    direction: str = ""
    speed: float = 0.0
    count: int = 0
    arms: str = ""
    cause: str = ""
    carrier: str = ""

    @property
    def sentence(self) -> str:
        """Who does what, as questions say it."""
        return f"the {self.who} {self.phrase}"

    @property
    def phrase(self) -> str:
        """What it does."""
        return PHRASES[self.verb][0].format(value=self.value)


def detect(script: Script) -> tuple[Stage, list[Sighting]]:
    """Detect the deeds of a whole performance, by start."""
    num_steps = int(script.duration_seconds / STEP_SECONDS) + 1
    stage = perform(script, np.arange(num_steps, dtype=np.float64) * STEP_SECONDS)
    seen: list[Sighting] = []
    for shot in range(int(stage.shot.max()) + 1):
        steps = np.flatnonzero(stage.shot == shot)
        window = slice(int(steps[0]), int(steps[-1]) + 1)
        in_shot: list[Sighting] = []
        for index, actor in enumerate(script.actors):
            view = _View(stage, actor, index, window, script.aspect)
            for notice in _DETECTORS:
                in_shot += notice(view)
        seen += _explain(script, stage, in_shot)
    # A collision comes before what it causes, though both are seen in the same step.
    return stage, sorted(seen, key=lambda s: s.start_seconds - 0.05 * (s.verb == "hit"))


class _View:
    """One actor during one shot."""

    def __init__(
        self, stage: Stage, actor: Actor, index: int, window: slice, aspect: float
    ) -> None:
        self.actor, self.aspect = actor, aspect
        self.times = stage.times_seconds[window]
        self.x, self.y = stage.x[index, window], stage.y[index, window]
        self.size, self.angle = stage.size[index, window], stage.angle[index, window]
        self.opacity, self.colour = stage.opacity[index, window], stage.colour[index, window]
        self.hop, self.crouch = stage.hop[index, window], stage.crouch[index, window]
        self.arms = stage.arms[index, window]

    def sighting(self, verb: str, first: int, last: int, value: str = "") -> Sighting:
        """A sighting between two steps."""
        return Sighting(
            self.actor.name,
            verb,
            value,
            float(self.times[first]),
            float(self.times[min(last, len(self.times) - 1)]),
        )


def _runs(flags: Flags, *, bridge: int = 0) -> Iterator[tuple[int, int]]:
    """First and last index of each run of true flags; gaps up to `bridge` do not interrupt one."""
    where = np.flatnonzero(flags)
    if len(where) == 0:
        return
    breaks = np.flatnonzero(np.diff(where) > bridge + 1)
    starts = np.concatenate([[0], breaks + 1])
    ends = np.concatenate([breaks, [len(where) - 1]])
    for start, end in zip(starts, ends, strict=True):
        yield int(where[start]), int(where[end])


def _movements(view: _View) -> Iterator[Sighting]:
    there = view.opacity > 0
    dx, dy = np.diff(view.x), np.diff(view.y)
    moving = (np.hypot(dx, dy) > 1e-6) & there[1:] & there[:-1]
    for first, before_last in _runs(moving):
        last = before_last + 1
        across, down = view.x[last] - view.x[first], view.y[last] - view.y[first]
        way = float(np.hypot(across, down))
        direction = max(
            DIRECTIONS, key=lambda d: across * DIRECTIONS[d][0] + down * DIRECTIONS[d][1]
        )
        if _is_outside(view, first):
            verb = "enter"
        elif _is_outside(view, last):
            verb = "leave"
        elif way < _LIFT:
            verb = "take" if down < 0 else "drop"  # by whom is found out later
        else:
            verb = "walk" if view.actor.is_person else "move"
        value = direction if verb in ("walk", "move") else ""
        yield replace(
            view.sighting(verb, first, last, value),
            direction=direction,
            speed=way / ((last - first) * STEP_SECONDS),
        )


def _is_outside(view: _View, step: int) -> bool:
    x, y = view.x[step], view.y[step]
    return bool(x < 0 or x > view.aspect or y < 0 or y > 1)


def _fading(view: _View) -> Iterator[Sighting]:
    partly = (view.opacity > 0) & (view.opacity < 1)
    for first, last in _runs(partly):
        if view.opacity[first] < view.opacity[last]:
            yield view.sighting("appear", first - 1, last)
        else:
            yield view.sighting("vanish", first - 1, last)


def _blinking(view: _View) -> Iterator[Sighting]:
    there = np.flatnonzero(view.opacity > 0)
    if len(there) == 0:
        return
    gone = view.opacity == 0
    gone[: there[0]] = gone[there[-1] :] = False
    max_gap = round(0.4 / STEP_SECONDS)
    for first, last in _runs(gone, bridge=max_gap):
        count = len(list(_runs(gone[first : last + 1])))
        yield replace(view.sighting("blink", first, last), count=count)


def _spinning(view: _View) -> Iterator[Sighting]:
    turned = np.diff(view.angle)
    for first, last in _runs(turned != 0, bridge=3):
        part = turned[first : last + 1]
        way = "clockwise" if (part >= 0).all() else "counterclockwise"
        if (part > 0).any() and (part < 0).any():
            way = "back-and-forth"
        yield view.sighting("spin", first, last, way)


def _resizing(view: _View) -> Iterator[Sighting]:
    change = np.diff(view.size)
    for verb, flags in (("grow", change > 1e-9), ("shrink", change < -1e-9)):
        for first, last in _runs(flags):
            yield view.sighting(verb, first, last)


def _recolouring(view: _View) -> Iterator[Sighting]:
    names = list(COLOURS)
    palette = np.array([COLOURS[name] for name in names], dtype=np.float64)
    away = np.abs(view.colour[:, None, :] - palette).max(axis=2)
    name = np.where(away.min(axis=1) < 1e-6, away.argmin(axis=1), -1)
    edges = [0, *(np.flatnonzero(np.diff(name)) + 1).tolist(), len(name)]
    steady = [(int(name[a]), a, b) for a, b in itertools.pairwise(edges) if name[a] >= 0]
    for (before, _, before_end), (colour, first, end), after in zip(
        steady, steady[1:], [*steady[2:], None], strict=False
    ):
        short = (end - first) * STEP_SECONDS < _FLASH_SECONDS
        if short and after is not None and after[0] == before:
            yield view.sighting("flash", first, end, names[colour])
        elif first - before_end > 2:
            yield view.sighting("recolour", before_end - 1, first, names[colour])


def _jumping(view: _View) -> Iterator[Sighting]:
    max_gap = round(0.1 / STEP_SECONDS)
    for first, last in _runs(view.hop > 1e-6, bridge=max_gap):
        count = len(list(_runs(view.hop[first : last + 1] > 0.2)))
        yield replace(view.sighting("jump", first, last), count=count)


def _sitting(view: _View) -> Iterator[Sighting]:
    change = np.diff(view.crouch)
    for verb, flags in (("sit", change > 1e-9), ("rise", change < -1e-9)):
        for first, last in _runs(flags):
            yield view.sighting(verb, first, last)


def _waving(view: _View) -> Iterator[Sighting]:
    lifted = view.arms > 0.05
    for first, last in _runs(lifted[:, 0] | lifted[:, 1], bridge=3):
        left, right = bool(lifted[first:last, 0].any()), bool(lifted[first:last, 1].any())
        arms = "both" if left and right else "left" if left else "right"
        high = view.arms[first : last + 1].max(axis=1) > 2.7
        count = len(list(_runs(high)))
        yield replace(view.sighting("wave", first, last), count=count, arms=arms)


_DETECTORS = (
    _movements,
    _fading,
    _blinking,
    _spinning,
    _resizing,
    _recolouring,
    _jumping,
    _sitting,
    _waving,
)


def _explain(script: Script, stage: Stage, seen: list[Sighting]) -> list[Sighting]:
    """Find out who carried, picked up, put down, or ran into whom."""
    row = {actor.name: index for index, actor in enumerate(script.actors)}
    people = [actor.name for actor in script.actors if actor.is_person]
    explained = []
    for sighting in seen:
        if sighting.verb in ("take", "drop"):
            step = round(sighting.start_seconds / STEP_SECONDS)
            reach = {name: _reach(stage, row[name], row[sighting.who], step) for name in people}
            bearer = min(people, key=reach.__getitem__)
            explained.append(replace(sighting, who=bearer, value=sighting.who))
        elif sighting.verb in ("move", "leave"):
            explained.append(replace(sighting, carrier=_carrier(sighting, seen)))
        else:
            explained.append(sighting)
    hits = []
    for mover in explained:
        if mover.verb == "move" and not mover.carrier:
            for index, other in enumerate(explained):
                if _runs_into(mover, other, stage, row):
                    explained[index] = replace(other, cause=mover.who)
                    moment = mover.end_seconds
                    hits.append(Sighting(mover.who, "hit", other.who, moment, moment))
    return [*hits, *explained]


def _reach(stage: Stage, person: int, thing: int, step: int) -> float:
    """How far a thing is from the place beside a person where things are taken and put down."""
    size = stage.size[person, step]
    beside = 0.27 * size + stage.size[thing, step] / 2
    across = abs(stage.x[thing, step] - stage.x[person, step]) - beside
    down = stage.y[thing, step] - stage.y[person, step] - 0.08 * size
    return float(np.hypot(across, down))


def _carrier(moved: Sighting, seen: list[Sighting]) -> str:
    """Who moved exactly together with something."""
    for other in seen:
        if (
            other.verb in ("walk", "leave")
            and other.who != moved.who
            and (
                abs(other.start_seconds - moved.start_seconds) < _AT_ONCE_SECONDS
                and other.direction == moved.direction
                and abs(other.speed - moved.speed) < 1e-6
            )
        ):
            return other.who
    return ""


def _runs_into(mover: Sighting, other: Sighting, stage: Stage, row: dict[str, int]) -> bool:
    """Whether one stops where it touches the other, which changes at that very moment."""
    if mover.who == other.who or other.verb == "hit":
        return False
    if abs(mover.end_seconds - other.start_seconds) > _AT_ONCE_SECONDS:
        return False
    a, b = row[mover.who], row[other.who]
    # The moment of contact lies between two steps, so that it may be seen a step's way too early.
    step = round(mover.end_seconds / STEP_SECONDS)
    near = slice(max(0, step - 2), step + 2)
    apart = np.hypot(stage.x[a, near] - stage.x[b, near], stage.y[a, near] - stage.y[b, near])
    reach = _TOUCH * (stage.size[a, near] + stage.size[b, near]) / 2
    return bool((apart <= reach + mover.speed * STEP_SECONDS).any())
