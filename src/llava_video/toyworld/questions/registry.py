"""Questions for the story levels: one of each of the paper's 16 types, where the video has it."""

from __future__ import annotations

import random
from collections.abc import Callable

from llava_video.toyworld.questions import appearance, attribute_changes, events, motion
from llava_video.toyworld.questions.question import Draft
from llava_video.toyworld.script import Script
from llava_video.toyworld.story import Story

Maker = Callable[[Story, random.Random], Draft | None]

# Which questions make up each type, in the order of Table 1 of the paper. Within a type, those that
# need many frames or fine detail come first.
MAKERS: dict[str, tuple[Maker, ...]] = {
    "Temporal": (events.after_or_before, events.next_event),
    "Spatial": (appearance.side, appearance.corner, appearance.nearest),
    "Causal": (events.effect, events.why, events.stop),
    "Description-Scene": (appearance.place,),
    "Description-Human": (appearance.hat, appearance.doing, appearance.clothes),
    "Description-Object": (appearance.letter, appearance.colour, appearance.shape),
    "Count": (appearance.repeats, appearance.how_many, appearance.places),
    "Binary": (events.does, events.is_before, appearance.exists),
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
    "Attribute Change": (
        attribute_changes.new_colour,
        attribute_changes.size_change,
        attribute_changes.final_colour,
    ),
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
