"""Levels "standard", "crowded" and "long": whole stories, shot by shot."""

from __future__ import annotations

import itertools
import random
from collections import deque
from dataclasses import dataclass

from llava_video.toyworld.generate.floor import Floor
from llava_video.toyworld.generate.pieces import Piece, carry, flashes, hit, later, solo
from llava_video.toyworld.generate.soloist import Role
from llava_video.toyworld.script import CAMERA, SCENE, Actor, Event, Script
from llava_video.toyworld.words import COLOURS, LETTERS_ON_SHAPES, PERSON, SCENES, SHAPES

_CAMERA_SECONDS = 3.0  # kept free at the end of a shot for the camera
_MOST_DEEDS = 12
_NO_DEEDS = ("cut", "stand", "pan", "zoom")
_START_GAP_SECONDS = 0.6  # between the starts of two deeds of different pieces


@dataclass(frozen=True, slots=True)
class Level:
    """The ranges a story is drawn from, each with both ends.

    Attributes:
        seconds: length of the video.
        shots: number of scenes.
        cast: number of actors in a shot.
        deeds: number of things that happen in all.
        size: diameters of shapes.
    """

    seconds: tuple[float, float]
    shots: tuple[int, int]
    cast: tuple[int, int]
    deeds: tuple[int, int]
    size: tuple[float, float]


STORY_LEVELS = {
    "standard": Level((8.0, 30.0), (1, 2), (2, 5), (1, 7), (0.17, 0.26)),
    "crowded": Level((12.0, 40.0), (1, 1), (7, 11), (3, 9), (0.10, 0.14)),
    "long": Level((45.0, 120.0), (1, 4), (2, 5), (6, 10), (0.16, 0.24)),
}


def direct(seed: int, name: str, aspect: float, seconds: float | None = None) -> Script:
    """A script of one of `STORY_LEVELS`, in which something happens, but not too much."""
    for attempt in itertools.count():
        rng = random.Random(f"toyworld {name} {seed} {attempt}")
        script = _direct(rng, seed, name, aspect, seconds)
        deeds = [event for event in script.events if event.what not in _NO_DEEDS]
        if 1 <= len(deeds) <= _MOST_DEEDS:
            return script
    raise AssertionError("unreachable")


def _direct(
    rng: random.Random, seed: int, name: str, aspect: float, seconds: float | None
) -> Script:
    level = STORY_LEVELS[name]
    duration = round(rng.uniform(*level.seconds), 1)
    if seconds is not None:
        duration = round(seconds, 2)
    num_shots = rng.randint(*level.shots)
    num_shots = max(1, min(num_shots, int(duration // 6)))
    num_deeds = rng.randint(*level.deeds)
    cast = _cast(rng, level, num_shots, aspect)
    scenes = rng.sample([scene for scene in SCENES if scene != "studio"], num_shots)
    camera_shot = rng.choice((-1, rng.randrange(num_shots)))
    events: list[Event] = []
    on_call = list(cast)
    for shot, scene in enumerate(scenes):
        start = round(duration * shot / num_shots, 2)
        end = round(duration * (shot + 1) / num_shots, 2)
        events.append(Event(start, start, SCENE, "cut", scene))
        roles = rng.sample(on_call, min(len(on_call), rng.randint(*level.cast)))
        share = num_deeds // num_shots + (shot < num_deeds % num_shots)
        free_end = end - (_CAMERA_SECONDS if shot == camera_shot else 0.3)
        pieces = _write_pieces(rng, Floor(aspect), roles, share)
        for piece in pieces:
            events += [Event(start, start, who, "stand", place=at) for who, at in piece.standing]
        events += _schedule(rng, pieces, start, free_end)
        if shot == camera_shot:
            events.append(_film(rng, max(e.end_seconds for e in events), end))
        on_call = [role for role in on_call if role not in roles or not role.changed]
    events.sort(key=lambda event: (event.start_seconds, _URGENCY.get(event.what, 9)))
    seen = {event.who for event in events}
    actors = sorted((r.actor for r in cast if r.actor.name in seen), key=lambda a: a.is_person)
    noise = round(rng.uniform(3.0, 9.0), 1)
    return Script(name, seed, duration, round(aspect, 3), noise, tuple(actors), tuple(events))


_URGENCY = {"cut": 0, "stand": 1, "hit": 2}  # order of what happens at the same moment


def _cast(rng: random.Random, level: Level, num_shots: int, aspect: float) -> list[Role]:
    """Everybody who may come on stage. No two ever look alike, nor when they change colour."""
    num_actors = min(24, level.cast[1] + 2 * (num_shots - 1))
    num_people = rng.choice((0, 1, 1, 2, 2))
    looks: list[tuple[str, str]] = []
    # A small palette, so that colours and shapes recur and questions have to name both.
    colours = rng.sample(tuple(COLOURS), rng.randint(4, 8))
    common = rng.choice(SHAPES)
    while len(looks) < num_actors:
        shape = rng.choice((common, common, common, *SHAPES))
        look = (rng.choice(colours), PERSON if len(looks) < num_people else shape)
        if look not in looks and [kind for _, kind in looks].count(look[1]) < 5:
            looks.append(look)
    roles = []
    for colour, shape in looks:
        size = rng.uniform(*level.size) * min(1.0, aspect) * (1.35 if shape == PERSON else 1.0)
        letter, hat = "", ""
        if shape in ("circle", "square") and rng.random() < 0.6:
            letter = rng.choice(LETTERS_ON_SHAPES)
        if shape == PERSON and rng.random() < 0.85:
            hat = rng.choice([c for c in COLOURS if c != colour])
        alike = {other for other, kind in looks if kind == shape}
        wardrobe = tuple(c for c in COLOURS if c not in alike)
        roles.append(Role(Actor(colour, shape, round(size, 3), letter, hat), wardrobe))
    return roles


def _write_pieces(
    rng: random.Random, floor: Floor, roles: list[Role], num_deeds: int
) -> list[Piece]:
    """Stories until there are deeds enough; the other actors stand still."""
    pieces: list[Piece] = []
    idle = list(roles)
    while idle:
        people = [role for role in idle if role.actor.is_person]
        things = [role for role in idle if not role.actor.is_person and role.wardrobe]
        kind = rng.choice(("solo", "solo", "solo", "hit", "hit", "carry", "carry", "flashes"))
        piece: Piece | None = None
        used: list[Role] = []
        if kind == "hit" and num_deeds >= 2 and len(things) >= 2:
            used = rng.sample(things, 2)
            piece = hit(rng, floor, *used)
        elif kind == "carry" and num_deeds >= 2 and people and things:
            used = [rng.choice(people), rng.choice(things)]
            piece = carry(rng, floor, *used)
        elif kind == "flashes" and num_deeds >= 2 and len(things) >= 2:
            used = rng.sample(things, min(len(things), num_deeds, rng.randint(2, 3)))
            piece = flashes(rng, floor, used)
        if piece is None:
            used = [idle[0]]
            piece = solo(rng, floor, idle[0], rng.randint(min(1, num_deeds), min(3, num_deeds)))
        idle = [role for role in idle if role not in used]
        if piece is not None:
            pieces.append(piece)
            num_deeds = max(0, num_deeds - sum(len(step.events) for step in piece.steps))
    return pieces


def _schedule(rng: random.Random, pieces: list[Piece], start: float, end: float) -> list[Event]:
    """Play the steps of all pieces between two moments, some of them at the same time."""
    waiting = [deque(piece.steps) for piece in pieces if piece.steps]
    ready = {id(queue): 0.0 for queue in waiting}
    total = sum(step.seconds for queue in waiting for step in queue)
    slack = max(0.0, end - start - total) / (1 + sum(len(queue) for queue in waiting))
    events: list[Event] = []
    last_start, last_end = start, start
    while waiting:
        queue = rng.choice(waiting)
        step = queue.popleft()
        together = rng.random() < 0.25
        begin = last_start + _START_GAP_SECONDS if together else last_end + 0.3
        begin = max(begin, ready[id(queue)]) + rng.uniform(0.0, 1.6 * slack)
        if begin + step.seconds > end:
            begin = max(last_start + _START_GAP_SECONDS, ready[id(queue)])
        begin = round(begin, 2)
        if begin + step.seconds > end:
            queue.clear()  # no time left for the rest of this story
        else:
            events += [later(event, begin) for event in step.events]
            last_start = max(e.start_seconds for e in events)
            last_end = max(e.end_seconds for e in events)
            ready[id(queue)] = begin + step.seconds + 0.3
        waiting = [queue for queue in waiting if queue]
    return events


def _film(rng: random.Random, earliest: float, end: float) -> Event:
    """The camera moves at the end of a shot, when all else is done."""
    start = round(max(earliest + 0.3, end - _CAMERA_SECONDS + 0.3), 2)
    seconds = min(end - 0.2 - start, rng.uniform(1.2, 2.2))
    stop = round(start + seconds, 2)
    if rng.random() < 1 / 3:
        factor = round(rng.uniform(1.4, 1.7), 2)
        return Event(start, stop, CAMERA, "zoom", rng.choice(("in", "out")), factor)
    distance = round(rng.uniform(0.25, 0.45), 3)
    return Event(start, stop, CAMERA, "pan", rng.choice(("left", "right", "up", "down")), distance)
