"""A description that is none is left out with a reason; one that is plain stays."""

# Cases are one a line.
# ruff: noqa: E501

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llava_video.annotate.answers.captions import judge_caption, judge_reply
from llava_video.annotate.recipe import Captions
from llava_video.calls.messages import Reply, Usage

GOOD = "A man in a red jacket walks to the left. He opens the door, and a dog follows him."


def reason(text, before=(), **rules):
    found = judge_caption(text, Captions(**rules), before)
    return found and found[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (".", "empty"),
        ("...", "empty"),
        ("**", "empty"),
        ("B.", "letters_only"),
        ("(C)", "letters_only"),
        ("Answer: A", "letters_only"),
        ("A, B, D", "letters_only"),
        ("A B C D E F", "letters_only"),
        ("1, 2, 3", "empty"),
        ("A man walks. He sits. A dog barks. A man walks. He sits. A dog barks.", "repetition"),
        ("Yes.", "too_short"),
        ("A video.", "too_short"),
        ("I'm sorry, I'm unable to view images.", "refusal"),
        ("A man walks in. He opens the", "half_sentence"),
        ("A man walks in. He opens the door and", "half_sentence"),
        ("A man walks in. He opens the door with his left hand while a tall", "half_sentence"),
        ("A man walks in, opens the door,", "half_sentence"),
        ("The clip shows:", "half_sentence"),
        ("A dog runs past the", "half_sentence"),
        ("The dog runs. " * 9, "repetition"),
        ("A dog runs past. A dog runs past.", "repetition"),
        ("A man walks. " + "He turns around. " * 6 + "He sits.", "repetition"),
        ("A man walks and walks and walks and walks and walks and walks and walks.", "repetition"),
        ("the dog the dog the dog the dog the dog the dog", "repetition"),
        ("Ein Mann geht durch die Tür und setzt sich auf einen Stuhl.", "other_language"),
        ("一个男人走进房间，坐在椅子上。", "other_language"),
    ],
)
def test_what_is_no_description_has_a_reason(text, expected):
    assert reason(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        "A dog runs past a red ladder",  # never a full stop
        "A dog runs.",
        "A dog runs past a red ladder. 🐶",
        "**Scene:** a kitchen. A man cooks soup.*",
        'A woman waves. The sign says "Stop".',
        "A man sits (on the left). He reads (a newspaper).",
        "He asks, “Where is it?”",
        "- A dog runs.\n- A cat sleeps",
        "1. A man enters.\n2. He sits down",
        "The ball bounces. The ball bounces again. Then it rolls away, and a girl picks it up.",
        "Red, blue, red, blue: the lights change. A crowd claps, and the band plays on.",
        "A man walks to the door. He stops. A man walks to the window. He stops. He looks out.",
    ],
)
def test_a_description_stays(text):
    assert reason(text) is None


def test_a_clip_may_be_described_like_another_but_not_like_all():
    assert reason(GOOD, [GOOD]) is None
    assert reason(GOOD, [GOOD, GOOD.upper()]) == "repeated_within_video"
    assert reason(GOOD, [GOOD] * 9, max_copies=None) is None


def test_every_rule_can_be_changed():
    assert reason("A dog runs past.", min_words=9) == "too_short"
    assert reason("Ein Mann geht durch die Tür und setzt sich.", language=None) is None
    assert reason("Ein Mann geht durch die Tür und setzt sich.", language="de") is None
    assert reason("I'm sorry, I cannot see the video.", refusals=False) is None
    assert reason("A man walks in. He sits", whole_sentences=False) is None


@given(st.text(max_size=300))
def test_any_text_is_judged(text):
    judge_caption(text, Captions())


@pytest.mark.parametrize(
    ("reply", "expected", "words"),
    [
        (Reply("", "", "stop", None), "empty", "empty"),
        (Reply("No.", "", "stop", None, is_refusal=True), "refusal", "No."),
        (Reply("A man with a", "", "content_filter", None), "content_filter", "filter"),
        (Reply("A man", "", "length", None), "truncated", "cut off at 64 tokens; raise endpoint.max"),
        (Reply("", "", "stop", None, thoughts="Hm."), "only_thoughts", "nothing after them"),
        (Reply("", "", "length", None, thoughts="Hm."), "truncated", "reasoning used all of the 64"),
        (Reply("", "", "length", Usage(9, 64, 0, 64)), "truncated", "reasoning used all 64 of the 64"),
        (Reply("A man", "", "length", Usage(9, 64, 0, 50)), "truncated", "50 of them reasoning"),
        (Reply("A man walks.", "", "stop", None, thoughts="Hm."), None, ""),
    ],
)  # fmt: skip
def test_what_came_with_an_answer_is_judged_first(reply, expected, words):
    found = judge_reply(reply, 64)
    assert (found and found[0]) == expected
    assert words in (found[1] if found else "")
