"""Set pieces: small stories of one to three actors, with the floor they need.

A piece reserves every spot its actors will ever touch. So no two pieces meet, whenever they are
played, and the only collisions are those a piece is about.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from llava_video.toyworld.generate.floor import Floor, Point, shift, sweep
from llava_video.toyworld.generate.soloist import (
    ROUND_SHAPES,
    SPEEDS,
    Role,
    Soloist,
    Step,
    menu,
    seconds_for,
    step,
)
from llava_video.toyworld.script import Event
from llava_video.toyworld.words import DIRECTIONS

CONTACT = 0.85  # of the sum of both radii: where two shapes touch


@dataclass(frozen=True, slots=True)
class Piece:
    """A story: who stands where when the shot begins, and then what happens, step by step."""

    standing: tuple[tuple[str, Point], ...]
    steps: tuple[Step, ...]


def solo(rng: random.Random, floor: Floor, role: Role, num_deeds: int) -> Piece | None:
    """One actor does up to `num_deeds` things; with none it only stands there."""
    here = next(floor.spots(rng, role.actor.size), None)
    if here is None:
        return None
    soloist = Soloist(rng, floor, role, here)
    if num_deeds and rng.random() < 0.3:
        soloist.perform(rng.choice(("enter", "enter", "appear")))
    wanted = rng.sample(menu(role.actor), len(menu(role.actor)))
    while wanted and len(soloist.steps) < num_deeds and not soloist.seated:
        soloist.perform(wanted.pop())
    if num_deeds and not soloist.seated and rng.random() < 0.3:
        soloist.perform(rng.choice(("leave", "leave", "vanish")))
    standing = () if soloist.entered else ((role.actor.name, here),)
    return Piece(standing, tuple(soloist.steps))


def hit(rng: random.Random, floor: Floor, striker: Role, struck: Role) -> Piece | None:
    """One shape runs into another one, which moves away, changes colour, vanishes or spins."""
    a, b = striker.actor, struck.actor
    if striker.used & {"move", "hit"} or struck.used & {"move", "hit"}:
        return None
    apart = CONTACT * (a.size + b.size) / 2
    for here in floor.spots(rng, a.size):
        direction = rng.choice(tuple(DIRECTIONS))
        distance = floor.distance(rng, 0.2, 0.4)
        there = shift(here, direction, distance + apart)
        there = (round(there[0], 3), round(there[1], 3))
        away = floor.distance(rng, 0.2, 0.35)
        discs = sweep(here, direction, distance, a.size / 2)
        discs += sweep(there, direction, away, b.size / 2)
        if floor.holds(*shift(there, direction, away), b.size / 2) and floor.is_free(discs):
            break
    else:
        return None
    floor.reserve(discs)
    speeds = ("at medium speed", "fast")
    impact = seconds_for(rng, distance, floor.unit, *speeds)
    soloist = Soloist(rng, Floor(floor.aspect), struck, there)
    spin = () if b.shape in ROUND_SHAPES else ("spin",)
    effects = [e for e in ("recolour", "vanish", *spin) if e not in struck.used]
    effect = rng.choice(["move", "move", *effects])
    if effect == "move":
        seconds = seconds_for(rng, away, floor.unit, *speeds)
        consequence = Event(0.0, seconds, b.name, "move", direction, away)
    else:
        soloist.perform(effect)
        consequence = soloist.steps[0].events[0]
    striker.used |= {"move", "hit"}
    struck.used |= {"move", "hit", effect}
    happens = (
        Event(0.0, impact, a.name, "move", direction, distance),
        Event(impact, impact, a.name, "hit", b.name),
        later(consequence, impact, why=a.name),
    )
    return Piece(((a.name, here), (b.name, there)), (step(*happens),))


def later(event: Event, seconds: float, *, why: str = "") -> Event:
    """The same event, shifted in time."""
    return Event(
        round(event.start_seconds + seconds, 2),
        round(event.end_seconds + seconds, 2),
        event.who,
        event.what,
        event.value,
        event.amount,
        event.place,
        why or event.why,
    )


def carry(rng: random.Random, floor: Floor, carrier: Role, item: Role) -> Piece | None:
    """A person walks to a thing, picks it up, carries it somewhere and perhaps puts it down."""
    person, thing = carrier.actor, item.actor
    if carrier.used & {"move", "take"} or item.used & {"move", "held"}:
        return None
    reach = 0.27 * person.size + thing.size / 2
    for here in floor.spots(rng, person.size):
        side = rng.choice(("left", "right"))
        walk = floor.distance(rng, 0.15, 0.3)
        stop = shift(here, side, walk)
        thing_at = shift((stop[0], stop[1] + 0.08 * person.size), side, reach)
        thing_at = (round(thing_at[0], 3), round(thing_at[1], 3))
        direction = rng.choice([way for way in DIRECTIONS if way != side])
        way = floor.distance(rng, 0.2, 0.45)
        discs = sweep(here, side, walk, person.size / 2)
        discs += sweep(stop, direction, way, person.size / 2)
        discs += sweep(thing_at, direction, way, thing.size / 2 + 0.03)
        ends = (
            (*shift(stop, direction, way), person.size / 2),
            (*shift(thing_at, direction, way), thing.size / 2 + 0.05),
            (*thing_at, thing.size / 2 + 0.05),
        )
        if all(floor.holds(*end) for end in ends) and floor.is_free(discs):
            break
    else:
        return None
    floor.reserve(discs)
    carrier.used |= {"move", "take"}
    item.used |= {"move", "held"}
    item.changed = carrier.changed = True
    arrival = seconds_for(rng, walk, floor.unit, "at medium speed")
    taken = round(arrival + 0.3, 2)
    seconds = seconds_for(rng, way, floor.unit, *SPEEDS)
    steps = [
        step(
            Event(0.0, arrival, person.name, "move", side, walk),
            Event(taken, round(taken + 0.4, 2), person.name, "take", thing.name),
        ),
        step(Event(0.0, seconds, person.name, "move", direction, way)),
    ]
    if rng.random() < 0.7:
        steps.append(step(Event(0.0, 0.4, person.name, "drop", thing.name)))
    return Piece(((person.name, here), (thing.name, thing_at)), tuple(steps))


def flashes(rng: random.Random, floor: Floor, roles: list[Role]) -> Piece | None:
    """Two or three shapes flash so shortly after one another that few frames show it."""
    standing: list[tuple[str, Point]] = []
    events = []
    for number, role in enumerate(roles):
        here = next(floor.spots(rng, role.actor.size), None)
        if here is None or "flash" in role.used:
            return None
        floor.reserve([(*here, role.actor.size / 2)])
        standing.append((role.actor.name, here))
        flash = Event(0.0, 0.25, role.actor.name, "flash", rng.choice(role.wardrobe))
        events.append(later(flash, 0.4 * number))
    for role in roles:
        role.used.add("flash")
    return Piece(tuple(standing), (step(*events),))
