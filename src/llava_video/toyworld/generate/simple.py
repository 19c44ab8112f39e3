"""Level "simple": one to four coloured shapes that stay, enter, leave or move; one thing each.

A model is trained on this level, so its distribution stays as it is. New things belong in other
levels.
"""

from __future__ import annotations

import itertools
import math
import random
from dataclasses import dataclass

from llava_video.toyworld.script import SCENE, Actor, Event, Script
from llava_video.toyworld.words import COLOURS, DIRECTIONS, SHAPES

_NOISE = 6.0
_START_GAP_SECONDS = 0.9  # between the starts of two movements, so that their order can be seen
_SIZES = {1: (0.40, 0.50), 2: (0.36, 0.46), 3: (0.31, 0.40), 4: (0.28, 0.35)}
_TRIES = 10  # to place one shape, before all start again


@dataclass(frozen=True, slots=True)
class _Path:
    """Where one shape rests: before its movement, after it, or (without a movement) always."""

    action: str
    direction: str
    distance: float
    before: tuple[float, float] | None
    after: tuple[float, float] | None


def generate_simple(seed: int, aspect: float, seconds: float | None = None) -> Script:
    """A script of level "simple"."""
    rng = random.Random(f"toyworld simple {seed}")
    duration = round(rng.uniform(5.0, 10.0), 1)
    if seconds is not None:
        duration = round(seconds, 2)
    num_actors = rng.randint(1, 4)
    moves_all = rng.random() < 0.6
    num_movers = num_actors if moves_all else rng.randrange(num_actors)
    looks = _appearances(rng, num_actors)
    actions = ["stay"] * (num_actors - num_movers)
    actions += [rng.choice(("move", "move", "enter", "leave")) for _ in range(num_movers)]
    rng.shuffle(actions)
    sizes, paths = _lay_out(rng, actions, aspect)
    actors = tuple(
        Actor(colour, shape, size) for (colour, shape), size in zip(looks, sizes, strict=True)
    )
    events = [Event(0.0, 0.0, SCENE, "cut", "studio")]
    starts = _start_times(rng, num_movers, duration)
    for actor, path in zip(actors, paths, strict=True):
        if path.before is not None:
            events.append(Event(0.0, 0.0, actor.name, "stand", place=path.before))
        if path.action != "stay":
            start = starts.pop()
            end = round(min(start + rng.uniform(1.2, 3.0), duration - 0.3), 2)
            place = path.after if path.action == "enter" else None
            events.append(
                Event(start, end, actor.name, path.action, path.direction, path.distance, place)
            )
    events.sort(key=lambda event: event.start_seconds)
    return Script("simple", seed, duration, round(aspect, 3), _NOISE, actors, tuple(events))


def _appearances(rng: random.Random, num_actors: int) -> list[tuple[str, str]]:
    """Colours and shapes, no pair twice; in some clips many share their colour or their shape."""
    colours, shapes = tuple(COLOURS), SHAPES
    theme = rng.choice(("", "", "", "colour", "shape"))
    num_alike = rng.randint(1, num_actors)
    colour, shape = rng.choice(colours), rng.choice(shapes)
    looks: list[tuple[str, str]] = []
    while len(looks) < num_actors:
        alike = len(looks) < num_alike
        look = (
            colour if theme == "colour" and alike else rng.choice(colours),
            shape if theme == "shape" and alike else rng.choice(shapes),
        )
        if look not in looks:
            looks.append(look)
    rng.shuffle(looks)
    return looks


def _start_times(rng: random.Random, count: int, duration: float) -> list[float]:
    """Moments at which movements start, in a random order, well apart."""
    free = duration - 1.8 - 0.2 - _START_GAP_SECONDS * (count - 1)
    slack = sorted(rng.uniform(0.0, free) for _ in range(count))
    starts = [round(0.2 + s + _START_GAP_SECONDS * i, 2) for i, s in enumerate(slack)]
    rng.shuffle(starts)
    return starts


def _lay_out(
    rng: random.Random, actions: list[str], aspect: float
) -> tuple[list[float], list[_Path]]:
    """Sizes and paths for all, so that nobody rests on top of another."""
    low, high = _SIZES[len(actions)]
    # Drawn once, so that directions which fit less often are not rarer.
    directions = [rng.choice(tuple(DIRECTIONS)) for _ in actions]
    for attempt in itertools.count():
        shrink = min(1.0, aspect) * 0.97 ** (attempt // 3)
        sizes = [round(rng.uniform(low, high) * shrink, 3) for _ in actions]
        paths: list[_Path] = []
        for action, direction, size in zip(actions, directions, sizes, strict=True):
            tries = (_path(rng, action, direction, size, aspect) for _ in range(_TRIES))
            good = (p for p in tries if p is not None and not _collides(p, size, paths, sizes))
            path = next(good, None)
            if path is None:
                break
            paths.append(path)
        if len(paths) == len(actions):
            return sizes, paths
    raise AssertionError("unreachable: shapes shrink until they fit")


def _path(
    rng: random.Random, action: str, direction: str, size: float, aspect: float
) -> _Path | None:
    """One random path, or None where the place drawn leaves no room for it."""
    margin = size / 2 + 0.02
    x, y = rng.uniform(margin, aspect - margin), rng.uniform(margin, 1.0 - margin)
    if action == "stay":
        return _Path(action, "", 0.0, (round(x, 3), round(y, 3)), None)
    dx, dy = DIRECTIONS[direction]
    if action == "move":
        step = rng.uniform(0.32, 0.55) * min(1.0, aspect)
        distance = round(step * (math.sqrt(2.0) if dx and dy else 1.0), 3)
    else:
        outward = -1.0 if action == "enter" else 1.0
        distance = round(_way_out((x, y), (outward * dx, outward * dy), size, aspect), 3)
        if distance < 0.4 * min(1.0, aspect) + size:
            return None
    here, there = (round(x, 3), round(y, 3)), (x + dx * distance, y + dy * distance)
    if action == "enter":
        return _Path(action, direction, distance, None, here)
    if action == "leave":
        return _Path(action, direction, distance, here, None)
    fits = margin <= there[0] <= aspect - margin and margin <= there[1] <= 1.0 - margin
    return _Path(action, direction, distance, here, there) if fits else None


def _way_out(
    place: tuple[float, float], towards: tuple[float, float], size: float, aspect: float
) -> float:
    """How far to go in a direction until fully outside the picture."""
    (x, y), (dx, dy) = place, towards
    ways = []
    if dx:
        ways.append(((aspect - x if dx > 0 else x) + size / 2 + 0.01) / abs(dx))
    if dy:
        ways.append(((1.0 - y if dy > 0 else y) + size / 2 + 0.01) / abs(dy))
    return min(ways)


def _collides(path: _Path, size: float, others: list[_Path], sizes: list[float]) -> bool:
    """Whether a resting place of the path lies on that of an earlier one."""
    mine = [place for place in (path.before, path.after) if place is not None]
    for other, other_size in zip(others, sizes, strict=False):
        reach = 0.42 * (size + other_size)
        for place in (other.before, other.after):
            if place is not None and any(math.dist(place, here) < reach for here in mine):
                return True
    return False
