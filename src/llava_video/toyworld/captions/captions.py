"""Descriptions of a script on the three levels of the paper's data engine (section 3.1).

Level 1 tells ten seconds in detail, level 2 the plot so far every thirty seconds, level 3 the whole
video. All tell the same deeds; the higher levels leave out detail, not events.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

import numpy as np

from llava_video.toyworld.captions.simple import describe_simple
from llava_video.toyworld.captions.wordings import WORDINGS
from llava_video.toyworld.script import Actor, Event, Script
from llava_video.toyworld.stage import Stage, perform
from llava_video.toyworld.story import Deed, Story
from llava_video.toyworld.words import COLOURS, SCENES

LEVEL_1_SECONDS = 10.0
LEVEL_2_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Description:
    """A text about a part of a video.

    Attributes:
        level: 1, 2 or 3.
        start_seconds: from here.
        end_seconds: to here.
        text: what is seen.
    """

    level: int
    start_seconds: float
    end_seconds: float
    text: str


def describe(
    script: Script,
    start_seconds: float,
    end_seconds: float,
    seed: int = 0,
    *,
    level: int = 1,
) -> str:
    """What is seen between two moments, in the order it happens.

    Args:
        script: the truth.
        start_seconds: from here.
        end_seconds: to here; a deed belongs to the span in which it starts.
        seed: picks the wording.
        level: 1 tells details, 2 and 3 only the plot.
    """
    if script.level == "simple":
        return describe_simple(script, start_seconds, end_seconds, seed)
    rng = random.Random(f"describe {level} {seed} {script.seed} {start_seconds}")
    return " ".join(_sentences(Story(script), start_seconds, end_seconds, level, rng))


def describe_levels(script: Script, seed: int = 0) -> list[Description]:
    """All descriptions of a video: level 1 by windows, level 2 up to each 30 s, level 3 whole."""
    duration = script.duration_seconds
    spans = [
        (1, n * LEVEL_1_SECONDS, min(duration, (n + 1) * LEVEL_1_SECONDS))
        for n in range(math.ceil(duration / LEVEL_1_SECONDS))
    ]
    spans += [(2, 0.0, (n + 1) * LEVEL_2_SECONDS) for n in range(int(duration // LEVEL_2_SECONDS))]
    spans.append((3, 0.0, duration))
    return [
        Description(level, start, end, describe(script, start, end, seed, level=level))
        for level, start, end in spans
    ]


def _sentences(story: Story, start: float, end: float, level: int, rng: random.Random) -> list[str]:
    opening = [cut for cut in story.cuts if cut.start_seconds <= start][-1]
    sentences = [_opening(story, opening, start, level, rng)]
    happenings: list[tuple[float, Deed | Event]] = [
        (deed.start_seconds, deed) for deed in story.deeds if start <= deed.start_seconds < end
    ]
    happenings += [
        (event.start_seconds, event)
        for event in (*story.cuts, *story.camera)
        if start <= event.start_seconds < end and event is not opening
    ]
    happenings.sort(key=lambda happening: happening[0])
    for _, happening in happenings:
        if isinstance(happening, Deed):
            sentences.append(_deed_text(story, happening, level, rng))
        elif happening.what == "cut":
            sentences.append(_opening(story, happening, happening.start_seconds, level, rng))
        else:
            sentences.append(_film(happening, rng))
    if not happenings:
        sentences.append(rng.choice(("Nothing else happens.", "Nothing changes.")))
    return sentences


def _opening(story: Story, cut: Event, moment: float, level: int, rng: random.Random) -> str:
    """The place, and who is there at this moment."""
    if cut.start_seconds == moment > 0:
        place = f"The scene changes: now we are {SCENES[cut.value]}"
    elif cut.start_seconds < moment:
        place = f"We are still {SCENES[cut.value]}"
    else:
        place = rng.choice(("We are {}", "The video plays {}")).format(SCENES[cut.value])
    stage = perform(story.script, np.array([moment]))
    present = [
        _portrait(actor, stage, index, story.script.aspect, level)
        for index, actor in enumerate(story.script.actors)
        if stage.opacity[index, 0] > 0
    ]
    if not present:
        return f"{place}; nobody is there."
    verb = "is" if len(present) == 1 else "are"
    return f"{place}; there {verb} {_and(present)}."


def _portrait(actor: Actor, stage: Stage, index: int, aspect: float, level: int) -> str:
    """Whom one sees at the stage's first moment, on level 1 also with what and where."""
    article = "an" if actor.name.startswith("o") else "a"
    words = [f"{article} {actor.name}"]
    for colour, rgb in COLOURS.items():
        if colour != actor.colour and np.array_equal(stage.colour[index, 0], rgb):
            words.append(f"that is {colour} now")
    if level == 1:
        if actor.letter:
            words.append(f"with the letter {actor.letter}")
        if actor.hat:
            words.append(f"with {'an' if actor.hat == 'orange' else 'a'} {actor.hat} hat")
        x, y = stage.x[index, 0] / aspect, stage.y[index, 0]
        row = "top" if y < 1 / 3 else "bottom" if y > 2 / 3 else ""
        column = "left" if x < 1 / 3 else "right" if x > 2 / 3 else ""
        where = f"{row} {column}".strip()
        words.append(f"at the {where}" if where else "in the middle")
    return " ".join(words)


def _deed_text(story: Story, deed: Deed, level: int, rng: random.Random) -> str:
    wording = rng.choice(WORDINGS[deed.verb]).format(value=deed.value)
    sentence = f"{rng.choice(('The', 'The', 'Then the'))} {deed.who} {wording}"
    if level == 1:
        sentence += _detail(story, deed)
    if deed.event.why:
        sentence += f", because the {deed.event.why} hits it"
    return f"{sentence}."


def _detail(story: Story, deed: Deed) -> str:
    """What level 1 adds: from where, how fast, how often."""
    if deed.verb in ("move", "walk"):
        return {"at medium speed": "", "slowly": " slowly", "fast": " fast"}[story.speed_word(deed)]
    if deed.verb == "enter" and deed.who in story.comings:
        return f" {story.comings[deed.who]}"
    if deed.verb == "leave" and deed.who in story.goings:
        return f" {story.goings[deed.who]}"
    if deed.verb in ("blink", "jump", "wave"):
        return f" {deed.event.amount:.0f} times"
    return ""


def _film(event: Event, rng: random.Random) -> str:
    if event.what == "zoom":
        return f"The camera zooms {event.value}."
    return rng.choice(("The camera pans {}.", "The camera moves {}.")).format(event.value)


def _and(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
