"""The evidence of an answer is the clip that alone uses its words; else the whole video."""

import pytest

from llava_video.annotate.records import QA, Caption, Provenance
from llava_video.annotate.steps.evidence import locate

NOWHERE = Provenance("key", "model", "prompt")


def clips(*texts: str) -> tuple[Caption, ...]:
    """Ten seconds each, and a summary that names everything, which is no evidence."""
    found = [
        Caption(f"v/1/{n}", 1, 10.0 * n, 10.0 * (n + 1), text, NOWHERE)
        for n, text in enumerate(texts)
    ]
    summary = Caption("v/2/0", 2, 0.0, 99.0, " ".join(texts), NOWHERE)
    return (*found, summary)


def span(question: str, answer: str, captions: tuple[Caption, ...]) -> tuple[float, float]:
    qa = QA("v/oe/count", "open_ended", "count", question, answer, NOWHERE)
    placed = locate(qa, captions)
    return placed.evidence_start_seconds, placed.evidence_end_seconds


def test_the_clip_that_says_it_is_taken() -> None:
    captions = clips("A dog sleeps.", "A dog climbs the ladder.", "A dog eats.")
    assert span("Where is the dog?", "On the ladder.", captions) == (10.0, 20.0)


def test_a_word_weighs_more_the_fewer_clips_use_it() -> None:
    """Two words of three clips out of four weigh less than one word of a single clip."""
    captions = clips("red barn dog", "red barn cow", "red barn hen", "ladder")
    assert span("red barn", "ladder", captions) == (30.0, 40.0)


def test_weights_add_up() -> None:
    """Two words of two clips out of four, against one word of a single clip: the same weight."""
    captions = clips("red barn", "red barn", "ladder", "sky")
    assert span("red barn ladder", "?", captions) == (0.0, 40.0)
    captions = clips("red barn", "red", "barn ladder", "sky")
    assert span("red barn ladder", "?", captions) == (20.0, 30.0)


def test_weights_grow_with_the_logarithm_of_rarity() -> None:
    """Four words of half the clips weigh 4 log 2, one word of one clip in eight weighs log 8."""
    often = ("one two three four", "one two three", "one two four", "one three four")
    captions = clips(*often, "two three four", "ladder", "sky", "sea")
    assert span("one two three four", "ladder", captions) == (0.0, 10.0)


def test_a_word_of_all_clips_decides_nothing() -> None:
    captions = clips("red", "red red red", "red")
    assert span("red", "red", captions) == (0.0, 30.0)


@pytest.mark.parametrize("texts", [("ladder", "ladder", "sky"), ("sky", "ladder", "ladder")])
def test_a_tie_is_the_whole_video(texts: tuple[str, ...]) -> None:
    assert span("ladder", "yes", clips(*texts)) == (0.0, 30.0)


def test_a_tie_below_the_best_is_none() -> None:
    captions = clips("ladder", "ladder", "ladder bridge", "sky")
    assert span("ladder", "bridge", captions) == (20.0, 30.0)


def test_words_that_no_clip_uses_are_the_whole_video() -> None:
    assert span("bridge", "yes", clips("sky", "sea")) == (0.0, 20.0)
    assert span("bridge", "yes", ()) == (0.0, 0.0)
