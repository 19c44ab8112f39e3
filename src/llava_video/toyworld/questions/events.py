"""Questions about what happens: order, causes, plot, what does not happen."""

from __future__ import annotations

import itertools
import random

from llava_video.toyworld.questions.distractors import distractors, is_asked, names_like
from llava_video.toyworld.questions.question import Draft
from llava_video.toyworld.story import CLEAR_GAP_SECONDS, Deed, Story

_COMING_AND_GOING = ("enter", "appear", "leave", "vanish")
_NOTHING = "nothing makes it do that"


def after_or_before(story: Story, rng: random.Random) -> Draft | None:
    """Temporal: what an actor does right after, or right before, something else."""
    kind = rng.choice(("after", "before"))
    pairs = story.neighbours(kind)
    pairs = [pair for pair in pairs if is_asked(story, rng, kind, pair[1])]
    if not pairs:
        return None
    known, asked = rng.choice(pairs)
    who = asked.who
    # Something else that the same actor does, if it could be the answer to such a question.
    rest = [deed for _, deed in pairs if deed.who == who and deed not in (known, asked)]
    return Draft(
        type="Temporal",
        kind=kind,
        question=rng.choice(
            (
                f"What does the {who} do right {kind} {_clause(story, known)}?",
                f"Right {kind} {_clause(story, known)}, what does the {who} do?",
            )
        ),
        answer=asked.phrase,
        likely=tuple(deed.phrase for deed in rest),
        others=tuple(deed.phrase for deed in distractors(story, rng, kind, 3, [who])),
        about=(who, known.phrase),
    )


def _clause(story: Story, deed: Deed) -> str:
    if story.script.actor(deed.who).is_person:
        return f"they {deed.plain}"
    return f"it {deed.phrase}"


def next_event(story: Story, rng: random.Random) -> Draft | None:
    """Temporal: what happens next in the whole video."""
    pairs = [pair for pair in story.successions if is_asked(story, rng, "next", pair[1])]
    if not pairs:
        return None
    known, asked = rng.choice(pairs)
    others = [who for who in _doers(story) if who != known.who]
    return Draft(
        type="Temporal",
        kind="next",
        question=rng.choice(("What happens right after {}?", "What is next after {}?")).format(
            known.sentence
        ),
        answer=asked.sentence,
        likely=tuple(d.sentence for _, d in pairs if d != asked and d.who != known.who),
        others=tuple(deed.sentence for deed in distractors(story, rng, "next", 3, others)),
        about=(known.sentence,),
    )


def why(story: Story, rng: random.Random) -> Draft | None:
    """Causal: what makes an actor do something."""
    caused = [deed for deed in story.unique_deeds if deed.event.why]
    alone = [
        deed
        for deed in story.free_deeds
        if deed.verb in ("move", "recolour", "vanish", "spin")
        and not any(deed.who in (hit.who, hit.value) for hit in _hits(story))
    ]
    if caused:
        deed = rng.choice(caused)
    elif alone and rng.random() < 0.04:
        deed = rng.choice(alone)
    else:
        return None
    suspects = [f"the {name} hits it" for name in story.things if name != deed.who]
    return Draft(
        type="Causal",
        kind="why",
        question=rng.choice(("Why does the {} {}?", "What makes the {} {}?")).format(
            deed.who, deed.plain
        ),
        answer=f"the {deed.event.why} hits it" if deed.event.why else _NOTHING,
        likely=(*rng.sample(suspects, min(2, len(suspects))), _NOTHING),
        others=tuple(f"the {name} hits it" for name in names_like(story, rng, deed.who)),
        about=(deed.sentence,),
    )


def _doers(story: Story) -> list[str]:
    return [deed.who for deed in story.free_deeds]


def _hits(story: Story) -> list[Deed]:
    return [deed for deed in story.deeds if deed.verb == "hit"]


def effect(story: Story, rng: random.Random) -> Draft | None:
    """Causal: what a collision leads to."""
    hits = _hits(story)
    if not hits:
        return None
    hit = rng.choice(hits)
    result = next(d for d in story.of(hit.value) if d.event.why == hit.who)
    if not is_asked(story, rng, "effect", result):
        return None
    return Draft(
        type="Causal",
        kind="effect",
        question=rng.choice(("What happens because {}?", "What does it lead to that {}?")).format(
            hit.sentence
        ),
        answer=result.sentence,
        others=tuple(d.sentence for d in distractors(story, rng, "effect", 3, [hit.value])),
        about=(hit.sentence,),
    )


def stop(story: Story, rng: random.Random) -> Draft | None:
    """Causal: why a movement ends."""
    struck = {deed.who: deed.value for deed in _hits(story)}
    moves = [deed for deed in story.single_moves if deed in story.free_deeds]
    moves = [deed for deed in moves if deed.verb == "move"]
    moves = [deed for deed in moves if deed.who in struck or rng.random() < 0.05]
    if not moves:
        return None
    deed = rng.choice(moves)
    others = [f"it hits the {name}" for name in story.things if name != deed.who]
    return Draft(
        type="Causal",
        kind="stop",
        question=f"Why does the {deed.who} stop after {_clause(story, deed)}?",
        answer=f"it hits the {struck[deed.who]}" if deed.who in struck else "nothing stops it",
        likely=(*rng.sample(others, min(2, len(others))), "nothing stops it"),
        others=tuple(f"it hits the {name}" for name in names_like(story, rng, deed.who)),
        about=(deed.who,),
    )


def does(story: Story, rng: random.Random) -> Draft | None:
    """Binary: whether an actor does something."""
    deeds = [deed for deed in story.free_deeds if is_asked(story, rng, "any", deed)]
    if not deeds:
        return None
    deed = rng.choice(deeds)
    answer = rng.choice(("yes", "no"))
    if answer == "no":
        (deed,) = distractors(story, rng, "any", 1, [deed.who])
    return Draft(
        type="Binary",
        kind="does",
        question=rng.choice(("Does the {} {}?", "Does the {} {} in the video?")).format(
            deed.who, deed.plain
        ),
        answer=answer,
        others=("yes", "no"),
        about=(deed.sentence,),
    )


def is_before(story: Story, rng: random.Random) -> Draft | None:
    """Binary: whether one thing happens before another one."""
    pair = _apart(story, rng, 2)
    if pair is None:
        return None
    answer = rng.choice(("yes", "no"))
    first, second = pair if answer == "yes" else pair[::-1]
    return Draft(
        type="Binary",
        kind="is_before",
        question=f"Does the {first.who} {first.plain} before {second.sentence}?",
        answer=answer,
        others=("yes", "no"),
        about=(first.sentence, second.sentence),
    )


def _apart(story: Story, rng: random.Random, count: int) -> list[Deed] | None:
    """Deeds of different actors, in order and clearly apart, whose order cannot be guessed."""
    doers: dict[str, list[Deed]] = {}
    for deed in story.free_deeds:
        if deed.verb not in _COMING_AND_GOING:
            doers.setdefault(deed.who, []).append(deed)
    if len(doers) < count:
        return None
    names = rng.sample(sorted(doers), count)
    chosen = sorted((rng.choice(doers[name]) for name in names), key=lambda d: d.start_seconds)
    for first, second in itertools.pairwise(chosen):
        if second.start_seconds - first.start_seconds < CLEAR_GAP_SECONDS:
            return None
    return chosen


def first_or_last(story: Story, rng: random.Random) -> Draft | None:
    """Time order: which of several events comes first or last."""
    chosen = _apart(story, rng, 4) or _apart(story, rng, 3)
    if chosen is None:
        return None
    which = rng.choice(("first", "last"))
    listed = [deed.sentence for deed in chosen]
    answer = listed[0 if which == "first" else -1]
    rng.shuffle(listed)
    return Draft(
        type="Time Order Understanding",
        kind="first_or_last",
        question=rng.choice(("Which of these happens {}?", "What happens {} of all these?")).format(
            which
        ),
        question_open=f"Which of these happens {which}: {', '.join(listed[:-1])} or {listed[-1]}?",
        answer=answer,
        likely=tuple(listed),
        others=tuple(deed.sentence for deed in distractors(story, rng, "any", 3, _doers(story))),
        about=(which, *listed),
    )


def story_order(story: Story, rng: random.Random) -> Draft | None:
    """Plot: which telling of the story has the right order."""
    chosen = _apart(story, rng, 3)
    if chosen is None:
        return None
    orders = list(itertools.permutations([deed.sentence for deed in chosen]))
    tellings = [f"first {a}, then {b}, and then {c}" for a, b, c in orders]
    return Draft(
        type="Plot Understanding",
        kind="story",
        question=rng.choice(
            ("Which of these tells the story of the video?", "How does the story go?")
        ),
        answer=tellings[0],
        others=tuple(tellings[1:]),
        about=tuple(sorted(orders[0])),
        open_ended=False,
    )


def begin_or_end(story: Story, rng: random.Random) -> Draft | None:
    """Plot: how the story begins or ends."""
    which = rng.choice(("begin", "end"))
    deed = story.outermost(which)
    if deed is None or not is_asked(story, rng, which, deed):
        return None
    return Draft(
        type="Plot Understanding",
        kind=which,
        question=rng.choice(("How does the story {}?", "With what does the story {}?")).format(
            which
        ),
        answer=deed.sentence,
        others=tuple(deed.sentence for deed in distractors(story, rng, which, 3, _doers(story))),
    )


def carrier(story: Story, rng: random.Random) -> Draft | None:
    """Plot: who carries something around."""
    takes = [deed for deed in story.deeds if deed.verb == "take"]
    if takes:
        take = rng.choice(takes)
        thing, answer = take.value, f"the {take.who}"
    elif story.things and rng.random() < 0.02:
        thing, answer = rng.choice(story.things), "nobody"
    else:
        return None
    return Draft(
        type="Plot Understanding",
        kind="carrier",
        question=rng.choice(("Who carries the {}?", "Who picks up the {}?")).format(thing),
        answer=answer,
        likely=(*(f"the {name}" for name in story.people), "nobody"),
        others=tuple(f"the {name}" for name in names_like(story, rng, "a person")),
        about=(thing,),
    )


def never(story: Story, rng: random.Random) -> Draft | None:
    """Non-existent actions: which of several events is made up."""
    real = [deed for deed in story.free_deeds if is_asked(story, rng, "any", deed)]
    if len(real) < 3:
        return None
    (fake,) = distractors(story, rng, "any", 1, [deed.who for deed in real])
    return Draft(
        type="Non-Existent Actions with Existent Scene Depictions",
        kind="never",
        question=rng.choice(
            ("Which of these does not happen in the video?", "Which of these never happens?")
        ),
        answer=fake.sentence,
        likely=tuple(deed.sentence for deed in rng.sample(real, 3)),
        open_ended=False,
    )


def premise(story: Story, rng: random.Random) -> Draft | None:
    """Non-existent actions: what follows something that may never have happened."""
    pairs = [
        (first, second)
        for first, second in story.neighbours("after")
        if is_asked(story, rng, "before", first) and is_asked(story, rng, "after", second)
    ]
    if not pairs:
        return None
    known, asked = rng.choice(pairs)
    who, answer = asked.who, asked.phrase
    denial = "they do not" if story.script.actor(who).is_person else "it does not"
    if rng.random() < 0.25:
        (known,) = distractors(story, rng, "before", 1, [who])
        answer = f"{denial} {known.plain}"
    return Draft(
        type="Non-Existent Actions with Existent Scene Depictions",
        kind="premise",
        question=f"What does the {who} do right after {_clause(story, known)}?",
        answer=answer,
        likely=(f"{denial} {known.plain}",),
        others=tuple(deed.phrase for deed in distractors(story, rng, "after", 3, [who])),
        about=(who, known.phrase),
    )
