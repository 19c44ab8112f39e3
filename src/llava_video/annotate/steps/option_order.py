"""The order of choices: shuffled with a seed, the right letters balanced over the whole dataset."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections import Counter
from collections.abc import Iterable

from llava_video.annotate.records import QA, VideoRecord

_PINNED = re.compile(
    r"^(?:all|none|both|neither) of (?:the|these) ?(?:above|options|choices)?\b", re.I
)


def arrange_choices(records: Iterable[VideoRecord], seed: int) -> list[VideoRecord]:
    """The records with every question's choices in their final order.

    Among questions with equally many choices the counts of the right letters differ by one at most,
    and which question gets which letter follows from the seed. "All of the above" and the like stay
    last, and count towards the balance.
    """
    records = list(records)
    flat = [qa for record in records for qa in record.qas if qa.options]
    letters: dict[int, Counter[int]] = {}
    arranged: dict[str, QA] = {}
    # Questions whose letter is forced or restricted go first, so that the free ones can even it
    # out.
    for qa in sorted(flat, key=lambda qa: (_pinned(qa) is None, draw(seed, qa.qa_id))):
        counts = letters.setdefault(len(qa.options), Counter())
        place = _choose_place(qa, counts, seed)
        counts[place] += 1
        arranged[qa.qa_id] = dataclasses.replace(qa, options=_order(qa, place, seed))
    return [
        dataclasses.replace(r, qas=tuple(arranged.get(qa.qa_id, qa) for qa in r.qas))
        for r in records
    ]


def _choose_place(qa: QA, counts: Counter[int], seed: int) -> int:
    last = len(qa.options) - 1
    pinned = _pinned(qa)
    if pinned == qa.answer:
        return last
    places = range(last if pinned is not None else last + 1)
    return min(places, key=lambda place: (counts[place], draw(seed, f"{qa.qa_id} {place}")))


def _order(qa: QA, place: int, seed: int) -> tuple[str, ...]:
    pinned = _pinned(qa)
    others = [option for option in qa.options if option not in (qa.answer, pinned)]
    others.sort(key=lambda option: draw(seed, f"{qa.qa_id} {option}"))
    if pinned is not None and pinned != qa.answer:
        others.append(pinned)
    return (*others[:place], qa.answer, *others[place:])


def _pinned(qa: QA) -> str | None:
    return next((option for option in qa.options if _PINNED.match(option)), None)


def draw(seed: int, text: str) -> str:
    """A pseudorandom string from a seed and a name, to sort by."""
    return hashlib.sha256(f"{seed} {text}".encode()).hexdigest()
