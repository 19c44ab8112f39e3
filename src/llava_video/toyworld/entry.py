"""One entrance to all levels: `generate_script` and `make_questions`."""

from __future__ import annotations

import random

from llava_video.errors import InputError
from llava_video.toyworld.generate.director import STORY_LEVELS, direct
from llava_video.toyworld.generate.simple import generate_simple
from llava_video.toyworld.questions.question import Question, finish
from llava_video.toyworld.questions.registry import draft_story
from llava_video.toyworld.questions.simple import draft_simple
from llava_video.toyworld.script import Script

_SHORTEST_SECONDS, _LONGEST_SECONDS = 5.0, 120.0
_NARROWEST = 0.4  # smaller side over larger side

LEVELS = ("simple", *STORY_LEVELS)


def generate_script(
    seed: int, level: str = "simple", *, aspect: float = 1.0, seconds: float | None = None
) -> Script:
    """Invent a video. The same arguments give the same script, on every machine.

    Args:
        seed: any integer.
        level: one of `LEVELS`.
        aspect: width over height of the picture.
        seconds: length of the video, 5 to 120; by default what the level draws.
    """
    if level not in LEVELS:
        raise InputError(f"there is no toyworld level {level!r}; use one of {', '.join(LEVELS)}")
    if seconds is not None and not _SHORTEST_SECONDS <= seconds <= _LONGEST_SECONDS:
        raise InputError(
            f"toyworld videos last {_SHORTEST_SECONDS:.0f} to {_LONGEST_SECONDS:.0f} seconds, "
            f"not {seconds}"
        )
    if not _NARROWEST <= aspect <= 1 / _NARROWEST:
        raise InputError(f"toyworld has no room in pictures of aspect {aspect:.2f}; use 0.4 to 2.5")
    if level == "simple":
        return generate_simple(seed, aspect, seconds)
    return direct(seed, level, aspect, seconds)


def make_questions(script: Script, seed: int = 0) -> list[Question]:
    """Questions about a script with their answers; about half of them have options.

    Args:
        script: the truth.
        seed: another seed asks other questions about the same video.
    """
    rng = random.Random(f"questions {script.level} {script.seed} {seed}")
    drafts = draft_simple if script.level == "simple" else draft_story
    return finish(drafts(script, rng), rng)
