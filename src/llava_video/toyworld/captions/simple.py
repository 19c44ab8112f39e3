"""Descriptions for level "simple". Like the level itself, they keep their wording."""

from __future__ import annotations

import random

from llava_video.toyworld.script import Event, Script

_DEEDS = {
    "enter": ("enters, moving {}", "comes in, moving {}"),
    "leave": ("leaves, moving {}", "goes out, moving {}"),
    "move": ("moves {}", "goes {}"),
}


def describe_simple(script: Script, start_seconds: float, end_seconds: float, seed: int) -> str:
    """What is seen between two moments, in the order it happens."""
    rng = random.Random(f"describe {seed} {script.seed} {start_seconds}")
    resting = [
        f"a {event.who}".replace("a o", "an o")
        for event in script.events
        if event.what == "stand" and event.start_seconds <= start_seconds
    ]
    sentences = []
    if resting:
        sentences.append(f"The video shows {_and(resting)}.")
    for event in script.events:
        if event.what in _DEEDS and start_seconds <= event.start_seconds < end_seconds:
            sentences.append(_sentence(event, rng))
    return " ".join(sentences) or "Nothing happens."


def _sentence(event: Event, rng: random.Random) -> str:
    return f"The {event.who} {rng.choice(_DEEDS[event.what]).format(event.value)}."


def _and(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
