"""The script language: who does what, from when to when, and why.

A script is the whole truth about one video. It is a value (frozen dataclasses), prints as text that
people can read, and parses back to the same value::

    toyworld script 1
    level simple, seed 7, 8.40 seconds, aspect 1.000, noise 6.0
    actor red star, size 0.420
    actor blue circle, size 0.440, letter K
    story
      0.00       scene: cut to meadow
      0.00       blue circle: stand at 0.700,0.300
      1.20-3.00  red star: enter left by 0.820 at 0.300,0.300
      4.00-5.10  red star: move right by 0.100
      5.10       red star: hit blue circle
      5.10-6.00  blue circle: move right by 0.150, because of red star

Positions are in units of the picture's height, from its top left corner; x runs from 0 to `aspect`.
Sizes are diameters in the same unit. Times are in seconds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from llava_video.errors import InputError
from llava_video.toyworld.words import (
    COLOURS,
    DIRECTIONS,
    HANDS,
    LETTERS_ON_SHAPES,
    PERSON,
    SCENES,
    SHAPES,
    SPINS,
)

CAMERA = "camera"
SCENE = "scene"


@dataclass(frozen=True, slots=True)
class Verb:
    """What can follow a verb.

    Attributes:
        who: "actor", "camera" or "scene".
        value: the words its `value` may be; none if it has no value.
        partner: whether its `value` is another actor's name.
        amount: how its `amount` prints; "" if it has none.
        place: whether it sets where the actor is.
    """

    who: str = "actor"
    value: tuple[str, ...] = ()
    partner: bool = False
    amount: str = ""
    place: bool = False


_DISTANCE = " by {:.3f}"
_FACTOR = " by factor {:.2f}"
_TIMES = " {:.0f} times"
_DEGREES = " by {:.0f} degrees"
_WAYS = tuple(DIRECTIONS)

VERBS: dict[str, Verb] = {
    # A cut opens a scene. Nobody is on stage until placed, and the camera is back at its place.
    "cut": Verb(SCENE, value=tuple(SCENES)),
    "pan": Verb(CAMERA, value=_WAYS, amount=_DISTANCE),
    "zoom": Verb(CAMERA, value=("in", "out"), amount=_FACTOR),
    # Coming and going. A place is where the actor is at the end of the event.
    "stand": Verb(place=True),
    "appear": Verb(place=True),
    "vanish": Verb(),
    "enter": Verb(value=_WAYS, amount=_DISTANCE, place=True),
    "leave": Verb(value=_WAYS, amount=_DISTANCE),
    "move": Verb(value=_WAYS, amount=_DISTANCE),
    # Changing in place.
    "spin": Verb(value=SPINS, amount=_DEGREES),
    "grow": Verb(amount=_FACTOR),
    "shrink": Verb(amount=_FACTOR),
    "recolour": Verb(value=tuple(COLOURS)),
    "flash": Verb(value=tuple(COLOURS)),  # has the colour for a moment only
    "blink": Verb(amount=_TIMES),
    "jump": Verb(amount=_TIMES),
    # What only people do.
    "wave": Verb(value=HANDS, amount=_TIMES),
    "sit": Verb(),
    "rise": Verb(),
    "take": Verb(partner=True),  # from here on the partner moves with the person
    "drop": Verb(partner=True),
    # The moment in which an actor runs into another one.
    "hit": Verb(partner=True),
}


@dataclass(frozen=True, slots=True)
class Actor:
    """An actor, named by its initial appearance.

    Attributes:
        colour: one of `COLOURS`; of a person, the colour of the clothes.
        shape: one of `SHAPES`, or "person".
        size: diameter of the circle around it.
        letter: one of `LETTERS_ON_SHAPES`, written on it, or "".
        hat: colour of a person's hat, or "".
    """

    colour: str
    shape: str
    size: float
    letter: str = ""
    hat: str = ""

    @property
    def name(self) -> str:
        """How scripts and questions call it: "red star"."""
        return f"{self.colour} {self.shape}"

    @property
    def is_person(self) -> bool:
        """Whether it is a jointed figure."""
        return self.shape == PERSON


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happens.

    Attributes:
        start_seconds: when it begins.
        end_seconds: when it has ended; equal to the start for something instantaneous.
        who: an actor's name, "camera" or "scene".
        what: one of `VERBS`.
        value: the verb's word: a direction, a colour, another actor.
        amount: the verb's number: a distance, a factor, degrees, how many times.
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
        if actor.colour not in COLOURS or actor.shape not in (*SHAPES, PERSON) or actor.size <= 0:
            yield f"nobody can look like a {actor.name} of size {actor.size}"
        if actor.letter not in ("", *LETTERS_ON_SHAPES) or actor.hat not in ("", *COLOURS):
            yield f"the {actor.name} cannot have letter {actor.letter!r} and hat {actor.hat!r}"
    starts = [event.start_seconds for event in script.events]
    if starts != sorted(starts):
        yield "events must be in the order of their start"
    if not script.events or script.events[0].what != "cut" or script.events[0].start_seconds > 0:
        yield "the first event must be a cut to a scene, at 0 seconds"
    for event in script.events:
        where = f"of {event.who} at {event.start_seconds:.2f} seconds"
        if event.why and event.why not in names:
            yield f"{event.why!r}, the cause of {event.what} {where}, is not an actor"
        if not 0 <= event.start_seconds <= event.end_seconds <= script.duration_seconds:
            yield f"{event.what} {where} is not inside the video"
        problem = _grammar_problem(event, names)
        if problem:
            yield f"{event.what} {where} {problem}"


def _grammar_problem(event: Event, names: list[str]) -> str:
    verb = VERBS.get(event.what)
    if verb is None:
        return f"is not a verb; use one of {', '.join(VERBS)}"
    if event.who not in (names if verb.who == "actor" else [verb.who]):
        return f"is not possible: only {verb.who} can do that"
    if event.value not in (names if verb.partner else verb.value or [""]):
        return f"cannot be followed by {event.value!r}"
    if bool(verb.amount) != (event.amount > 0) or verb.place != (event.place is not None):
        return "has the wrong arguments"
    return ""


_HEAD = "toyworld script 1"
_NUMBER = r"-?\d+(?:\.\d+)?"
_SETTING = re.compile(
    rf"level (?P<level>\S+), seed (?P<seed>-?\d+), (?P<duration>{_NUMBER}) seconds, "
    rf"aspect (?P<aspect>{_NUMBER}), noise (?P<noise>{_NUMBER})"
)
_ACTOR = re.compile(
    rf"actor (?P<colour>\w+) (?P<shape>\w+), size (?P<size>{_NUMBER})"
    r"(?:, letter (?P<letter>\w))?(?:, hat (?P<hat>\w+))?"
)
_EVENT = re.compile(
    rf"  (?P<start>{_NUMBER})(?:-(?P<end>{_NUMBER}))? +(?P<who>[\w ]+): (?P<what>\w+)"
    r"(?: (?:to )?(?P<value>(?!by |at )[a-z-]+(?: (?!by |at )[a-z]+)?))?"
    rf"(?: (?:by (?:factor )?)?(?P<amount>{_NUMBER})(?: times| degrees)?)?"
    rf"(?: at (?P<x>{_NUMBER}),(?P<y>{_NUMBER}))?"
    r"(?:, because of (?P<why>[\w ]+))?"
)


def format_script(script: Script) -> str:
    """The script as text, one line per actor and event; `parse_script` reads it back."""
    lines = [
        _HEAD,
        f"level {script.level}, seed {script.seed}, {script.duration_seconds:.2f} seconds, "
        f"aspect {script.aspect:.3f}, noise {script.noise:.1f}",
        *(_format_actor(actor) for actor in script.actors),
        "story",
        *(_format_event(event) for event in script.events),
    ]
    return "\n".join(lines) + "\n"


def _format_actor(actor: Actor) -> str:
    letter = f", letter {actor.letter}" if actor.letter else ""
    hat = f", hat {actor.hat}" if actor.hat else ""
    return f"actor {actor.name}, size {actor.size:.3f}{letter}{hat}"


def _format_event(event: Event) -> str:
    verb = VERBS[event.what]
    time = f"{event.start_seconds:.2f}"
    if event.end_seconds > event.start_seconds:
        time += f"-{event.end_seconds:.2f}"
    line = f"  {time:<13} {event.who}: {event.what}"
    if event.value:
        line += f" to {event.value}" if event.what in ("cut", "recolour") else f" {event.value}"
    if event.amount:
        line += verb.amount.format(event.amount)
    if event.place is not None:
        line += f" at {event.place[0]:.3f},{event.place[1]:.3f}"
    if event.why:
        line += f", because of {event.why}"
    return line


def parse_script(text: str) -> Script:
    """Read a script from its text.

    Raises:
        InputError: a line is not of the script language; the message names it.
    """
    lines = list(enumerate(text.splitlines(), start=1))
    if not lines or lines[0][1] != _HEAD:
        raise InputError(f"this is not a toyworld script: the first line must be {_HEAD!r}")
    if len(lines) < 2:
        raise InputError("toyworld script, line 2: the setting is missing")
    setting = _match(_SETTING, *lines[1])
    actors: list[Actor] = []
    events: list[Event] = []
    for number, line in lines[2:]:
        if line.startswith("actor"):
            found = _match(_ACTOR, number, line)
            actors.append(
                Actor(
                    found["colour"],
                    found["shape"],
                    float(found["size"]),
                    found["letter"] or "",
                    found["hat"] or "",
                )
            )
        elif line.startswith("  "):
            events.append(_parse_event(_match(_EVENT, number, line)))
        elif line.strip() not in ("story", ""):
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
        end_seconds=float(found["end"] or found["start"]),
        who=found["who"],
        what=found["what"],
        value=found["value"] or "",
        amount=float(found["amount"] or 0.0),
        place=None if found["x"] is None else (float(found["x"]), float(found["y"])),
        why=found["why"] or "",
    )


def _match(pattern: re.Pattern[str], number: int, line: str) -> re.Match[str]:
    found = pattern.fullmatch(line.rstrip())
    if found is None:
        raise InputError(f"toyworld script, line {number}: cannot read {line!r}")
    return found


def script_path_of(video_path: str | Path) -> Path:
    """Where the script of a video lies: beside it, ``clip.mp4`` -> ``clip.script.txt``."""
    return Path(video_path).with_suffix(".script.txt")
