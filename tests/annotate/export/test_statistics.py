"""The figures of the card, from records that are counted by hand."""

import pytest

from llava_video.annotate.export.statistics import count
from llava_video.annotate.records import QA, Caption, Facts, Provenance, VideoRecord

NOWHERE = Provenance("key", "model", "prompt")


def record(*options: tuple[str, ...]) -> VideoRecord:
    """A described video with questions whose first option is right."""
    qas = tuple(
        QA(f"v/mc/{n}", "multi_choice", "count", "Which?", own[0], NOWHERE, own)
        for n, own in enumerate(options)
    )
    caption = Caption("v/3", 3, 0.0, 10.0, "All of it.", NOWHERE)
    return VideoRecord("v", "v.mp4", facts=Facts(10.0, 4, 4, 5.0), captions=(caption,), qas=qas)


@pytest.mark.parametrize(
    ("options", "share"),
    [
        ([("long", "a", "b", "c")], 1.0),
        ([("a", "long", "b", "c")], 0.0),
        ([("long", "also", "b", "c")], 0.0),  # a tie gives nothing away
        ([("long", "a", "b", "c"), ("a", "long", "b", "c")], 0.5),
        ([("longer", "longest", "a", "b"), ("aa", "b", "c", "d"), ("a", "b")], 1 / 3),
        ([], 0.0),
    ],
)
def test_the_share_of_right_choices_that_are_the_single_longest(
    options: list[tuple[str, ...]], share: float
) -> None:
    assert count([record(*options)]).longest_right_share == pytest.approx(share)


def test_open_ended_questions_are_no_choices() -> None:
    open_ended = QA("v/oe/count", "open_ended", "count", "What?", "A very long answer.", NOWHERE)
    found = count([VideoRecord("v", "v.mp4", captions=record().captions, qas=(open_ended,))])
    assert (found.num_open_ended, found.num_multi_choice) == (1, 0)
    assert found.longest_right_share == 0.0
    assert found.letters == {}
