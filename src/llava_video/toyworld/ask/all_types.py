"""Questions for the story levels: one of each of the paper's 16 types, where the video has it."""

from __future__ import annotations

import random
from collections.abc import Callable

from llava_video.toyworld.ask import changes, events, looks, motion
from llava_video.toyworld.ask.questions import Draft
from llava_video.toyworld.ask.story import Story
from llava_video.toyworld.script import Script

Maker = Callable[[Story, random.Random], Draft | None]

# Which questions make up each type, in the order of Table 1 of the paper. Within a type, those that
# need many frames or fine detail come first.
MAKERS: dict[str, tuple[Maker, ...]] = {
    "Temporal": (events.after_or_before, events.next_event),
    "Spatial": (looks.side, looks.corner, looks.nearest),
    "Causal": (events.effect, events.why, events.stop),
    "Description-Scene": (looks.place,),
    "Description-Human": (looks.hat, looks.doing, looks.clothes),
    "Description-Object": (looks.letter, looks.colour, looks.shape),
    "Count": (looks.repeats, looks.how_many, looks.places),
    "Binary": (events.does, events.is_before, looks.exists),
    "Fine Grained Action Understanding": (
        motion.spin,
        motion.arm,
        motion.coming,
        motion.going,
    ),
    "Plot Understanding": (events.carrier, events.story_order, events.begin_or_end),
    "Non-Existent Actions with Existent Scene Depictions": (events.never, events.premise),
    "Time Order Understanding": (motion.short_order, events.first_or_last),
    "Object Direction": (motion.carried, motion.direction),
    "Camera Direction": (motion.camera,),
    "Speed": (motion.how_fast, motion.fastest),
    "Attribute Change": (changes.new_colour, changes.size_change, changes.final_colour),
}


def draft_story(script: Script, rng: random.Random) -> list[Draft]:
    """At most one draft of each type, as in LLaVA-Video-178K."""
    story = Story(script)
    drafts = []
    for makers in MAKERS.values():
        order = makers if rng.random() < 0.4 else rng.sample(makers, len(makers))
        draft = next((made for ask in order if (made := ask(story, rng)) is not None), None)
        if draft is not None:
            drafts.append(draft)
    return drafts
