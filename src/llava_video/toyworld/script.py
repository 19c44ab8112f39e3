"""The script language: who does what, from when to when, and why.

A script is the whole truth about one video. It is a value (frozen dataclasses), prints as text that
people can read, and parses back to the same value::

    toyworld script 1
    level simple, seed 7, 8.4 seconds, aspect 1.000, noise 6.0
    actor red star size 0.420
    actor blue ring size 0.440
    story
      0.00-0.00 scene cut studio
      0.00-0.00 red star stand at 0.300,0.700
      1.20-3.00 blue ring enter left by 0.820 at 0.700,0.300
      4.00-6.10 red star move up-right by 0.500

Positions are in units of the picture's height, from its top left corner; x runs from 0 to `aspect`.
Sizes are diameters in the same unit.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from llava_video.errors import InputError
from llava_video.toyworld.words import COLOURS, DIRECTIONS, SHAPES

CAMERA = "camera"
SCENE = "scene"
SCENES = ("studio",)


@dataclass(frozen=True, slots=True)
class Verb:
    """What the arguments of a verb are: the words its `value` may be, whether it has numbers."""

    values: tuple[str, ...] = ()
    amount: bool = False
    place: bool = False


_WAYS = tuple(DIRECTIONS)
VERBS: dict[str, Verb] = {
    "cut": Verb(values=SCENES),  # the scene begins; nobody is on stage until placed
    "stand": Verb(place=True),  # is there, at once
    "enter": Verb(
        values=_WAYS, amount=True, place=True
    ),  # moves that way from outside to the place
    "leave": Verb(values=_WAYS, amount=True),  # moves that way until outside
    "move": Verb(values=_WAYS, amount=True),  # moves that way by this distance
}


@dataclass(frozen=True, slots=True)
class Actor:
    """Somebody on stage, called by what it looks like at first.

    Attributes:
        colour: one of `COLOURS`.
        shape: one of `SHAPES`.
        size: diameter of the circle around it.
    """

    colour: str
    shape: str
    size: float

    @property
    def name(self) -> str:
        """How scripts and questions call it: "red star"."""
        return f"{self.colour} {self.shape}"


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happens.

    Attributes:
        start_seconds: when it begins.
        end_seconds: when it has ended; equal to the start for something instantaneous.
        who: an actor's name, "camera" or "scene".
        what: one of `VERBS`.
        value: the verb's word: a direction, a scene.
        amount: the verb's number: a distance.
        place: (x, y) where the actor is when the event has ended, for verbs that place it.
        why: name of the actor that caused it, or "".
    """

    start_seconds: float
    end_seconds: float
    who: str
    what: str
    value: str = ""
    amount: float = 0.0
    place: tuple[float, float] | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Script:
    """The whole truth about one video.

    Attributes:
        level: which generator wrote it.
        seed: the generator's seed; it also picks the sensor noise.
        duration_seconds: length of the video.
        aspect: width over height.
        noise: standard deviation of the sensor noise in 8-bit levels, at 256 or more rows.
        actors: in drawing order, the last one in front.
        events: by start.

    Raises:
        InputError: an event has a stranger, an unknown verb or arguments its verb does not have.
    """

    level: str
    seed: int
    duration_seconds: float
    aspect: float
    noise: float
    actors: tuple[Actor, ...]
    events: tuple[Event, ...]

    def __post_init__(self) -> None:
        for problem in _problems(self):
            raise InputError(f"toyworld script (seed {self.seed}): {problem}")

    def actor(self, name: str) -> Actor:
        """The actor of that name."""
        return next(actor for actor in self.actors if actor.name == name)

    def of(self, who: str, *verbs: str) -> list[Event]:
        """Events of one actor (or "camera", "scene"), of these verbs where any are given."""
        return [e for e in self.events if e.who == who and (not verbs or e.what in verbs)]

    def __str__(self) -> str:
        return format_script(self)


def _problems(script: Script) -> Iterator[str]:
    names = [actor.name for actor in script.actors]
    if len(set(names)) != len(names):
        yield "two actors look the same"
    if script.duration_seconds <= 0 or script.aspect <= 0:
        yield "duration and aspect must be positive"
    for actor in script.actors:
        if actor.colour not in COLOURS or actor.shape not in SHAPES:
            yield f"nobody can look like a {actor.name}"
    starts = [event.start_seconds for event in script.events]
    if starts != sorted(starts):
        yield "events must be in the order of their start"
    for event in script.events:
        verb = VERBS.get(event.what)
        where = f"at {event.start_seconds:.2f} s"
        if event.who not in (*names, CAMERA, SCENE):
            yield f"{event.who!r} {where} is no actor"
        if event.why and event.why not in names:
            yield f"{event.why!r} {where} is no actor"
        if verb is None:
            yield f"{event.what!r} {where} is no verb; use one of {', '.join(VERBS)}"
        elif event.value not in (verb.values or ("",)):
            yield f"{event.what} {event.value!r} {where} has no meaning"
        elif verb.place != (event.place is not None) or (event.amount and not verb.amount):
            yield f"{event.what} {where} has the wrong arguments"
        if not 0 <= event.start_seconds <= event.end_seconds <= script.duration_seconds:
            yield f"{event.what} {where} is not inside the video"


_HEAD = "toyworld script 1"
_SETTING = re.compile(
    r"level (?P<level>\S+), seed (?P<seed>-?\d+), (?P<duration>[\d.]+) seconds, "
    r"aspect (?P<aspect>[\d.]+), noise (?P<noise>[\d.]+)"
)
_ACTOR = re.compile(r"actor (?P<colour>\S+) (?P<shape>\S+) size (?P<size>[\d.]+)")
_EVENT = re.compile(
    rf"  (?P<start>[\d.]+)-(?P<end>[\d.]+) (?P<who>{CAMERA}|{SCENE}|\S+ \S+) (?P<what>\S+)"
    r"(?: (?P<value>(?!by |at |because )\S+(?: (?!by |at |because )\S+)?))?"
    r"(?: by (?P<amount>[\d.]+))?"
    r"(?: at (?P<x>-?[\d.]+),(?P<y>-?[\d.]+))?"
    r"(?: because of (?P<why>\S+ \S+))?"
)


def format_script(script: Script) -> str:
    """The script as text, one line per actor and event; `parse_script` reads it back."""
    lines = [
        _HEAD,
        f"level {script.level}, seed {script.seed}, {script.duration_seconds:.2f} seconds, "
        f"aspect {script.aspect:.3f}, noise {script.noise:.1f}",
        *(f"actor {actor.name} size {actor.size:.3f}" for actor in script.actors),
        "story",
        *(_format_event(event) for event in script.events),
    ]
    return "\n".join(lines) + "\n"


def _format_event(event: Event) -> str:
    line = f"  {event.start_seconds:.2f}-{event.end_seconds:.2f} {event.who} {event.what}"
    if event.value:
        line += f" {event.value}"
    if event.amount:
        line += f" by {event.amount:.3f}"
    if event.place is not None:
        line += f" at {event.place[0]:.3f},{event.place[1]:.3f}"
    if event.why:
        line += f" because of {event.why}"
    return line


def parse_script(text: str) -> Script:
    """Read a script from its text.

    Raises:
        InputError: a line is not of the script language; the message names it.
    """
    lines = list(enumerate(text.splitlines(), start=1))
    if not lines or lines[0][1] != _HEAD:
        raise InputError(f"this is no toyworld script: the first line must be {_HEAD!r}")
    if len(lines) < 2:
        raise InputError("toyworld script, line 2: the setting is missing")
    setting = _match(_SETTING, *lines[1])
    actors: list[Actor] = []
    events: list[Event] = []
    for number, line in lines[2:]:
        if line.startswith("actor"):
            found = _match(_ACTOR, number, line)
            actors.append(Actor(found["colour"], found["shape"], float(found["size"])))
        elif line.startswith("  "):
            events.append(_parse_event(_match(_EVENT, number, line)))
        elif line != "story":
            raise InputError(f"toyworld script, line {number}: cannot read {line!r}")
    return Script(
        level=setting["level"],
        seed=int(setting["seed"]),
        duration_seconds=float(setting["duration"]),
        aspect=float(setting["aspect"]),
        noise=float(setting["noise"]),
        actors=tuple(actors),
        events=tuple(events),
    )


def _parse_event(found: re.Match[str]) -> Event:
    return Event(
        start_seconds=float(found["start"]),
        end_seconds=float(found["end"]),
        who=found["who"],
        what=found["what"],
        value=found["value"] or "",
        amount=float(found["amount"] or 0.0),
        place=None if found["x"] is None else (float(found["x"]), float(found["y"])),
        why=found["why"] or "",
    )


def _match(pattern: re.Pattern[str], number: int, line: str) -> re.Match[str]:
    found = pattern.fullmatch(line)
    if found is None:
        raise InputError(f"toyworld script, line {number}: cannot read {line!r}")
    return found


def script_path_of(video_path: str | Path) -> Path:
    """Where the script of a video lies: beside it, ``clip.mp4`` -> ``clip.script.txt``."""
    return Path(video_path).with_suffix(".script.txt")
