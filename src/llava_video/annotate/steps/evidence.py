"""Evidence spans: the clip whose description is closest to the question and its answer."""

from __future__ import annotations

import dataclasses
import math

from llava_video.annotate.records import QA, Caption
from llava_video.annotate.steps.similarity import words


def locate(qa: QA, captions: tuple[Caption, ...]) -> QA:
    """The question with its evidence span; the whole video where no clip scores highest.

    Words are weighted by inverse document frequency over the clips.
    """
    clips = [caption for caption in captions if caption.level == 1]
    bags = [set(words(clip.text)) for clip in clips]
    wanted = set(words(f"{qa.question} {qa.answer}"))
    scores = [
        sum(math.log(len(bags) / sum(w in other for other in bags)) for w in wanted & bag)
        for bag in bags
    ]
    best = max(scores, default=0.0)
    if best <= 0 or scores.count(best) > 1:
        start, end = 0.0, max((clip.end_seconds for clip in clips), default=0.0)
    else:
        clip = clips[scores.index(best)]
        start, end = clip.start_seconds, clip.end_seconds
    return dataclasses.replace(qa, evidence_start_seconds=start, evidence_end_seconds=end)
