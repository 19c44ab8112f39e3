"""The caption schedule: when each description is written, and from which inputs."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llava_video.annotate.recipe import Describe
from llava_video.annotate.steps.schedule import caption_schedule, clip_bounds
from llava_video.errors import InputError

RULES = Describe()
DURATIONS = st.floats(0.1, 400, allow_nan=False).map(lambda seconds: round(seconds, 2))


def spans(seconds, **changes):
    return clip_bounds(seconds, Describe(**changes))


def test_whole_windows_then_the_remainder():
    assert spans(25) == [(0, 10), (10, 20), (20, 25)]
    assert spans(30) == [(0, 10), (10, 20), (20, 30)]
    assert spans(4) == [(0, 4)]


def test_a_remainder_too_short_joins_the_window_before():
    assert spans(21.5) == [(0, 10), (10, 21.5)]
    assert spans(1) == [(0, 1)]
    assert spans(21.99) == [(0, 10), (10, 21.99)]


def test_a_remainder_of_two_seconds_is_a_clip_of_its_own():
    assert spans(22) == [(0, 10), (10, 20), (20, 22)]
    assert spans(13, min_clip_seconds=3) == [(0, 10), (10, 13)]
    assert spans(12.9, min_clip_seconds=3) == [(0, 12.9)]


@given(DURATIONS)
def test_clips_cover_the_video_without_gaps(seconds):
    found = clip_bounds(seconds, RULES)
    assert found[0][0] == 0
    assert found[-1][1] == pytest.approx(seconds)
    assert all(one[1] == other[0] for one, other in pairwise(found))


def test_a_video_of_no_duration_is_an_error():
    with pytest.raises(InputError, match="no duration"):
        clip_bounds(0, RULES)


def levels(seconds, **changes):
    return "".join(str(step.level) for step in caption_schedule(seconds, Describe(**changes)))


def test_levels_come_in_the_order_of_the_paper():
    assert levels(4) == "13"
    assert levels(25) == "1113"
    assert levels(35) == "111213"
    assert levels(65) == "11121112" + "13"


def test_at_an_exact_multiple_level_3_takes_the_place_of_level_2():
    assert levels(30) == "1113"
    assert levels(60) == "11121113"


@given(DURATIONS)
def test_level_3_reads_every_clip_that_no_summary_has_read(seconds):
    steps = caption_schedule(seconds, RULES)
    clips = [i for i, step in enumerate(steps) if step.level == 1]
    read_by_summaries = [i for step in steps if step.level == 2 for i in step.clips]
    assert sorted([*read_by_summaries, *steps[-1].clips]) == clips
    assert steps[-1].level == 3
    assert 1 <= len(steps[-1].clips) <= RULES.clips_per_summary


@given(DURATIONS)
def test_nothing_reads_what_is_not_written_yet(seconds):
    for number, step in enumerate(caption_schedule(seconds, RULES)):
        assert all(i < number for i in step.clips)
        assert step.summary is None or step.summary < number


def test_history_settings_decide_what_level_1_reads():
    fifth_clip = 5  # 1 1 1 2 1 [1]
    everything = caption_schedule(65, Describe())[fifth_clip]
    assert (everything.summary, everything.clips) == (3, (4,))
    last = caption_schedule(65, Describe(history="last_one"))
    assert last[fifth_clip].clips == (4,)
    assert last[4].clips == (2,)  # the clip before, though a summary has read it
    assert last[2].clips == (1,)
    none = caption_schedule(65, Describe(history="none"))
    assert all(step.clips == () and step.summary is None for step in none if step.level == 1)
    assert none[3].clips == (0, 1, 2)
