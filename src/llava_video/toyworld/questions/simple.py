"""Questions for level "simple": colour, shape, count, direction, order and existence.

Like the level itself, these keep their distribution.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

from llava_video.toyworld.questions.question import Draft
from llava_video.toyworld.script import Actor, Event, Script
from llava_video.toyworld.words import COLOURS, DIRECTIONS, PLURALS, SHAPES

_MOVEMENTS = ("move", "enter", "leave")


def draft_simple(script: Script, rng: random.Random) -> list[Draft]:
    """Up to two drafts of each kind, about different things."""
    drafts: list[Draft] = []
    for ask in (_colour, _shape, _count, _direction, _order, _existence):
        found = [draft for _ in range(2) if (draft := ask(script, rng)) is not None]
        drafts += {draft.about: draft for draft in found}.values()
    return drafts


def _unique(script: Script, look: Callable[[Actor], str]) -> list[Actor]:
    """The actors whose colour or shape nobody else has."""
    counts = Counter(look(actor) for actor in script.actors)
    return [actor for actor in script.actors if counts[look(actor)] == 1]


def _colour(script: Script, rng: random.Random) -> Draft | None:
    choices = _unique(script, lambda actor: actor.shape)
    if not choices:
        return None
    actor = rng.choice(choices)
    return Draft(
        type="Description-Object",
        kind="colour",
        question=rng.choice(("What colour is the {}?", "Which colour does the {} have?")).format(
            actor.shape
        ),
        answer=actor.colour,
        likely=tuple(other.colour for other in script.actors),
        others=tuple(COLOURS),
        about=(actor.shape,),
    )


def _shape(script: Script, rng: random.Random) -> Draft | None:
    choices = _unique(script, lambda actor: actor.colour)
    if not choices:
        return None
    actor = rng.choice(choices)
    return Draft(
        type="Description-Object",
        kind="shape",
        question=rng.choice(("What shape is the {} thing?", "Which shape is {}?")).format(
            actor.colour
        ),
        answer=actor.shape,
        likely=tuple(other.shape for other in script.actors),
        others=SHAPES,
        about=(actor.colour,),
    )


def _count(script: Script, rng: random.Random) -> Draft | None:
    what = rng.choice(("all", "moving", "alike"))
    if what == "all":
        number = len(script.actors)
        question = rng.choice(
            ("How many shapes are seen in the video?", "How many shapes are there?")
        )
        about: tuple[str, ...] = ("all",)
    elif what == "moving":
        number = len({event.who for event in script.events if event.what in _MOVEMENTS})
        question = rng.choice(("How many shapes move?", "How many shapes move in the video?"))
        about = ("moving",)
    else:
        alike = _alike(script, rng)
        if alike is None:
            return None
        look, number = alike
        thing = PLURALS.get(look, f"{look} shapes")
        question = f"How many {thing} are there?"
        about = ("alike", look)
    numbers = "1234" if what == "all" else "01234"
    return Draft(
        type="Count",
        kind="count",
        question=question,
        answer=str(number),
        others=tuple(numbers),
        about=about,
    )


def _alike(script: Script, rng: random.Random) -> tuple[str, int] | None:
    """A colour or shape and how many have it; every number about equally often."""
    counts = Counter(actor.colour for actor in script.actors)
    counts.update(actor.shape for actor in script.actors)
    if max(counts.values()) == 1:
        return None
    counts.update(dict.fromkeys((*COLOURS, *SHAPES), 0))
    numbers = sorted(set(counts.values()))
    number = rng.choices(numbers, [0.8 + number for number in numbers])[0]
    look = rng.choice([look for look, count in counts.items() if count == number])
    return look, number


def _movements(script: Script, *verbs: str) -> list[Event]:
    return [event for event in script.events if event.what in (verbs or _MOVEMENTS)]


def _direction(script: Script, rng: random.Random) -> Draft | None:
    movements = _movements(script)
    if not movements:
        return None
    event = rng.choice(movements)
    return Draft(
        type="Object Direction",
        kind="direction",
        question=rng.choice(
            ("In which direction does the {} move?", "Which way does the {} move?")
        ).format(event.who),
        answer=event.value,
        likely=tuple(other.value for other in movements),
        others=tuple(DIRECTIONS),
        about=(event.who,),
    )


def _order(script: Script, rng: random.Random) -> Draft | None:
    verb = rng.choice(("move", "move", "enter", "leave"))
    movements = _movements(script) if verb == "move" else _movements(script, verb)
    if len(movements) < 2:
        return None
    which = rng.choice(("first", "last"))
    actors = [script.actor(event.who) for event in movements]
    chosen = actors[0 if which == "first" else -1]
    looks = [
        look
        for look, values in (
            ("shape", [actor.shape for actor in actors]),
            ("colour", [actor.colour for actor in actors]),
        )
        if len(set(values)) == len(values)
    ]
    if not looks:
        return None
    look = rng.choice(looks)
    likely = tuple(a.shape if look == "shape" else a.colour for a in script.actors)
    return Draft(
        type="Time Order Understanding",
        kind="order",
        question=f"Which {look} {verb}s {which}?",
        answer=chosen.shape if look == "shape" else chosen.colour,
        likely=likely,
        others=SHAPES if look == "shape" else tuple(COLOURS),
        about=(look, verb, which),
    )


def _existence(script: Script, rng: random.Random) -> Draft | None:
    answer = rng.choice(("yes", "no"))
    verb = rng.choice(("", "", "move", "enter", "leave"))
    names = [actor.name for actor in script.actors]
    if verb:
        doers = {event.who for event in _movements(script, *(() if verb == "move" else (verb,)))}
        if len(doers) in (0, len(names)):
            return None  # asked only where both answers can come up, they come up equally often
        choices = [name for name in names if (name in doers) == (answer == "yes")]
    else:
        choices = names if answer == "yes" else [_absent(script, rng)]
    name = rng.choice(choices)
    return Draft(
        type="Binary",
        kind="existence",
        question=f"Does the {name} {verb}?"
        if verb
        else f"Is there a {name}?".replace("a o", "an o"),
        answer=answer,
        others=("yes", "no"),
        about=(verb or "exist", name),
    )


def _absent(script: Script, rng: random.Random) -> str:
    """A name that is not there, but similar to one that is."""
    names = {actor.name for actor in script.actors}
    while True:
        actor = rng.choice(script.actors)
        colour, shape = actor.colour, actor.shape
        if rng.random() < 0.5:
            colour = rng.choice([*COLOURS, *(a.colour for a in script.actors)])
        else:
            shape = rng.choice([*SHAPES, *(a.shape for a in script.actors)])
        if f"{colour} {shape}" not in names:
            return f"{colour} {shape}"
