"""Pairs are found in what models write, also where it was cut off."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llava_video.annotate.answers.pairs import find_pairs, pairs_in, salvage_pairs


def pair(number):
    return {"type": "Count", "question": f"How many {number}?", "answer": f'"{number}" {{or}} so'}


def text(*numbers):
    return json.dumps({"pairs": [pair(number) for number in numbers]})


@pytest.mark.parametrize(
    ("answer", "numbers"),
    [
        (f'For example {{"pairs": []}}. Here: {text(1, 2)}', [1, 2]),
        (f'```json\n{{"pairs": []}}\n```\n```json\n{text(1, 2)}\n```', [1, 2]),
        (f"{text(1)}\nBetter:\n{text(2, 3)}", [2, 3]),
        (f"{text(1)}\nBetter:\n{text(2)}", [2]),
        (f'{{"note": "as asked"}}\n{text(4)}', [4]),
        (f"In [brackets (never closed: {text(5)}", [5]),
        ("\n".join(json.dumps(pair(n)) for n in (1, 2, 3)), [1, 2, 3]),
        (json.dumps({"questions": [pair(1), pair(2)]}), [1, 2]),
        ('{"pairs": []}', []),
        ("[]", []),
    ],
)
def test_the_json_that_has_pairs_counts(answer, numbers):
    assert find_pairs(answer) == [pair(number) for number in numbers]


@pytest.mark.parametrize("answer", ["", "none", "3", '"text"', '{"pairs": [1, 2]}', "[" * 10**5])
def test_what_holds_no_pairs_is_an_error(answer):
    with pytest.raises(ValueError, match="no list of pairs"):
        find_pairs(answer)


@given(st.integers(0, 400))
def test_whole_pairs_are_kept_wherever_the_text_is_cut_off(length):
    whole = text(1, 2, 3)
    found = salvage_pairs(whole[:length])
    starts = [whole.index(json.dumps(pair(n))) for n in (1, 2, 3)]
    ends = [start + len(json.dumps(pair(1))) for start in starts]
    assert found == [pair(n) for n, end in zip((1, 2, 3), ends, strict=True) if length >= end]


def test_a_pair_without_an_answer_is_not_whole():
    assert salvage_pairs('[{"question": "Why?", "answer": null}, {"question": "W') == []
    assert salvage_pairs("{" * 10**5) == []


def test_pairs_by_type():
    assert pairs_in({"pairs": {"Count": {"question": "q", "answer": "a"}}}) == [
        {"type": "Count", "question": "q", "answer": "a"}
    ]
