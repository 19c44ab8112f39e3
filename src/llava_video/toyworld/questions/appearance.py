"""Questions about what is seen: places, people, objects, numbers, positions."""

from __future__ import annotations

import random
from collections import Counter

from llava_video.toyworld.questions.distractors import distractors, is_asked, names_like
from llava_video.toyworld.questions.question import Draft
from llava_video.toyworld.script import Actor
from llava_video.toyworld.story import Story
from llava_video.toyworld.words import (
    COLOURS,
    LETTERS_ON_SHAPES,
    PERSON,
    PLURALS,
    SCENES,
    SHAPES,
)

_PLACES = tuple(scene for scene in SCENES if scene != "studio")


def place(story: Story, rng: random.Random) -> Draft | None:
    """Scene: where the video takes place, begins or ends."""
    shown = [cut.value for cut in story.cuts]
    which = rng.choice(("begin", "end")) if len(shown) > 1 else "take place"
    wordings = {
        "take place": ("Where does the video take place?", "Which place does the video show?"),
        "begin": ("Where does the video begin?", "Which place is seen first?"),
        "end": ("Where does the video end?", "Which place is seen last?"),
    }
    return Draft(
        type="Description-Scene",
        kind="place",
        question=rng.choice(wordings[which]),
        answer=shown[-1 if which == "end" else 0],
        likely=tuple(shown),
        others=_PLACES,
        about=("last" if which == "end" else "first",),
    )


def clothes(story: Story, rng: random.Random) -> Draft | None:
    """Human: the colour of the only person's clothes."""
    people = [actor for actor in story.script.actors if actor.is_person]
    if len(people) != 1:
        return None
    return Draft(
        type="Description-Human",
        kind="clothes",
        question=rng.choice(
            ("What colour are the clothes of the person?", "Which colour does the person wear?")
        ),
        answer=people[0].colour,
        likely=(people[0].hat,) if people[0].hat else (),
        others=tuple(COLOURS),
    )


def hat(story: Story, rng: random.Random) -> Draft | None:
    """Human: the colour of an actor's hat."""
    people = [actor for actor in story.script.actors if actor.is_person]
    if not people:
        return None
    actor = rng.choice(people)
    return Draft(
        type="Description-Human",
        kind="hat",
        question=rng.choice(
            ("What colour is the hat of the {}?", "Which hat does the {} wear?")
        ).format(actor.name),
        answer=actor.hat or "no hat",
        others=(*(colour for colour in COLOURS if colour != actor.colour), "no hat"),
        needs="fine_detail",
        about=(actor.name,),
    )


def doing(story: Story, rng: random.Random) -> Draft | None:
    """Human: what a person does."""
    deeds = [deed for deed in story.free_deeds if deed.who in story.people]
    deeds = [deed for deed in deeds if is_asked(story, rng, "any", deed)]
    if not deeds:
        return None
    deed = rng.choice(deeds)
    who = deed.who
    return Draft(
        type="Description-Human",
        kind="doing",
        question=rng.choice(("Which of these does the {} do?", "What does the {} do?")).format(who),
        answer=deed.phrase,
        others=tuple(other.phrase for other in distractors(story, rng, "any", 3, [who])),
        about=(who,),
        open_ended=False,
    )


def _constant(story: Story, alike: str) -> list[Actor]:
    """Shapes that never change colour and share their shape (or "colour") with nobody, ever."""
    actors = story.script.actors
    if alike == "shape":
        counts = Counter(actor.shape for actor in actors)
        lonely = [a for a in actors if counts[a.shape] == 1]
    else:
        counts = Counter(colour for actor in actors for colour in story.appearances_of(actor))
        lonely = [a for a in actors if counts[a.colour] == 1]
    return [a for a in lonely if not a.is_person and story.appearances_of(a) == {a.colour}]


def colour(story: Story, rng: random.Random) -> Draft | None:
    """Object: the colour of the only thing of its shape."""
    choices = _constant(story, "shape")
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
        likely=tuple(other.colour for other in story.script.actors),
        others=tuple(COLOURS),
        about=(actor.shape,),
    )


def shape(story: Story, rng: random.Random) -> Draft | None:
    """Object: the shape of the only thing of its colour."""
    choices = _constant(story, "colour")
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
        likely=tuple(a.shape for a in story.script.actors if not a.is_person),
        others=SHAPES,
        about=(actor.colour,),
    )


def letter(story: Story, rng: random.Random) -> Draft | None:
    """Object: the letter on a shape."""
    choices = [actor for actor in story.script.actors if actor.shape in ("circle", "square")]
    choices = [actor for actor in choices if actor.letter or rng.random() < 0.12]
    if not choices:
        return None
    actor = rng.choice(choices)
    return Draft(
        type="Description-Object",
        kind="letter",
        question=rng.choice(("Which letter is on the {}?", "What is written on the {}?")).format(
            actor.name
        ),
        answer=actor.letter or "nothing",
        likely=tuple(a.letter for a in story.script.actors if a.letter),
        others=(*LETTERS_ON_SHAPES, "nothing"),
        needs="fine_detail",
        about=(actor.name,),
    )


def repeats(story: Story, rng: random.Random) -> Draft | None:
    """Count: how often an actor does something quick."""
    deeds = [d for d in story.unique_deeds if d.verb in ("jump", "blink", "wave")]
    if not deeds:
        return None
    deed = rng.choice(deeds)
    return Draft(
        type="Count",
        kind="repeats",
        question=rng.choice(("How many times does the {} {}?", "How often does the {} {}?")).format(
            deed.who, deed.plain
        ),
        answer=f"{deed.event.amount:.0f}",
        others=("2", "3", "4", "5"),
        needs="many_frames",
        about=(deed.who, deed.verb),
    )


def how_many(story: Story, rng: random.Random) -> Draft | None:
    """Count: things of one shape, or people, in the whole video."""
    choices = [
        kind
        for kind, number in story.numbers.items()
        if number <= "3" and is_asked(story, rng, "how_many", number)
    ]
    if not choices:
        return None
    kind = rng.choice(choices)
    plural = "people" if kind == PERSON else PLURALS[kind]
    return Draft(
        type="Count",
        kind="how_many",
        question=rng.choice(
            ("How many {} are there in the video?", "How many different {} are seen?")
        ).format(plural),
        answer=story.numbers[kind],
        others=("0", "1", "2", "3"),
        about=(kind,),
    )


def places(story: Story, rng: random.Random) -> Draft | None:
    """Count: how many places are shown."""
    if story.script.level != "long":
        return None  # others have one or two
    return Draft(
        type="Count",
        kind="places",
        question=rng.choice(
            ("How many places does the video show?", "In how many places does the video play?")
        ),
        answer=str(len(story.cuts)),
        others=("1", "2", "3", "4"),
        about=(),
    )


def exists(story: Story, rng: random.Random) -> Draft | None:
    """Binary: whether an actor is there."""
    actors = story.script.actors
    looks = {(c, a.shape) for a in actors for c in story.appearances_of(a)}
    answer = rng.choice(("yes", "no"))
    if answer == "yes":
        actor = rng.choice(actors)
        look = (actor.colour, actor.shape)
    else:
        colours, shapes = [a.colour for a in actors], [a.shape for a in actors]
        mixed = [(c, s) for c in colours for s in shapes if (c, s) not in looks]
        fresh = [(rng.choice(tuple(COLOURS)), s) for s in shapes]
        choices = [look for look in (*mixed, *fresh) if look not in looks]
        if not choices:
            return None
        look = rng.choice(choices)
    return Draft(
        type="Binary",
        kind="exists",
        question=f"Is there a {look[0]} {look[1]} in the video?".replace("a o", "an o"),
        answer=answer,
        others=("yes", "no"),
        about=look,
    )


def side(story: Story, rng: random.Random) -> Draft | None:
    """Spatial: where one actor is, seen from another one, when the video begins."""
    standing = story.standing_at_start
    pairs = []
    for a, (ax, ay) in standing.items():
        for b, (bx, by) in standing.items():
            across, down = ax - bx, ay - by
            if abs(across) > max(0.15, 1.6 * abs(down)):
                pairs.append((a, b, "right" if across > 0 else "left"))
            elif abs(down) > max(0.15, 1.6 * abs(across)):
                pairs.append((a, b, "below" if down > 0 else "above"))
    if not pairs:
        return None
    answer = rng.choice(sorted({answer for _, _, answer in pairs}))
    a, b, _ = rng.choice([pair for pair in pairs if pair[2] == answer])
    return Draft(
        type="Spatial",
        kind="side",
        question=rng.choice(
            (
                "At the start, where is the {} seen from the {}: left, right, above or below?",
                "When the video begins, is the {} left of, right of, above or below the {}?",
            )
        ).format(a, b),
        answer=answer,
        others=("left", "right", "above", "below"),
        about=(a, b),
    )


def corner(story: Story, rng: random.Random) -> Draft | None:
    """Spatial: in which quarter of the picture an actor is when the video begins."""
    middle = story.script.aspect / 2
    found = [
        (who, f"{'top' if y < 0.5 else 'bottom'} {'left' if x < middle else 'right'}")
        for who, (x, y) in story.standing_at_start.items()
        if abs(x - middle) > 0.12 * story.script.aspect and abs(y - 0.5) > 0.12
    ]
    if not found:
        return None
    who, answer = rng.choice(found)
    return Draft(
        type="Spatial",
        kind="corner",
        question=rng.choice(
            (
                "In which part of the picture is the {} at the start?",
                "Where in the picture is the {} when the video begins?",
            )
        ).format(who),
        answer=answer,
        others=("top left", "top right", "bottom left", "bottom right"),
        about=(who,),
    )


def nearest(story: Story, rng: random.Random) -> Draft | None:
    """Spatial: who is nearest to an actor when the video begins."""
    standing = story.standing_at_start
    if len(standing) < 3:
        return None
    who = rng.choice(sorted(standing))
    x, y = standing[who]
    ranked = sorted(
        (((ox - x) ** 2 + (oy - y) ** 2) ** 0.5, other)
        for other, (ox, oy) in standing.items()
        if other != who
    )
    if ranked[0][0] * 1.25 > ranked[1][0]:
        return None
    return Draft(
        type="Spatial",
        kind="nearest",
        question=rng.choice(
            (
                "Who or what is nearest to the {} at the start?",
                "What is closest to the {} at first?",
            )
        ).format(who),
        answer=f"the {ranked[0][1]}",
        likely=tuple(f"the {name}" for _, name in ranked),
        others=tuple(f"the {name}" for name in names_like(story, rng, "a shape")),
        about=(who,),
    )
