"""Check questions and descriptions against what is seen on stage.

They are made from the script's list of events. The checker never reads that list: its witness has
watched the performance. It says whether a question's own answer is the one seen, and whether a
description tells what was seen, all of it and nothing else.
"""

from __future__ import annotations

from collections import Counter

from llava_video.toyworld.captions.wordings import find_deeds
from llava_video.toyworld.questions.question import Question
from llava_video.toyworld.script import Script
from llava_video.toyworld.verify.observer import Witness
from llava_video.toyworld.verify.solver import ANSWERS

_EDGE = 0.05  # seconds by which the moment of a sighting may be off


class Checker:
    """Checks what is said about one video."""

    def __init__(self, script: Script) -> None:
        self._witness = Witness(script)

    def answer(self, question: Question) -> str:
        """The answer as seen; it may depend on the options where a question is about them."""
        return ANSWERS[question.kind](self._witness, question)

    def check(self, question: Question) -> str:
        """What is wrong with a question's answer; "" if nothing is."""
        truth = self.answer(question)
        if truth != question.answer:
            return f"{question.question} is answered {question.answer!r}, but I saw {truth!r}"
        return ""

    def check_description(self, text: str, start_seconds: float, end_seconds: float) -> str:
        """What is wrong with a description of a span of the video; "" if nothing is."""
        described = Counter(find_deeds(text))
        surely, perhaps = Counter[tuple[str, str, str]](), Counter[tuple[str, str, str]]()
        for sighting in self._witness.sightings:
            # Detection is off by up to a step: at the edges of the span a deed may be left out.
            inside = start_seconds - _EDGE <= sighting.start_seconds <= end_seconds + _EDGE
            well_inside = start_seconds + _EDGE < sighting.start_seconds < end_seconds - _EDGE
            perhaps[sighting.who, sighting.verb, sighting.value] += inside
            surely[sighting.who, sighting.verb, sighting.value] += well_inside
        problems = [f"not seen: {deed}" for deed in (described - perhaps)]
        problems += [f"not described: {deed}" for deed in (surely - described)]
        return "; ".join(problems)
