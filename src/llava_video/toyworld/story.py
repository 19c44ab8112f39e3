"""A script seen as a story: the deeds of its actors, in order and in words."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass
from functools import cached_property

from llava_video.toyworld.script import CAMERA, SCENE, Actor, Event, Script
from llava_video.toyworld.words import PERSON, PHRASES, SHAPES

# Starts of deeds that are at least this far apart count as one after the other.
CLEAR_GAP_SECONDS = 0.3
# What depends on an earlier deed of the same or another actor; its place could be guessed.
CONSEQUENT = ("hit", "take", "drop", "rise")
_NO_DEEDS = ("cut", "stand", "pan", "zoom")
_COMES_FROM = {"right": "from the left", "left": "from the right", "down": "from above"}
_COMES_FROM["up"] = "from below"
_GOES_TO = {"left": "to the left", "right": "to the right", "up": "upwards", "down": "downwards"}
_SIZE_CHANGES = {
    ("grow",): "it grows",
    ("shrink",): "it shrinks",
    ("grow", "shrink"): "it grows, then shrinks",
    ("shrink", "grow"): "it shrinks, then grows",
    (): "it stays the same",
}

# All answers there are to some questions. The last one says that nothing of the kind happens.
COMINGS = (*_COMES_FROM.values(), "out of nowhere", "it is there from the start")
GOINGS = (*_GOES_TO.values(), "by vanishing", "it stays to the end")
SIZE_CHANGES = tuple(_SIZE_CHANGES.values())
SPEED_WORDS = ("slowly", "at medium speed", "fast", "it does not move")


@dataclass(frozen=True, slots=True)
class Deed:
    """Something an actor does.

    Attributes:
        who: the actor's name.
        verb: a key of `PHRASES`.
        value: the verb's word, "" if it has none.
        event: what the script says about it.
    """

    who: str
    verb: str
    value: str
    event: Event

    @property
    def phrase(self) -> str:
        """What is said of one: "moves left"."""
        return PHRASES[self.verb][0].format(value=self.value)

    @property
    def plain(self) -> str:
        """What is said after "does" or of several: "move left"."""
        return PHRASES[self.verb][1].format(value=self.value)

    @property
    def sentence(self) -> str:
        """Who does it: "the red star moves left"."""
        return f"the {self.who} {self.phrase}"

    @property
    def start_seconds(self) -> float:
        """When it begins."""
        return self.event.start_seconds

    @property
    def speed(self) -> float:
        """Of a movement, in heights per second."""
        return self.event.amount / (self.event.end_seconds - self.event.start_seconds)


def is_clear(first: Deed, second: Deed) -> bool:
    """Whether one deed starts clearly after another one."""
    return second.start_seconds - first.start_seconds >= CLEAR_GAP_SECONDS


class Story:
    """What questions and descriptions want to know about a script."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.deeds = [self._deed(event) for event in script.events if event.what not in _NO_DEEDS]
        self.cuts = script.of(SCENE, "cut")
        self.camera = script.of(CAMERA)
        self.people = [actor.name for actor in script.actors if actor.is_person]
        self.things = [actor.name for actor in script.actors if not actor.is_person]

    def _deed(self, event: Event) -> Deed:
        walks = event.what == "move" and self.script.actor(event.who).is_person
        value = event.value if "{value}" in PHRASES[event.what][0] else ""
        return Deed(event.who, "walk" if walks else event.what, value, event)

    def of(self, who: str, *verbs: str) -> list[Deed]:
        """The deeds of one actor, in order; only these verbs if any are given."""
        return [d for d in self.deeds if d.who == who and (not verbs or d.verb in verbs)]

    @cached_property
    def unique_deeds(self) -> list[Deed]:
        """The deeds that a sentence names without doubt: nobody does the same twice."""
        sentences = Counter(deed.sentence for deed in self.deeds)
        return [deed for deed in self.deeds if sentences[deed.sentence] == 1]

    @cached_property
    def free_deeds(self) -> list[Deed]:
        """The deeds that depend on no other one: their order could be any."""
        return [d for d in self.unique_deeds if d.verb not in CONSEQUENT and not d.event.why]

    @cached_property
    def _free_ids(self) -> set[int]:
        return {id(deed) for deed in self.free_deeds}

    def is_free(self, *deeds: Deed) -> bool:
        """Whether all of these deeds of this story are free ones."""
        return all(id(deed) in self._free_ids for deed in deeds)

    def neighbours(self, kind: str) -> list[tuple[Deed, Deed]]:
        """Pairs of a deed and what the same actor does right "after" (or "before") it."""
        pairs = []
        for actor in self.script.actors:
            for first, second in itertools.pairwise(self.of(actor.name)):
                # Growing and shrinking come in pairs, so one would give away the other.
                resizing = {first.verb, second.verb} == {"grow", "shrink"}
                if self.is_free(first, second) and not resizing and is_clear(first, second):
                    pairs.append((first, second) if kind == "after" else (second, first))
        return pairs

    @cached_property
    def successions(self) -> list[tuple[Deed, Deed]]:
        """Pairs of a deed and what happens next, done by another actor."""
        pairs = []
        thirds: list[Deed | None] = [*self.deeds[2:], None]
        for first, second, third in zip(self.deeds, self.deeds[1:], thirds, strict=False):
            clear = is_clear(first, second) and (third is None or is_clear(second, third))
            if clear and self.is_free(first, second) and first.who != second.who:
                pairs.append((first, second))
        return pairs

    def outermost(self, which: str) -> Deed | None:
        """The deed with which the story begins or ends ("begin", "end"), if it is a free one."""
        deeds = self.deeds if which == "begin" else self.deeds[::-1]
        if len(deeds) < 2 or not self.is_free(deeds[0]):
            return None
        return deeds[0] if is_clear(*sorted(deeds[:2], key=lambda d: d.start_seconds)) else None

    @cached_property
    def carried(self) -> set[str]:
        """Actors that are picked up at some time."""
        return {deed.value for deed in self.deeds if deed.verb == "take"}

    def movements(self, who: str) -> list[Deed]:
        """How an actor goes from place to place by itself."""
        return self.of(who, "move", "walk", "enter", "leave")

    @cached_property
    def single_moves(self) -> list[Deed]:
        """Movements of actors that change their place just once, on stage and by themselves."""
        moves = [self.movements(a.name) for a in self.script.actors if a.name not in self.carried]
        return [m[0] for m in moves if len(m) == 1 and m[0].verb in ("move", "walk")]

    def appearances_of(self, actor: Actor) -> set[str]:
        """All colours an actor ever has."""
        changes = self.script.of(actor.name, "recolour", "flash")
        return {actor.colour, *(event.value for event in changes)}

    def colours_of(self, shape: str) -> set[str]:
        """All colours that actors of this shape ever have."""
        alike = [actor for actor in self.script.actors if actor.shape == shape]
        return {colour for actor in alike for colour in self.appearances_of(actor)}

    @cached_property
    def standing_at_start(self) -> dict[str, tuple[float, float]]:
        """Who is on stage when the video begins, and where."""
        return {
            event.who: event.place
            for event in self.script.events
            if event.what == "stand" and event.start_seconds == 0 and event.place is not None
        }

    # Facts about every actor (or shape, or event) of the story, by the words that answer questions.

    @cached_property
    def comings(self) -> dict[str, str]:
        """How actors that come just once come into the picture, one of `COMINGS`."""
        ways = {}
        for actor in self.script.actors:
            placed = self.script.of(actor.name, "stand", "enter", "appear")
            if len(placed) == 1 and placed[0].what == "enter":
                ways[actor.name] = _COMES_FROM[placed[0].value]
            elif len(placed) == 1 and placed[0].what == "appear":
                ways[actor.name] = "out of nowhere"
            elif len(placed) == 1 and placed[0].start_seconds == 0:
                ways[actor.name] = COMINGS[-1]
        return ways

    @cached_property
    def goings(self) -> dict[str, str]:
        """How actors go out of the picture, one of `GOINGS`."""
        ways = {}
        for actor in self.script.actors:
            exits = self.script.of(actor.name, "leave", "vanish")
            if len(exits) == 1 and exits[0].what == "leave":
                ways[actor.name] = _GOES_TO[exits[0].value]
            elif len(exits) == 1:
                ways[actor.name] = "by vanishing"
            elif not exits and len(self.cuts) == 1 and not self.camera:
                ways[actor.name] = GOINGS[-1]
        return ways

    @cached_property
    def size_changes(self) -> dict[str, str]:
        """How the sizes of shapes change, one of `SIZE_CHANGES`."""
        return {
            name: _SIZE_CHANGES[tuple(deed.verb for deed in self.of(name, "grow", "shrink"))]
            for name in self.things
        }

    def speed_word(self, move: Deed) -> str:
        """The word for the speed of a movement, one of `SPEED_WORDS`."""
        speed = move.speed / min(1.0, self.script.aspect)
        return SPEED_WORDS[(speed > 0.18) + (speed > 0.48)]

    @cached_property
    def speeds(self) -> dict[str, str]:
        """How fast actors move that move at most once, one of `SPEED_WORDS`."""
        words = {
            who: SPEED_WORDS[-1]
            for who in self.standing_at_start
            if not self.movements(who) and who not in self.carried
        }
        for move in self.single_moves:
            words[move.who] = self.speed_word(move)
        return words

    @cached_property
    def spins(self) -> dict[str, str]:
        """Which way shapes spin that would be seen to do so."""
        angular = [a.name for a in self.script.actors if a.shape not in ("circle", "ring", PERSON)]
        ways = dict.fromkeys(angular, "it does not spin")
        return ways | {deed.who: deed.value for deed in self.deeds if deed.verb == "spin"}

    @cached_property
    def waves(self) -> dict[str, str]:
        """Which arms people wave."""
        arms = {"left": "the left one", "right": "the right one", "both": "both"}
        waving = {d.who: arms[d.event.value] for d in self.deeds if d.verb == "wave"}
        return dict.fromkeys(self.people, "none") | waving

    @cached_property
    def numbers(self) -> dict[str, str]:
        """How many actors there are of each shape."""
        counts = Counter(actor.shape for actor in self.script.actors)
        return {shape: str(counts[shape]) for shape in (*SHAPES, PERSON)}
