"""Watching the stage finds out exactly what the script says, without reading it."""

from collections import Counter

import pytest

from llava_video.toyworld import generate_script
from llava_video.toyworld.generate.director import STORY_LEVELS
from llava_video.toyworld.story import Story
from llava_video.toyworld.verify.detectors import detect


@pytest.mark.parametrize("level", STORY_LEVELS)
def test_all_deeds_and_their_causes_are_recognised(level):
    for seed in range(20):
        script = generate_script(seed, level)
        deeds = Story(script).deeds
        seen = [sighting for sighting in detect(script)[1] if not sighting.carrier]
        assert Counter(s.sentence for s in seen) == Counter(d.sentence for d in deeds)
        causes = Counter((d.sentence, d.event.why) for d in deeds)
        assert Counter((s.sentence, s.cause) for s in seen) == causes


def test_they_are_seen_when_they_happen():
    for seed in range(40):
        script = generate_script(seed, "standard")
        story = Story(script)
        for sighting in detect(script)[1]:
            if sighting.carrier:
                continue
            starts = [d.start_seconds for d in story.deeds if d.sentence == sighting.sentence]
            assert min(abs(start - sighting.start_seconds) for start in starts) <= 0.04
