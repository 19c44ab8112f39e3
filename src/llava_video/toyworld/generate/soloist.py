"""The part of a single actor, written deed by deed."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from llava_video.toyworld.generate.floor import Disc, Floor, Point, shift, sweep, way_out
from llava_video.toyworld.script import Actor, Event
from llava_video.toyworld.words import DIRECTIONS, HANDS, SPINS

SPEEDS: dict[str, tuple[float, float]] = {  # heights per second, far apart
    "slowly": (0.10, 0.13),
    "at medium speed": (0.26, 0.33),
    "fast": (0.66, 0.85),
}
ROUND_SHAPES = ("circle", "ring")  # nobody sees them spin
_CARDINALS = ("right", "down", "left", "up")


@dataclass(slots=True)
class Role:
    """One actor while its part is being written.

    Attributes:
        actor: what it looks like at first.
        wardrobe: colours it may change to without looking like somebody else.
        used: what it has done already; it does everything at most once.
        changed: whether it will look different from now on.
    """

    actor: Actor
    wardrobe: tuple[str, ...]
    used: set[str] = field(default_factory=set)
    changed: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """Events that belong together, in seconds from the start of the step."""

    events: tuple[Event, ...]
    seconds: float


def step(*events: Event) -> Step:
    """A step that lasts as long as its events."""
    return Step(events, max(event.end_seconds for event in events))


def seconds_for(rng: random.Random, distance: float, unit: float, *speeds: str) -> float:
    """How long a movement takes at one of these speeds."""
    speed = rng.uniform(*SPEEDS[rng.choice(speeds)])
    return max(0.2, round(distance / (speed * unit), 2))


class Soloist:
    """Writes the part of a single actor, deed by deed, reserving floor as it goes."""

    def __init__(self, rng: random.Random, floor: Floor, role: Role, here: Point) -> None:
        self.rng, self.floor, self.role, self.here = rng, floor, role, here
        self.name, self.size = role.actor.name, role.actor.size
        self.steps: list[Step] = []
        self.entered = self.seated = False
        floor.reserve([(*here, self.size / 2)])

    def perform(self, deed: str) -> bool:
        """Add a deed, unless it was done before or there is no room for it."""
        if deed in self.role.used:
            return False
        steps = _DEEDS[deed](self)
        if steps:
            self.role.used.add(deed)
            self.steps += steps
        return bool(steps)

    def _sweeps(self, start: Point, direction: str, distance: float, mine: list[Disc]) -> bool:
        """Reserve the floor of a movement if it is free but for this actor's own spots."""
        discs = [d for d in sweep(start, direction, distance, self.size / 2) if d not in mine]
        away = [d for d in discs if math.dist(d[:2], self.here) > self.size]
        if away and not self.floor.is_free(away):
            return False
        self.floor.reserve(discs)
        return True

    def _event(self, seconds: float, what: str, value: str = "", amount: float = 0.0) -> Step:
        return step(Event(0.0, round(seconds, 2), self.name, what, value, amount))

    def enter(self) -> list[Step]:
        """Come in from one of the four sides."""
        for direction in self.rng.sample(_CARDINALS, 4):
            back = _CARDINALS[(_CARDINALS.index(direction) + 2) % 4]
            distance = way_out(self.here, back, self.size, self.floor.aspect)
            if self._sweeps(self.here, back, distance, []):
                seconds = seconds_for(
                    self.rng, distance, self.floor.unit, "at medium speed", "fast"
                )
                self.entered = True
                event = Event(0.0, seconds, self.name, "enter", direction, distance, self.here)
                return [step(event)]
        return []

    def appear(self) -> list[Step]:
        """Fade in."""
        self.entered = True
        return [step(Event(0.0, 0.5, self.name, "appear", place=self.here))]

    def leave(self) -> list[Step]:
        """Go out through one of the four sides."""
        for direction in self.rng.sample(_CARDINALS, 4):
            distance = way_out(self.here, direction, self.size, self.floor.aspect)
            if self._sweeps(self.here, direction, distance, []):
                seconds = seconds_for(
                    self.rng, distance, self.floor.unit, "at medium speed", "fast"
                )
                return [self._event(seconds, "leave", direction, distance)]
        return []

    def vanish(self) -> list[Step]:
        """Fade out."""
        return [self._event(0.5, "vanish")]

    def move(self) -> list[Step]:
        """Go somewhere else."""
        for direction in self.rng.sample(tuple(DIRECTIONS), 8):
            distance = self.floor.distance(self.rng, 0.25, 0.5)
            there = shift(self.here, direction, distance)
            if self.floor.holds(*there, self.size / 2) and self._sweeps(
                self.here, direction, distance, []
            ):
                self.here = there
                seconds = seconds_for(self.rng, distance, self.floor.unit, *SPEEDS)
                return [self._event(seconds, "move", direction, distance)]
        return []

    def resize(self) -> list[Step]:
        """Grow or shrink, for good or for a while."""
        factor = round(self.rng.uniform(1.5, 1.8), 2)
        order = self.rng.choice((("grow",), ("shrink",), ("grow", "shrink"), ("shrink", "grow")))
        largest = self.size * (factor if order[0] == "grow" else 1.0)
        disc = (*self.here, largest / 2)
        self.role.changed = True
        if not self.floor.holds(*disc) or not self._grows(disc):
            order = self.rng.choice((("shrink",), ("shrink", "grow")))
        for what in order:
            self.size *= factor if what == "grow" else 1.0 / factor
        return [self._event(self.rng.uniform(0.8, 1.6), what, amount=factor) for what in order]

    def _grows(self, disc: tuple[float, float, float]) -> bool:
        """Reserve a larger spot around this actor, if nobody else is near."""
        edge = [
            (disc[0] + math.cos(a) * disc[2] * 0.9, disc[1] + math.sin(a) * disc[2] * 0.9, 0.0)
            for a in np.linspace(0, 2 * np.pi, 16)
        ]
        others = [d for d in edge if math.dist(d[:2], self.here) > self.size / 2 + 0.01]
        if others and not self.floor.is_free(others):
            return False
        self.floor.reserve([disc])
        return True

    def recolour(self) -> list[Step]:
        """Change colour for good."""
        self.role.changed = True
        colour = self.rng.choice(self.role.wardrobe)
        self.role.wardrobe = tuple(c for c in self.role.wardrobe if c != colour)
        return [self._event(0.4, "recolour", colour)]

    def flash(self) -> list[Step]:
        """Have another colour for a moment."""
        return [self._event(0.3, "flash", self.rng.choice(self.role.wardrobe))]

    def blink(self) -> list[Step]:
        """Be gone a few times, each time for a moment."""
        times = self.rng.randint(2, 5)
        return [self._event(0.4 * times, "blink", amount=times)]

    def jump(self) -> list[Step]:
        """Hop a few times."""
        x, y = self.here
        above = (x, y - 0.35 * self.size, self.size / 2)
        if not self.floor.holds(*above) or not self._grows(above):
            return []
        times = self.rng.randint(2, 5)
        return [self._event(0.5 * times, "jump", amount=times)]

    def wave(self) -> list[Step]:
        """Wave one arm or both a few times."""
        times = self.rng.randint(2, 5)
        return [self._event(0.5 * times, "wave", self.rng.choice(HANDS), times)]

    def sit(self) -> list[Step]:
        """Sit down, and perhaps stand up again."""
        if self.rng.random() < 0.5:
            return [self._event(0.6, "sit"), self._event(0.6, "rise")]
        self.role.changed = self.seated = True
        return [self._event(0.6, "sit")]

    def spin(self) -> list[Step]:
        """Turn around the own centre."""
        way = self.rng.choice(SPINS)
        degrees = 120 if way == "back-and-forth" else self.rng.randrange(180, 361, 10)
        return [self._event(self.rng.uniform(1.4, 2.2), "spin", way, degrees)]


# What a soloist can do, by name.
_DEEDS: dict[str, Callable[[Soloist], list[Step]]] = {
    "enter": Soloist.enter,
    "appear": Soloist.appear,
    "leave": Soloist.leave,
    "vanish": Soloist.vanish,
    "move": Soloist.move,
    "resize": Soloist.resize,
    "recolour": Soloist.recolour,
    "flash": Soloist.flash,
    "blink": Soloist.blink,
    "jump": Soloist.jump,
    "wave": Soloist.wave,
    "sit": Soloist.sit,
    "spin": Soloist.spin,
}


def menu(actor: Actor) -> tuple[str, ...]:
    """What an actor can do alone while it is on stage."""
    if actor.is_person:
        return ("move", "wave", "jump", "sit")
    spin = () if actor.shape in ROUND_SHAPES else ("spin",)
    return ("move", "move", "move", "resize", "recolour", "flash", "blink", "jump", *spin)
