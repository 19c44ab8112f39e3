"""Answer toy world questions from what is seen on stage, to check the answers given with them.

Questions are made from the script's list of events. The checker never reads that list: it watches
the performance (`watch`) and the camera, finds the answer to a question's closed form (`kind` and
`about`), and says whether the question's own answer is that one, and no other option is right too.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from functools import cached_property

import numpy as np

from llava_video.toyworld.ask.questions import LETTERS, Question
from llava_video.toyworld.script import SCENE, Actor, Script
from llava_video.toyworld.tell.wordings import find_deeds
from llava_video.toyworld.watch import Sighting, watch
from llava_video.toyworld.words import COLOURS

_EDGE = 0.05  # seconds by which the moment of a sighting may be off
_MOVEMENTS = ("move", "walk", "enter", "leave")


class Checker:
    """Everything that can be known about a script's video by watching it."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.stage, everything = watch(script)
        self.seen = [s for s in everything if not s.carrier]
        self.rides = [s for s in everything if s.carrier]
        self.names = [actor.name for actor in script.actors]

    def check(self, question: Question) -> str:
        """What is wrong with a question's answer; "" if nothing is."""
        truth = self.answer(question)
        if truth != question.answer:
            return f"{question.question} is answered {question.answer!r}, but I saw {truth!r}"
        if question.options:
            place = LETTERS.index(question.answer_letter)
            if len(set(question.options)) != len(question.options):
                return f"{question.question} has the same option twice"
            if question.options[place] != truth:
                return f"{question.question} has {question.options[place]!r} as the right option"
        return ""

    def check_description(self, text: str, start_seconds: float, end_seconds: float) -> str:
        """What is wrong with a description of a span of the video; "" if nothing is."""
        told = Counter(find_deeds(text))
        surely, perhaps = Counter[tuple[str, str, str]](), Counter[tuple[str, str, str]]()
        for seen in self.seen:
            # The eye is a step late or early: at the edges of the span a deed may be told or not.
            inside = start_seconds - _EDGE <= seen.start_seconds <= end_seconds + _EDGE
            well_inside = start_seconds + _EDGE < seen.start_seconds < end_seconds - _EDGE
            perhaps[seen.who, seen.verb, seen.value] += inside
            surely[seen.who, seen.verb, seen.value] += well_inside
        problems = [f"not seen: {deed}" for deed in (told - perhaps)]
        problems += [f"not told: {deed}" for deed in (surely - told)]
        return "; ".join(problems)

    def answer(self, question: Question) -> str:
        """The answer as seen; it may depend on the options where a question is about them."""
        return _ANSWERS[question.kind](self, question)

    # What the answers below are made of.

    def of(self, who: str, *verbs: str) -> list[Sighting]:
        """What one actor was seen doing, by itself."""
        return [s for s in self.seen if s.who == who and (not verbs or s.verb in verbs)]

    def only(self, sentence: str) -> Sighting:
        """The one sighting that a sentence describes."""
        (found,) = [s for s in self.seen if s.sentence == sentence]
        return found

    def happened(self, sentences: tuple[str, ...]) -> list[str]:
        """Which of the sentences are true, in the order in which it happened."""
        return [s.sentence for s in self.seen if s.sentence in sentences]

    def neighbour(self, who: str, phrase: str, step: int) -> Sighting | None:
        """What somebody did before (-1) or after (+1) doing something."""
        own = self.of(who)
        places = [index for index, sighting in enumerate(own) if sighting.phrase == phrase]
        return own[places[0] + step] if places else None

    @cached_property
    def present(self) -> dict[str, tuple[float, float]]:
        """Who is in the picture at the very beginning, and where."""
        stage = self.stage
        return {
            name: (float(stage.x[index, 0]), float(stage.y[index, 0]))
            for index, name in enumerate(self.names)
            if stage.opacity[index, 0] > 0
        }

    @cached_property
    def ever_seen(self) -> list[str]:
        """Names of all that are in the video at any time."""
        opacity = self.stage.opacity.max(axis=1).tolist()
        return [name for name, most in zip(self.names, opacity, strict=True) if most > 0]

    @cached_property
    def places(self) -> list[str]:
        """The scenes, in the order they are shown; the camera's film leader says which."""
        cuts = self.script.of(SCENE, "cut")
        return [cuts[shot].value for shot in dict.fromkeys(self.stage.shot.tolist())]

    def colours(self, index: int) -> list[str]:
        """All colours an actor shows while it is there, in order."""
        there = self.stage.opacity[index] > 0
        shown = self.stage.colour[index, there]
        known = {rgb: name for name, rgb in COLOURS.items()}
        found = (known.get(tuple(row)) for row in shown.tolist())
        return list(dict.fromkeys(name for name in found if name))

    def single(self, *, shape: str = "", colour: str = "") -> tuple[int, Actor]:
        """The only actor of that shape, or that ever has that colour."""
        (found,) = [
            (index, actor)
            for index, actor in enumerate(self.script.actors)
            if actor.shape == shape or colour in self.colours(index)
        ]
        return found


def _after(checker: Checker, question: Question) -> str:
    who, phrase = question.about
    sighting = checker.neighbour(who, phrase, 1)
    return sighting.phrase if sighting else "nothing"


def _before(checker: Checker, question: Question) -> str:
    who, phrase = question.about
    sighting = checker.neighbour(who, phrase, -1)
    return sighting.phrase if sighting else "nothing"


def _next(checker: Checker, question: Question) -> str:
    known = checker.only(question.about[0])
    return checker.seen[checker.seen.index(known) + 1].sentence


def _why(checker: Checker, question: Question) -> str:
    cause = checker.only(question.about[0]).cause
    return f"the {cause} hits it" if cause else "nothing makes it do that"


def _effect(checker: Checker, question: Question) -> str:
    hit = checker.only(question.about[0])
    (result,) = [s for s in checker.of(hit.value) if s.cause == hit.who]
    return result.sentence


def _stop(checker: Checker, question: Question) -> str:
    hits = checker.of(question.about[0], "hit")
    return f"it hits the {hits[0].value}" if hits else "nothing stops it"


def _does(checker: Checker, question: Question) -> str:
    return "yes" if checker.happened(question.about) else "no"


def _is_before(checker: Checker, question: Question) -> str:
    first, second = (checker.only(sentence) for sentence in question.about)
    return "yes" if first.start_seconds < second.start_seconds else "no"


def _first_or_last(checker: Checker, question: Question) -> str:
    which, *listed = question.about
    order = checker.happened((*question.options, *listed))
    return order[0 if which == "first" else -1]


def _story(checker: Checker, question: Question) -> str:
    first, second, third = checker.happened(question.about)
    return f"first {first}, then {second}, and then {third}"


def _begin(checker: Checker, question: Question) -> str:
    return checker.seen[0].sentence


def _end(checker: Checker, question: Question) -> str:
    return checker.seen[-1].sentence


def _carrier(checker: Checker, question: Question) -> str:
    bearers = {s.who for s in checker.seen if s.verb == "take" and s.value == question.about[0]}
    return f"the {bearers.pop()}" if bearers else "nobody"


def _never(checker: Checker, question: Question) -> str:
    true = checker.happened(question.options)
    (false,) = [option for option in question.options if option not in true]
    return false


def _premise(checker: Checker, question: Question) -> str:
    who, phrase = question.about
    sighting = checker.neighbour(who, phrase, 1)
    if sighting is not None:
        return sighting.phrase
    # The question says "they move left" or "it moves left"; the answer denies just that.
    denials = [o for o in (*question.options, question.answer) if " not " in o]
    return denials[0]


def _place(checker: Checker, question: Question) -> str:
    return checker.places[0 if question.about[0] == "first" else -1]


def _clothes(checker: Checker, question: Question) -> str:
    return checker.colours(checker.single(shape="person")[0])[0]


def _hat(checker: Checker, question: Question) -> str:
    return checker.script.actor(question.about[0]).hat or "no hat"


def _letter(checker: Checker, question: Question) -> str:
    return checker.script.actor(question.about[0]).letter or "nothing"


def _doing(checker: Checker, question: Question) -> str:
    done = {sighting.phrase for sighting in checker.of(question.about[0])}
    (true,) = [option for option in question.options if option in done]
    return true


def _colour(checker: Checker, question: Question) -> str:
    (colour,) = checker.colours(checker.single(shape=question.about[0])[0])
    return colour


def _shape(checker: Checker, question: Question) -> str:
    return checker.single(colour=question.about[0])[1].shape


def _repeats(checker: Checker, question: Question) -> str:
    (sighting,) = checker.of(*question.about)
    return str(sighting.count)


def _how_many(checker: Checker, question: Question) -> str:
    return str(sum(name.endswith(question.about[0]) for name in checker.ever_seen))


def _places(checker: Checker, question: Question) -> str:
    return str(len(set(checker.places)))


def _exists(checker: Checker, question: Question) -> str:
    colour, shape = question.about
    indices = [i for i, actor in enumerate(checker.script.actors) if actor.shape == shape]
    return "yes" if any(colour in checker.colours(index) for index in indices) else "no"


def _side(checker: Checker, question: Question) -> str:
    (ax, ay), (bx, by) = (checker.present[name] for name in question.about)
    angle = math.degrees(math.atan2(ay - by, ax - bx)) % 360
    return ("right", "below", "left", "above")[round(angle / 90) % 4]


def _corner(checker: Checker, question: Question) -> str:
    x, y = checker.present[question.about[0]]
    row = "top" if y < 0.5 else "bottom"
    return f"{row} {'left' if x < checker.script.aspect / 2 else 'right'}"


def _nearest(checker: Checker, question: Question) -> str:
    who = question.about[0]
    others = {name: place for name, place in checker.present.items() if name != who}
    return f"the {min(others, key=lambda name: math.dist(others[name], checker.present[who]))}"


def _new_colour(checker: Checker, question: Question) -> str:
    (sighting,) = checker.of(question.about[0], question.kind)
    return sighting.value


def _size(checker: Checker, question: Question) -> str:
    index = checker.names.index(question.about[0])
    change = np.sign(np.diff(checker.stage.size[index]).round(9))
    steps = change[change != 0]
    changes = [int(steps[0]), *steps[1:][np.diff(steps) != 0].astype(int)] if len(steps) else []
    if len(changes) == 2:
        return f"it {'grows' if changes[0] > 0 else 'shrinks'}, then " + (
            "grows" if changes[1] > 0 else "shrinks"
        )
    return {(): "it stays the same", (1,): "it grows", (-1,): "it shrinks"}[tuple(changes)]


def _colour_then(checker: Checker, question: Question) -> str:
    shape, which = question.about
    index, _ = checker.single(shape=shape)
    there = np.flatnonzero(checker.stage.opacity[index] > 0)
    rgb = checker.stage.colour[index, there[0 if which == "first" else -1]]
    return {value: name for name, value in COLOURS.items()}[tuple(rgb.tolist())]


def _direction(checker: Checker, question: Question) -> str:
    (sighting,) = checker.of(question.about[0], *_MOVEMENTS)
    return sighting.direction


def _carried(checker: Checker, question: Question) -> str:
    (ride,) = [s for s in checker.rides if s.who == question.about[0]]
    return ride.direction


def _camera(checker: Checker, question: Question) -> str:
    stage = checker.stage
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


def _how_fast(checker: Checker, question: Question) -> str:
    moves = checker.of(question.about[0], *_MOVEMENTS)
    if not moves:
        return "it does not move"
    # Seconds to cross the smaller side: about 9, 3.5 or 1.3.
    crossing = min(1.0, checker.script.aspect) / moves[0].speed
    if crossing > 5.5:
        return "slowly"
    return "at medium speed" if crossing > 2.1 else "fast"


def _fastest(checker: Checker, question: Question) -> str:
    which, *names = question.about
    speeds = {name: checker.of(name, "move", "walk")[0].speed for name in names}
    best = (max if which == "fastest" else min)(speeds, key=speeds.__getitem__)
    return f"the {best}"


def _spin(checker: Checker, question: Question) -> str:
    spins = checker.of(question.about[0], "spin")
    return spins[0].value if spins else "it does not spin"


def _arm(checker: Checker, question: Question) -> str:
    waves = checker.of(question.about[0], "wave")
    names = {"left": "the left one", "right": "the right one", "both": "both"}
    return names[waves[0].arms] if waves else "none"


def _coming(checker: Checker, question: Question) -> str:
    ways = checker.of(question.about[0], "enter", "appear")
    if not ways:
        return "it is there from the start"
    sides = {"right": "the left", "left": "the right", "down": "above", "up": "below"}
    return f"from {sides[ways[0].direction]}" if ways[0].direction else "out of nowhere"


def _going(checker: Checker, question: Question) -> str:
    ways = checker.of(question.about[0], "leave", "vanish")
    if not ways:
        return "it stays to the end"
    exits = {"left": "to the left", "right": "to the right", "up": "upwards", "down": "downwards"}
    return exits[ways[0].direction] if ways[0].direction else "by vanishing"


def _short_order(checker: Checker, question: Question) -> str:
    flashes = [s for s in checker.seen if s.verb == "flash"]
    return f"the {flashes[0 if question.about[0] == 'first' else -1].who}"


# Level "simple" asks about looks and movements in its own words.


def _count(checker: Checker, question: Question) -> str:
    what, *look = question.about
    if what == "moving":
        return str(len({s.who for s in checker.seen if s.verb in _MOVEMENTS}))
    return str(sum(what == "all" or look[0] in name.split() for name in checker.ever_seen))


def _order(checker: Checker, question: Question) -> str:
    look, verb, which = question.about
    verbs = _MOVEMENTS if verb == "move" else (verb,)
    movers = [s.who for s in checker.seen if s.verb in verbs]
    colour, shape = movers[0 if which == "first" else -1].split()
    return shape if look == "shape" else colour


def _existence(checker: Checker, question: Question) -> str:
    verb, name = question.about
    if verb == "exist":
        return "yes" if name in checker.ever_seen else "no"
    return "yes" if checker.of(name, *(_MOVEMENTS if verb == "move" else (verb,))) else "no"


_ANSWERS: dict[str, Callable[[Checker, Question], str]] = {
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
