"""Distractors and answer balance, from what happens in other videos of the same level.

Two things keep questions from being answered without the video. Wrong options and false premises
are drawn from what is true of other videos in the same role, and so worded like true answers
(`distractors`). And what is common is asked about less often, so that no answer is a good guess
(`is_asked`).
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable
from functools import lru_cache

import numpy as np

from llava_video.toyworld.generate.director import STORY_LEVELS, direct
from llava_video.toyworld.generate.soloist import ROUND_SHAPES
from llava_video.toyworld.story import Deed, Story
from llava_video.toyworld.words import COLOURS, PERSON, SHAPES

_NUM_STORIES = 500
_TRIES = 400


@lru_cache(maxsize=8)
def _other_stories(level: str) -> list[Story]:
    return [Story(direct(-1 - number, level, 1.0)) for number in range(_NUM_STORIES)]


# Facts whose answers are balanced, as words; see the properties of `Story`.
_FACTS: dict[str, Callable[[Story], Iterable[str]]] = {
    "coming": lambda story: story.comings.values(),
    "going": lambda story: story.goings.values(),
    "size": lambda story: story.size_changes.values(),
    "how_fast": lambda story: story.speeds.values(),
    "spin": lambda story: story.spins.values(),
    "arm": lambda story: story.waves.values(),
    "how_many": lambda story: (n for n in story.numbers.values() if n <= "3"),
}


def _role(story: Story, role: str) -> list[Deed]:
    """The deeds of a story that could be the answer to some question."""
    match role:
        case "begin" | "end":
            deed = story.outermost(role)
            return [] if deed is None else [deed]
        case "after" | "before":
            return [asked for _, asked in story.neighbours(role)]
        case "next":
            return [asked for _, asked in story.successions]
        case "effect":
            return [deed for deed in story.deeds if deed.event.why]
    return story.free_deeds


def _words_for(story: Story, deed: Deed) -> str:
    """What a deed is counted as: people and shapes do different things."""
    return f"{story.script.actor(deed.who).is_person} {deed.phrase}"


@lru_cache(maxsize=64)
def _shares(level: str, subject: str) -> dict[str, float]:
    """With what probability to ask about each answer, so that common ones are not asked more."""
    counts: Counter[str] = Counter()
    for story in _other_stories(level):
        if subject in _FACTS:
            counts.update(_FACTS[subject](story))
        else:
            counts.update(_words_for(story, deed) for deed in _role(story, subject))
    if subject in _FACTS:
        rarest = min(counts.values())
        return {words: rarest / count for words, count in counts.items()}
    shares: dict[str, float] = {}
    for who in ("True", "False"):
        group = {words: count for words, count in counts.items() if words.startswith(who)}
        usual = float(np.quantile(list(group.values()), 0.25)) if group else 0.0
        shares |= {words: min(1.0, usual / count) for words, count in group.items()}
    return shares


def _level_of(story: Story) -> str:
    level = story.script.level
    return level if level in STORY_LEVELS else "standard"


def is_asked(story: Story, rng: random.Random, subject: str, answer: str | Deed) -> bool:
    """Whether to ask, by the luck of the draw, about something with this answer.

    Args:
        story: the true story.
        rng: draws.
        subject: a key of `_FACTS`, or a role as in `distractors`.
        answer: the answer's words, or the deed.
    """
    words = answer if isinstance(answer, str) else _words_for(story, answer)
    return rng.random() < _shares(_level_of(story), subject).get(words, 1.0)


@lru_cache(maxsize=64)
def _bank(level: str, role: str, person: bool) -> list[Deed]:
    """What people, or shapes, do in a role in other videos."""
    return [
        deed
        for story in _other_stories(level)
        for deed in _role(story, role)
        if story.script.actor(deed.who).is_person == person
    ]


def distractors(
    story: Story, rng: random.Random, role: str, count: int, among: Iterable[str]
) -> list[Deed]:
    """Distractors: different deeds that do not happen in this story.

    Args:
        story: the true story.
        rng: picks them.
        role: "any", "begin", "end", "next", "effect", "after" or "before": what they are like.
        count: how many; fewer where the actors do nearly everything there is.
        among: actors of the distractors; one named twice is drawn twice as often.
    """
    actors = [story.script.actor(name) for name in among]
    true = {deed.sentence for deed in story.deeds}
    found: dict[str, Deed] = {}
    for number in range(2 * _TRIES):
        if len(found) == count:
            break
        actor = rng.choice(actors)
        bank = _bank(_level_of(story), role if number < _TRIES else "any", actor.is_person)
        if not bank:
            continue
        model = rng.choice(bank)
        if model.verb == "spin" and actor.shape in ROUND_SHAPES:
            continue
        value = model.value
        if model.verb in ("recolour", "flash"):
            # A colour that actors of this shape never have: nobody changes into somebody else.
            fresh = [c for c in COLOURS if c not in story.colours_of(actor.shape)]
            value = rng.choice(fresh) if fresh else actor.colour
        deed = Deed(actor.name, model.verb, value, model.event)
        if deed.sentence not in true and is_asked(story, rng, role, deed):
            found[deed.sentence] = deed
    return list(found.values())


def names_like(story: Story, rng: random.Random, who: str) -> list[str]:
    """Names of three shapes (or, for the name of a person, people) that are not in the video."""
    known = {actor.name for actor in story.script.actors}
    shapes = (PERSON,) if who.endswith(PERSON) else SHAPES
    names = [f"{colour} {shape}" for colour in COLOURS for shape in shapes]
    return rng.sample([name for name in names if name not in known], 3)
