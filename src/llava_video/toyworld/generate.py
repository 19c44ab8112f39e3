"""One entrance to all levels: `generate_script` and `make_questions`."""

from __future__ import annotations

import random

from llava_video.errors import InputError
from llava_video.toyworld.ask.all_types import draft_story
from llava_video.toyworld.ask.questions import Question, finish
from llava_video.toyworld.ask.simple import draft_simple
from llava_video.toyworld.script import Script
from llava_video.toyworld.write.director import STORY_LEVELS, direct
from llava_video.toyworld.write.simple import generate_simple

LEVELS = ("simple", *STORY_LEVELS)


def generate_script(seed: int, level: str = "simple", *, aspect: float = 1.0) -> Script:
    """Invent a video. The same arguments give the same script, on every machine.

    Args:
        seed: any integer.
        level: one of `LEVELS`.
        aspect: width over height of the picture.
    """
    if level not in LEVELS:
        raise InputError(f"there is no toyworld level {level!r}; use one of {', '.join(LEVELS)}")
    return generate_simple(seed, aspect) if level == "simple" else direct(seed, level, aspect)


def make_questions(script: Script, seed: int = 0) -> list[Question]:
    """Questions about a script with their answers; about half of them have options.

    Args:
        script: the truth.
        seed: another seed asks other questions about the same video.
    """
    rng = random.Random(f"questions {script.level} {script.seed} {seed}")
    drafts = draft_simple if script.level == "simple" else draft_story
    return finish(drafts(script, rng), rng)
