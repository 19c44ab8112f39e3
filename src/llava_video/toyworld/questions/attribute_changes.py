"""Questions about how looks change."""

from __future__ import annotations

import random
from collections import Counter

from llava_video.toyworld.questions.distractors import is_asked
from llava_video.toyworld.questions.question import Draft
from llava_video.toyworld.story import SIZE_CHANGES, Story
from llava_video.toyworld.words import COLOURS


def new_colour(story: Story, rng: random.Random) -> Draft | None:
    """Attribute change: which colour an actor takes on, for good or for a moment."""
    verb = rng.choice(("recolour", "flash"))
    deeds = [d for d in story.deeds if d.verb == verb]
    deeds = [d for d in deeds if len(story.script.of(d.who, verb)) == 1]
    if not deeds:
        return None
    deed = rng.choice(deeds)
    wordings = {
        "recolour": ("Which colour does the {} turn?", "What colour does the {} become?"),
        "flash": ("Which colour does the {} flash?", "In what colour does the {} flash?"),
    }
    actor = story.script.actor(deed.who)
    taken = story.colours_of(actor.shape) - {deed.value}
    others = tuple(colour for colour in COLOURS if colour not in taken)
    if len(others) < 4:
        return None
    return Draft(
        type="Attribute Change",
        kind=verb,
        question=rng.choice(wordings[verb]).format(deed.who),
        answer=deed.value,
        others=others,
        needs="many_frames" if verb == "flash" else "any",
        about=(deed.who,),
    )


def size_change(story: Story, rng: random.Random) -> Draft | None:
    """Attribute change: how an actor's size changes."""
    changes = {
        who: how for who, how in story.size_changes.items() if is_asked(story, rng, "size", how)
    }
    if not changes:
        return None
    who = rng.choice(sorted(changes))
    return Draft(
        type="Attribute Change",
        kind="size",
        question=rng.choice(
            ("How does the size of the {} change?", "What happens to the size of the {}?")
        ).format(who),
        answer=changes[who],
        others=SIZE_CHANGES,
        about=(who,),
    )


def final_colour(story: Story, rng: random.Random) -> Draft | None:
    """Attribute change: the colour of the only thing of its shape, at first or in the end."""
    counts = Counter(actor.shape for actor in story.script.actors)
    single = [a for a in story.script.actors if counts[a.shape] == 1 and not a.is_person]
    changing = [a for a in single if story.script.of(a.name, "recolour")]
    if not changing:
        return None
    actor = rng.choice(changing)
    which = rng.choice(("first", "end"))
    when = "at first" if which == "first" else "in the end"
    turned = story.script.of(actor.name, "recolour")[-1].value
    return Draft(
        type="Attribute Change",
        kind="colour_then",
        question=f"What colour is the {actor.shape} {when}?",
        answer=actor.colour if which == "first" else turned,
        likely=(actor.colour, turned),
        others=tuple(COLOURS),
        about=(actor.shape, which),
    )
