"""The ways to tell a deed, and to find it again in a text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

from llava_video.toyworld.words import COLOURS, DIRECTIONS, PERSON, PHRASES, SHAPES, SPINS

# After "the red star". The first of each is what questions say (`PHRASES`).
WORDINGS: dict[str, tuple[str, ...]] = {
    verb: (third, *others)
    for verb, (third, _), others in (
        (verb, PHRASES[verb], others)
        for verb, others in {
            "enter": ("comes in",),
            "leave": ("goes out of the picture",),
            "move": ("goes {value}", "travels {value}"),
            "walk": ("goes {value}",),
            "appear": ("fades in",),
            "vanish": ("disappears", "fades away"),
            "spin": ("rotates {value}",),
            "grow": ("becomes larger",),
            "shrink": ("becomes smaller",),
            "recolour": ("becomes {value}", "changes its colour to {value}"),
            "flash": ("is {value} for a moment",),
            "blink": ("flickers",),
            "jump": ("hops",),
            "wave": ("raises an arm and waves",),
            "sit": ("takes a seat",),
            "rise": ("gets up",),
            "take": ("takes the {value}",),
            "drop": ("sets down the {value}",),
            "hit": ("runs into the {value}", "bumps into the {value}"),
        }.items()
    )
}

_NAME = rf"(?:{'|'.join(COLOURS)}) (?:{'|'.join((*SHAPES, PERSON))})"
_VALUES = {
    "move": "|".join(sorted(DIRECTIONS, key=len, reverse=True)),
    "spin": "|".join(SPINS),
    "recolour": "|".join(COLOURS),
    "take": _NAME,
}
_VALUES |= {"walk": _VALUES["move"], "flash": _VALUES["recolour"]}
_VALUES |= {"drop": _NAME, "hit": _NAME}


def find_deeds(text: str) -> Iterator[tuple[str, str, str]]:
    """Who does what in a text: names of actors, verbs (keys of `PHRASES`) and their words."""
    for found in _pattern().finditer(text):
        verb = next(name for name in WORDINGS if found[name] is not None)
        value = next(
            (v for k, v in found.groupdict().items() if v and k.startswith(f"{verb}_")), ""
        )
        is_person = found["who"].endswith(PERSON)
        if verb in ("move", "walk"):  # "goes left" is said of both
            verb = "walk" if is_person else "move"
        yield found["who"], verb, value


@cache
def _pattern() -> re.Pattern[str]:
    verbs = []
    for verb, wordings in WORDINGS.items():
        ways = [
            re.escape(wording).replace(r"\{value\}", f"(?P<{verb}_{n}>{_VALUES.get(verb, '')})")
            for n, wording in enumerate(wordings)
        ]
        verbs.append(f"(?P<{verb}>{'|'.join(ways)})")
    return re.compile(rf"[Tt]he (?P<who>{_NAME}) (?:also )?(?:{'|'.join(verbs)})\b")
