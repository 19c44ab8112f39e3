"""Questions about how things move: directions, speeds, the camera, and subtle movements."""

from __future__ import annotations

import itertools
import random

from llava_video.toyworld.questions.distractors import is_asked, names_like
from llava_video.toyworld.questions.question import Draft
from llava_video.toyworld.story import COMINGS, GOINGS, SPEED_WORDS, Story
from llava_video.toyworld.words import DIRECTIONS, SPINS


def direction(story: Story, rng: random.Random) -> Draft | None:
    """Object direction: where an actor moves."""
    moves = story.single_moves
    if not moves:
        return None
    move = rng.choice(moves)
    return Draft(
        type="Object Direction",
        kind="direction",
        question=rng.choice(
            ("In which direction does the {} {}?", "Which way does the {} {}?")
        ).format(move.who, move.verb),
        answer=move.value,
        likely=tuple(other.value for other in moves),
        others=tuple(DIRECTIONS),
        about=(move.who,),
    )


def carried(story: Story, rng: random.Random) -> Draft | None:
    """Object direction: where something is carried."""
    found = []
    for take in (deed for deed in story.deeds if deed.verb == "take"):
        walks = [d for d in story.of(take.who, "walk") if d.start_seconds >= take.event.end_seconds]
        if len(walks) == 1 and len(story.script.of(take.value, "move")) == 0:
            found.append((take.value, walks[0].value))
    if not found:
        return None
    thing, way = rng.choice(found)
    return Draft(
        type="Object Direction",
        kind="carried",
        question=rng.choice(
            ("In which direction is the {} carried?", "Which way is the {} carried?")
        ).format(thing),
        answer=way,
        others=tuple(DIRECTIONS),
        about=(thing,),
    )


_CAMERA = {
    ("pan", "left"): "it moves left",
    ("pan", "right"): "it moves right",
    ("pan", "up"): "it moves up",
    ("pan", "down"): "it moves down",
    ("zoom", "in"): "it zooms in",
    ("zoom", "out"): "it zooms out",
}
_STILL = "it stays still"


def camera(story: Story, rng: random.Random) -> Draft | None:
    """Camera direction: what the camera does."""
    if not story.camera and rng.random() > 0.17:
        return None
    answer = _STILL
    if story.camera:
        answer = _CAMERA[story.camera[0].what, story.camera[0].value]
    return Draft(
        type="Camera Direction",
        kind="camera",
        question=rng.choice(
            (
                "What does the camera do?",
                "How does the camera move?",
                "Does the camera move, and how?",
            )
        ),
        answer=answer,
        others=(*_CAMERA.values(), _STILL),
        about=(),
    )


def _fact(story: Story, rng: random.Random, kind: str, facts: dict[str, str]) -> str:
    """An actor to ask about, "" if there is none; common answers are asked for less often."""
    choices = [who for who, answer in facts.items() if is_asked(story, rng, kind, answer)]
    return rng.choice(choices) if choices else ""


def how_fast(story: Story, rng: random.Random) -> Draft | None:
    """Speed: how fast an actor moves, in words."""
    who = _fact(story, rng, "how_fast", story.speeds)
    if not who:
        return None
    return Draft(
        type="Speed",
        kind="how_fast",
        question=rng.choice(
            ("How fast does the {} move?", "At what speed does the {} move?")
        ).format(who),
        answer=story.speeds[who],
        others=SPEED_WORDS,
        needs="many_frames",
        about=(who,),
    )


def fastest(story: Story, rng: random.Random) -> Draft | None:
    """Speed: who moves fastest or slowest."""
    moves = sorted(story.single_moves, key=lambda move: move.speed)
    which = rng.choice(("fastest", "slowest"))
    if which == "fastest":
        moves = moves[::-1]
    if len(moves) < 2:
        return None
    ratio = moves[0].speed / moves[1].speed
    if max(ratio, 1 / ratio) < 1.6:
        return None
    movers = [move.who for move in moves]
    return Draft(
        type="Speed",
        kind="fastest",
        question=f"Which of these moves {which}?",
        question_open=f"Which moves {which}: {_listed(movers, rng)}?",
        answer=f"the {movers[0]}",
        likely=tuple(f"the {name}" for name in movers),
        others=tuple(
            f"the {name}" for name in (*names_like(story, rng, movers[0]), *_bystanders(story))
        ),
        needs="many_frames",
        about=(which, *movers),
    )


def _listed(names: list[str], rng: random.Random) -> str:
    names = [f"the {name}" for name in rng.sample(names, len(names))]
    return f"{', '.join(names[:-1])} or {names[-1]}"


def _bystanders(story: Story) -> list[str]:
    return [a.name for a in story.script.actors if not story.movements(a.name)]


def spin(story: Story, rng: random.Random) -> Draft | None:
    """Fine-grained: which way an actor spins."""
    who = _fact(story, rng, "spin", story.spins)
    if not who:
        return None
    return Draft(
        type="Fine Grained Action Understanding",
        kind="spin",
        question=rng.choice(("Which way does the {} spin?", "How does the {} spin?")).format(who),
        answer=story.spins[who],
        others=(*SPINS, "it does not spin"),
        needs="many_frames",
        about=(who,),
    )


def arm(story: Story, rng: random.Random) -> Draft | None:
    """Fine-grained: which arm a person waves, seen from the camera."""
    who = _fact(story, rng, "arm", story.waves)
    if not who:
        return None
    return Draft(
        type="Fine Grained Action Understanding",
        kind="arm",
        question=rng.choice(
            (
                "Which arm in the picture does the {} wave?",
                "On which side of the picture is the arm that the {} waves?",
            )
        ).format(who),
        answer=story.waves[who],
        others=("the left one", "the right one", "both", "none"),
        needs="fine_detail",
        about=(who,),
    )


def coming(story: Story, rng: random.Random) -> Draft | None:
    """Fine-grained: how an actor comes into the picture."""
    who = _fact(story, rng, "coming", story.comings)
    if not who:
        return None
    return Draft(
        type="Fine Grained Action Understanding",
        kind="coming",
        question=rng.choice(
            ("How does the {} come into the picture?", "From where does the {} come?")
        ).format(who),
        answer=story.comings[who],
        others=COMINGS,
        about=(who,),
    )


def going(story: Story, rng: random.Random) -> Draft | None:
    """Fine-grained: how an actor goes out of the picture."""
    who = _fact(story, rng, "going", story.goings)
    if not who:
        return None
    return Draft(
        type="Fine Grained Action Understanding",
        kind="going",
        question=rng.choice(
            ("How does the {} go out of the picture?", "Where does the {} go in the end?")
        ).format(who),
        answer=story.goings[who],
        others=GOINGS,
        about=(who,),
    )


def short_order(story: Story, rng: random.Random) -> Draft | None:
    """Time order: who flashes first, or last, of some that flash in quick succession."""
    flashes = [deed for deed in story.deeds if deed.verb == "flash"]
    starts = [deed.start_seconds for deed in flashes]
    gaps = [later - earlier for earlier, later in itertools.pairwise(starts)]
    if not gaps or min(gaps) > 0.5 or min(gaps) < 0.3:
        return None
    which = rng.choice(("first", "last"))
    names = [deed.who for deed in flashes]
    if len(set(names)) < len(names):
        return None
    return Draft(
        type="Time Order Understanding",
        kind="short_order",
        question=f"Which of these flashes {which}?",
        question_open=f"Which flashes {which}: {_listed(names, rng)}?",
        answer=f"the {names[0 if which == 'first' else -1]}",
        likely=tuple(f"the {name}" for name in names),
        others=tuple(
            f"the {name}" for name in (*_bystanders(story), *names_like(story, rng, names[0]))
        ),
        needs="many_frames",
        about=(which,),
    )
