"""Answers to toy world questions as a witness gives them, one function for each kind.

They read a question's closed form (`kind` and `about`), and its options where it is about these.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from llava_video.toyworld.questions.question import Question
from llava_video.toyworld.verify.observer import Witness
from llava_video.toyworld.words import COLOURS

_MOVEMENTS = ("move", "walk", "enter", "leave")


def _after(witness: Witness, question: Question) -> str:
    who, phrase = question.about
    sighting = witness.neighbour(who, phrase, 1)
    return sighting.phrase if sighting else "nothing"


def _before(witness: Witness, question: Question) -> str:
    who, phrase = question.about
    sighting = witness.neighbour(who, phrase, -1)
    return sighting.phrase if sighting else "nothing"


def _next(witness: Witness, question: Question) -> str:
    known = witness.only(question.about[0])
    return witness.sightings[witness.sightings.index(known) + 1].sentence


def _why(witness: Witness, question: Question) -> str:
    cause = witness.only(question.about[0]).cause
    return f"the {cause} hits it" if cause else "nothing makes it do that"


def _effect(witness: Witness, question: Question) -> str:
    hit = witness.only(question.about[0])
    (result,) = [s for s in witness.of(hit.value) if s.cause == hit.who]
    return result.sentence


def _stop(witness: Witness, question: Question) -> str:
    hits = witness.of(question.about[0], "hit")
    return f"it hits the {hits[0].value}" if hits else "nothing stops it"


def _does(witness: Witness, question: Question) -> str:
    return "yes" if witness.happened(question.about) else "no"


def _is_before(witness: Witness, question: Question) -> str:
    first, second = (witness.only(sentence) for sentence in question.about)
    return "yes" if first.start_seconds < second.start_seconds else "no"


def _first_or_last(witness: Witness, question: Question) -> str:
    which, *listed = question.about
    order = witness.happened((*question.options, *listed))
    return order[0 if which == "first" else -1]


def _story(witness: Witness, question: Question) -> str:
    first, second, third = witness.happened(question.about)
    return f"first {first}, then {second}, and then {third}"


def _begin(witness: Witness, question: Question) -> str:
    return witness.sightings[0].sentence


def _end(witness: Witness, question: Question) -> str:
    return witness.sightings[-1].sentence


def _carrier(witness: Witness, question: Question) -> str:
    bearers = {
        s.who for s in witness.sightings if s.verb == "take" and s.value == question.about[0]
    }
    return f"the {bearers.pop()}" if bearers else "nobody"


def _never(witness: Witness, question: Question) -> str:
    true = witness.happened(question.options)
    (false,) = [option for option in question.options if option not in true]
    return false


def _premise(witness: Witness, question: Question) -> str:
    who, phrase = question.about
    sighting = witness.neighbour(who, phrase, 1)
    if sighting is not None:
        return sighting.phrase
    # The question says "they move left" or "it moves left"; the answer denies just that.
    denials = [o for o in (*question.options, question.answer) if " not " in o]
    return denials[0]


def _place(witness: Witness, question: Question) -> str:
    return witness.places[0 if question.about[0] == "first" else -1]


def _clothes(witness: Witness, question: Question) -> str:
    return witness.colours(witness.single(shape="person")[0])[0]


def _hat(witness: Witness, question: Question) -> str:
    return witness.script.actor(question.about[0]).hat or "no hat"


def _letter(witness: Witness, question: Question) -> str:
    return witness.script.actor(question.about[0]).letter or "nothing"


def _doing(witness: Witness, question: Question) -> str:
    done = {sighting.phrase for sighting in witness.of(question.about[0])}
    (true,) = [option for option in question.options if option in done]
    return true


def _colour(witness: Witness, question: Question) -> str:
    (colour,) = witness.colours(witness.single(shape=question.about[0])[0])
    return colour


def _shape(witness: Witness, question: Question) -> str:
    return witness.single(colour=question.about[0])[1].shape


def _repeats(witness: Witness, question: Question) -> str:
    (sighting,) = witness.of(*question.about)
    return str(sighting.count)


def _how_many(witness: Witness, question: Question) -> str:
    return str(sum(name.endswith(question.about[0]) for name in witness.ever_visible))


def _places(witness: Witness, question: Question) -> str:
    return str(len(set(witness.places)))


def _exists(witness: Witness, question: Question) -> str:
    colour, shape = question.about
    indices = [i for i, actor in enumerate(witness.script.actors) if actor.shape == shape]
    return "yes" if any(colour in witness.colours(index) for index in indices) else "no"


def _side(witness: Witness, question: Question) -> str:
    (ax, ay), (bx, by) = (witness.present[name] for name in question.about)
    angle = math.degrees(math.atan2(ay - by, ax - bx)) % 360
    return ("right", "below", "left", "above")[round(angle / 90) % 4]


def _corner(witness: Witness, question: Question) -> str:
    x, y = witness.present[question.about[0]]
    row = "top" if y < 0.5 else "bottom"
    return f"{row} {'left' if x < witness.script.aspect / 2 else 'right'}"


def _nearest(witness: Witness, question: Question) -> str:
    who = question.about[0]
    others = {name: place for name, place in witness.present.items() if name != who}
    return f"the {min(others, key=lambda name: math.dist(others[name], witness.present[who]))}"


def _new_colour(witness: Witness, question: Question) -> str:
    (sighting,) = witness.of(question.about[0], question.kind)
    return sighting.value


def _size(witness: Witness, question: Question) -> str:
    index = witness.names.index(question.about[0])
    change = np.sign(np.diff(witness.stage.size[index]).round(9))
    steps = change[change != 0]
    changes = [int(steps[0]), *steps[1:][np.diff(steps) != 0].astype(int)] if len(steps) else []
    if len(changes) == 2:
        return f"it {'grows' if changes[0] > 0 else 'shrinks'}, then " + (
            "grows" if changes[1] > 0 else "shrinks"
        )
    return {(): "it stays the same", (1,): "it grows", (-1,): "it shrinks"}[tuple(changes)]


def _colour_then(witness: Witness, question: Question) -> str:
    shape, which = question.about
    index, _ = witness.single(shape=shape)
    there = np.flatnonzero(witness.stage.opacity[index] > 0)
    rgb = witness.stage.colour[index, there[0 if which == "first" else -1]]
    return {value: name for name, value in COLOURS.items()}[tuple(rgb.tolist())]


def _direction(witness: Witness, question: Question) -> str:
    (sighting,) = witness.of(question.about[0], *_MOVEMENTS)
    return sighting.direction


def _carried(witness: Witness, question: Question) -> str:
    (ride,) = [s for s in witness.rides if s.who == question.about[0]]
    return ride.direction


def _camera(witness: Witness, question: Question) -> str:
    stage = witness.stage
    same = np.diff(stage.shot) == 0
    zoom = np.diff(stage.zoom)[same]
    if zoom.any():
        return "it zooms in" if zoom.sum() > 0 else "it zooms out"
    across = float(np.diff(stage.camera_x)[same].sum())
    down = float(np.diff(stage.camera_y)[same].sum())
    if abs(across) < 1e-6 and abs(down) < 1e-6:
        return "it stays still"
    if abs(across) > abs(down):
        return "it moves right" if across > 0 else "it moves left"
    return "it moves down" if down > 0 else "it moves up"


def _how_fast(witness: Witness, question: Question) -> str:
    moves = witness.of(question.about[0], *_MOVEMENTS)
    if not moves:
        return "it does not move"
    # Seconds to cross the smaller side: about 9, 3.5 or 1.3.
    crossing = min(1.0, witness.script.aspect) / moves[0].speed
    if crossing > 5.5:
        return "slowly"
    return "at medium speed" if crossing > 2.1 else "fast"


def _fastest(witness: Witness, question: Question) -> str:
    which, *names = question.about
    speeds = {name: witness.of(name, "move", "walk")[0].speed for name in names}
    best = (max if which == "fastest" else min)(speeds, key=speeds.__getitem__)
    return f"the {best}"


def _spin(witness: Witness, question: Question) -> str:
    spins = witness.of(question.about[0], "spin")
    return spins[0].value if spins else "it does not spin"


def _arm(witness: Witness, question: Question) -> str:
    waves = witness.of(question.about[0], "wave")
    names = {"left": "the left one", "right": "the right one", "both": "both"}
    return names[waves[0].arms] if waves else "none"


def _coming(witness: Witness, question: Question) -> str:
    ways = witness.of(question.about[0], "enter", "appear")
    if not ways:
        return "it is there from the start"
    sides = {"right": "the left", "left": "the right", "down": "above", "up": "below"}
    return f"from {sides[ways[0].direction]}" if ways[0].direction else "out of nowhere"


def _going(witness: Witness, question: Question) -> str:
    ways = witness.of(question.about[0], "leave", "vanish")
    if not ways:
        return "it stays to the end"
    exits = {"left": "to the left", "right": "to the right", "up": "upwards", "down": "downwards"}
    return exits[ways[0].direction] if ways[0].direction else "by vanishing"


def _short_order(witness: Witness, question: Question) -> str:
    flashes = [s for s in witness.sightings if s.verb == "flash"]
    return f"the {flashes[0 if question.about[0] == 'first' else -1].who}"


# Level "simple" asks about looks and movements in its own words.


def _count(witness: Witness, question: Question) -> str:
    what, *look = question.about
    if what == "moving":
        return str(len({s.who for s in witness.sightings if s.verb in _MOVEMENTS}))
    return str(sum(what == "all" or look[0] in name.split() for name in witness.ever_visible))


def _order(witness: Witness, question: Question) -> str:
    look, verb, which = question.about
    verbs = _MOVEMENTS if verb == "move" else (verb,)
    movers = [s.who for s in witness.sightings if s.verb in verbs]
    colour, shape = movers[0 if which == "first" else -1].split()
    return shape if look == "shape" else colour


def _existence(witness: Witness, question: Question) -> str:
    verb, name = question.about
    if verb == "exist":
        return "yes" if name in witness.ever_visible else "no"
    return "yes" if witness.of(name, *(_MOVEMENTS if verb == "move" else (verb,))) else "no"


ANSWERS: dict[str, Callable[[Witness, Question], str]] = {
    "after": _after,
    "before": _before,
    "next": _next,
    "why": _why,
    "effect": _effect,
    "stop": _stop,
    "does": _does,
    "is_before": _is_before,
    "first_or_last": _first_or_last,
    "story": _story,
    "begin": _begin,
    "end": _end,
    "carrier": _carrier,
    "never": _never,
    "premise": _premise,
    "place": _place,
    "clothes": _clothes,
    "hat": _hat,
    "letter": _letter,
    "doing": _doing,
    "colour": _colour,
    "shape": _shape,
    "repeats": _repeats,
    "how_many": _how_many,
    "places": _places,
    "exists": _exists,
    "side": _side,
    "corner": _corner,
    "nearest": _nearest,
    "recolour": _new_colour,
    "flash": _new_colour,
    "size": _size,
    "colour_then": _colour_then,
    "direction": _direction,
    "carried": _carried,
    "camera": _camera,
    "how_fast": _how_fast,
    "fastest": _fastest,
    "spin": _spin,
    "arm": _arm,
    "coming": _coming,
    "going": _going,
    "short_order": _short_order,
    "count": _count,
    "order": _order,
    "existence": _existence,
}
