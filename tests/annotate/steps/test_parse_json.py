"""Finding JSON in what models write."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llava_video.annotate.answers.pairs import pairs_in
from llava_video.annotate.steps.parse_json import is_nothing, parse_json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=10,
)
CONTAINERS = st.lists(VALUES, max_size=4) | st.dictionaries(st.text(max_size=8), VALUES)


@given(CONTAINERS)
def test_json_is_found_as_it_is_in_fences_and_between_sentences(value):
    text = json.dumps(value)
    assert parse_json(text) == value
    assert parse_json(f"Sure, here it is:\n```json\n{text}\n```\nAnything else?") == value
    assert parse_json(f"Here: {text} That is all.") == value


def test_braces_written_twice_are_no_answer_and_no_error():
    """Python reads them as a set of dictionaries, which there is none of."""
    with pytest.raises(ValueError, match="no JSON"):
        parse_json('{{"pairs": [{"question": "a", "answer": "b"}]}}')


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{'a': None, 'b': True}", {"a": None, "b": True}),
        ('{"a": [1, 2,],}', {"a": [1, 2]}),
        ('{"a": "line\nbreak"}', {"a": "line\nbreak"}),
    ],
)
def test_common_slips_are_forgiven(text, value):
    assert parse_json(text) == value


@pytest.mark.parametrize("text", ["", "no json here", '{"a": ', "[1, 2", "[" * 100_000 + "]" * 9])
def test_nothing_is_invented(text):
    with pytest.raises(ValueError, match="no JSON"):
        parse_json(text)


@pytest.mark.parametrize(
    "value",
    [
        {"pairs": [{"type": "Count", "question": "q", "answer": "a"}]},
        [{"type": "Count", "question": "q", "answer": "a"}],
        {"type": "Count", "question": "q", "answer": "a"},
        {"Count": {"Question": "q", "Answer": "a"}},
        {"Pairs": [{"Type": "Count", "Question": "q", "Answer": "a"}, None]},
    ],
)
def test_pairs_are_read_in_every_shape_that_models_choose(value):
    assert pairs_in(value) == [{"type": "Count", "question": "q", "answer": "a"}]


def test_words_for_nothing():
    assert all(map(is_nothing, (None, "", "None", "none.", "N/A", "null")))
    assert not is_nothing("No one is there.")
