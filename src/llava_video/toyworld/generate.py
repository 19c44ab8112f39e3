"""One entrance to all levels: `generate_script` and `make_questions`."""

from __future__ import annotations

import random

from llava_video.errors import InputError
from llava_video.toyworld.questions import Question, finish
from llava_video.toyworld.script import Script
from llava_video.toyworld.simple import generate_simple
from llava_video.toyworld.simple_questions import draft_simple

LEVELS = {"simple": generate_simple}


def generate_script(seed: int, level: str = "simple", *, aspect: float = 1.0) -> Script:
    """Invent a video. The same arguments give the same script, on every machine.

    Args:
        seed: any integer.
        level: one of `LEVELS`.
        aspect: width over height of the picture.
    """
    if level not in LEVELS:
        raise InputError(f"there is no toyworld level {level!r}; use one of {', '.join(LEVELS)}")
    return LEVELS[level](seed, aspect)


def make_questions(script: Script, seed: int = 0) -> list[Question]:
    """Questions about a script with their answers; about half of them have options.

    Args:
        script: the truth.
        seed: another seed asks other questions about the same video.
    """
    rng = random.Random(f"questions {script.level} {script.seed} {seed}")
    return finish(draft_simple(script, rng), rng)
