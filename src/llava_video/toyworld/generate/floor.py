"""The floor of a shot: who touches which spots, so that nobody meets anybody by accident."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from llava_video.toyworld.words import DIRECTIONS

Point = tuple[float, float]
Disc = tuple[float, float, float]  # x, y, radius

_TRIES = 30
_SHORTEST_WAY = 0.1


class Floor:
    """The spots of one shot that are taken."""

    def __init__(self, aspect: float) -> None:
        self.aspect = aspect
        self.unit = min(1.0, aspect)
        self._discs: NDArray[np.float64] = np.zeros((0, 3))

    def is_free(self, discs: list[Disc]) -> bool:
        """Whether nobody else ever touches these spots."""
        mine = np.array(discs)
        apart = np.hypot(*(mine[:, None, :2] - self._discs[None, :, :2]).transpose(2, 0, 1))
        return bool((apart > mine[:, None, 2] + self._discs[None, :, 2] + 0.01).all())

    def reserve(self, discs: list[Disc]) -> None:
        """Keep others away from these spots."""
        self._discs = np.concatenate([self._discs, np.array(discs)])

    def holds(self, x: float, y: float, radius: float) -> bool:
        """Whether a disc lies inside the picture."""
        edge = radius + 0.01
        return edge <= x <= self.aspect - edge and edge <= y <= 1.0 - edge

    def distance(self, rng: random.Random, low: float, high: float) -> float:
        """A random way to go, in units of the smaller side, but never too short to be noticed."""
        return round(max(_SHORTEST_WAY, rng.uniform(low, high) * self.unit), 3)

    def spots(self, rng: random.Random, size: float) -> Iterator[Point]:
        """Random free spots inside the picture."""
        edge = size / 2 + 0.02
        for _ in range(_TRIES):
            x = round(rng.uniform(edge, self.aspect - edge), 3)
            y = round(rng.uniform(edge, 1.0 - edge), 3)
            if self.is_free([(x, y, size / 2)]):
                yield x, y


def shift(place: Point, direction: str, distance: float) -> Point:
    """The point at this distance."""
    dx, dy = DIRECTIONS[direction]
    return place[0] + dx * distance, place[1] + dy * distance


def sweep(place: Point, direction: str, distance: float, radius: float) -> list[Disc]:
    """All that a disc touches on its way."""
    num_stops = 2 + math.ceil(distance / radius)
    stops = (shift(place, direction, distance * k / (num_stops - 1)) for k in range(num_stops))
    return [(x, y, radius) for x, y in stops]


def way_out(place: Point, direction: str, size: float, aspect: float) -> float:
    """How far something has to go in a direction until it is outside the picture."""
    (x, y), (dx, dy) = place, DIRECTIONS[direction]
    ways = []
    if dx:
        ways.append(((aspect - x if dx > 0 else x) + size / 2 + 0.01) / abs(dx))
    if dy:
        ways.append(((1.0 - y if dy > 0 else y) + size / 2 + 0.01) / abs(dy))
    return round(min(ways), 3)
