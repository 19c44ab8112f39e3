"""The order of choices: balanced exactly, seeded, pinned ones last."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from llava_video.annotate.records import QA, Provenance, VideoRecord
from llava_video.annotate.steps.option_order import arrange_choices

ORIGIN = Provenance("k", "m", "p")


def question(number, options, answer=None):
    return QA(
        f"v/mc/{number}",
        "multi_choice",
        "count",
        f"q{number}",
        answer or options[0],
        ORIGIN,
        options,
    )


def letters(records):
    return Counter(qa.letter for record in records for qa in record.qas)


@given(st.integers(0, 60), st.integers(0, 5), st.integers(2, 6))
def test_letters_are_balanced_to_one(num_questions, seed, num_choices):
    options = tuple(f"o{i}" for i in range(num_choices))
    qas = tuple(question(i, options) for i in range(num_questions))
    [record] = arrange_choices([VideoRecord("v", "v.mp4", qas=qas)], seed)
    counts = [letters([record])[chr(65 + i)] for i in range(num_choices)]
    assert max(counts) - min(counts) <= 1
    for before, after in zip(qas, record.qas, strict=True):
        assert sorted(before.options) == sorted(after.options)
        assert after.options["ABCDEF".index(after.letter)] == before.answer


def test_the_order_follows_from_the_seed_and_not_from_the_order_before():
    qas = tuple(question(i, ("w", "x", "y", "z")) for i in range(20))
    turned = tuple(question(i, ("w", "z", "y", "x")) for i in range(20))
    one = arrange_choices([VideoRecord("v", "v.mp4", qas=qas)], 1)
    again = arrange_choices([VideoRecord("v", "v.mp4", qas=turned)], 1)
    assert [qa.options for qa in one[0].qas] == [qa.options for qa in again[0].qas]
    other = arrange_choices([VideoRecord("v", "v.mp4", qas=qas)], 2)
    assert [qa.options for qa in one[0].qas] != [qa.options for qa in other[0].qas]


def test_all_of_the_above_stays_last_and_counts():
    wrong = tuple(question(i, ("x", "y", "z", "All of the above"), "x") for i in range(9))
    right = tuple(
        question(i, ("x", "y", "z", "None of the above"), "None of the above") for i in range(9, 12)
    )
    [record] = arrange_choices([VideoRecord("v", "v.mp4", qas=wrong + right)], 0)
    assert all(qa.options[-1].endswith("of the above") for qa in record.qas)
    assert letters([record]) == {"A": 3, "B": 3, "C": 3, "D": 3}
