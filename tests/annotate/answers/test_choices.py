"""Choices are read however models write them; a right one that is unclear is not guessed."""

# Cases are one a line.

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llava_video.annotate.answers.choices import index_base, read_choices

TEXTS = ("The dog runs", "The dog stops", "The cat runs", "The cat stops")
RIGHT = "The dog stops"
WRONG = ("The dog runs", "The cat runs", "The cat stops")
LETTERED = [f"{letter}) {text}" for letter, text in zip("ABCD", TEXTS, strict=True)]
LETTERED_WRONG = [f"{letter}) {text}" for letter, text in zip("ABC", WRONG, strict=True)]
ROMAN = [f"{n}) {text}" for n, text in zip(("i", "ii", "iii", "iv"), TEXTS, strict=True)]
BY_LETTER = dict(zip("ABCD", TEXTS, strict=True))
BY_SMALL_LETTER = dict(zip("abcd", TEXTS, strict=True))
BY_NUMBER = dict(zip("1234", TEXTS, strict=True))
NUMBERED = [f"{number}. {text}" for number, text in enumerate(TEXTS, 1)]


@pytest.mark.parametrize(
    "pair",
    [
        {"answer": RIGHT, "wrong_answers": list(WRONG)},
        {"answer": RIGHT, "wrong_answers": list(TEXTS)},  # the right one among the wrong ones
        {"answer": RIGHT, "options": list(TEXTS)},
        {"answer": RIGHT, "options": list(WRONG)},
        {"answer": "B", "options": list(TEXTS)},
        {"answer": "b", "options": list(TEXTS)},
        {"answer": "(B)", "options": list(TEXTS)},
        {"answer": "B.", "options": LETTERED},
        {"answer": "**B**", "options": LETTERED},
        {"answer": "Option B", "options": LETTERED},
        {"answer": "The correct answer is B.", "options": LETTERED},
        {"answer": "B) The dog stops", "options": LETTERED},
        {"answer": "B. the dog stops.", "options": list(TEXTS)},
        {"answer": "The dog stops", "options": LETTERED},
        {"answer": "B", "wrong_answers": LETTERED},
        {"answer": "B) The dog stops", "wrong_answers": [LETTERED[0], *LETTERED[2:]]},
        {"answer": "D) The dog stops", "wrong_answers": LETTERED_WRONG},
        {"answer": "A) The dog stops", "wrong_answers": LETTERED_WRONG},
        {"answer": "The dog stops", "wrong_answers": LETTERED_WRONG},
        {"answer": "C. The dog stops", "wrong_answers": list(WRONG)},
        {"answer": "B", "options": BY_LETTER},
        {"answer": "b", "options": BY_SMALL_LETTER},
        {"answer": RIGHT, "options": BY_LETTER},
        {"answer": {"B": RIGHT}, "options": BY_LETTER},
        {"answer": [RIGHT], "options": list(TEXTS)},
        {"answer": "B", "choices": [{"label": c, "text": t} for c, t in BY_LETTER.items()]},
        {"answer": "B", "choices": [{c: t} for c, t in BY_LETTER.items()]},
        {"answer": "B", "options": "\n".join(LETTERED)},
        {"answer": "B", "options": " ".join(LETTERED)},
        {"answer": "2", "options": NUMBERED},
        {"answer": 2, "options": NUMBERED},
        {"answer": "2. The dog stops", "options": NUMBERED},
        {"answer": 2, "options": BY_NUMBER},
        {"answer_index": 1, "options": list(TEXTS)},
        {"answer": "ii", "options": ROMAN},
        {"answer": "ii) The dog stops", "options": ROMAN},
        {"answer": "B", "options": [f"{c}、{t}" for c, t in BY_LETTER.items()]},
        {"answer": "Ｂ", "options": [f"{c}．{t}" for c, t in zip("ＡＢＣＤ", TEXTS, strict=True)]},
        {"answer": "option_b", "options": {f"option_{c}": t for c, t in BY_SMALL_LETTER.items()}},
        {"answer": "- The dog stops", "options": [f"- {t}" for t in TEXTS]},
        {"answer": RIGHT, "wrong_answers": "; ".join(WRONG)},
        {"answer": "Answer: B) The dog stops", "options": LETTERED},
        {"answer": "The answer is: The dog stops", "options": list(TEXTS)},
        {"answer": "B", "options": [t + " (correct)" * (t == RIGHT) for t in TEXTS]},
        {"correct": "B", **BY_SMALL_LETTER},
        {"correct_answer": "B", "options": list(TEXTS)},
        {"correct_option": RIGHT, "options": list(TEXTS)},
        {"answer": "?", "options": list(TEXTS), "wrong_answers": list(WRONG)},
    ],
)  # fmt: skip
def test_the_same_choices_in_all_shapes(pair):
    found = read_choices(pair, 4)
    assert (found.answer, found.wrong, found.problem) == (RIGHT, WRONG, "")


@pytest.mark.parametrize(
    ("pair", "problem"),
    [
        ({"answer": "B", "wrong_answers": list(WRONG)}, "answer_without_text"),
        ({"answer": "B) The cat runs", "options": LETTERED}, "ambiguous_answer"),
        ({"answer": "B) The cow runs", "options": LETTERED}, "ambiguous_answer"),
        ({"answer": 2, "options": list(TEXTS)}, "ambiguous_answer"),
        ({"answer": 7, "options": list(TEXTS)}, "ambiguous_answer"),
    ],
)
def test_what_is_unclear_is_not_guessed(pair, problem):
    assert read_choices(pair, 4).problem == problem


def test_an_index_is_told_by_the_others_of_its_answer():
    def pair(answer):
        return {"answer": answer, "options": list(TEXTS)}

    assert read_choices(pair(0), 4).answer == TEXTS[0]
    assert read_choices(pair(4), 4).answer == TEXTS[3]
    assert index_base([pair(2), pair(0)]) == 0 == index_base([pair(0)])
    assert index_base([pair(2), pair(4)]) == 1
    assert index_base([pair(2)]) is None is index_base([pair(0), pair(4)])
    assert read_choices(pair(2), 4, base=0).answer == TEXTS[2]
    assert read_choices(pair(2), 4, base=1).answer == TEXTS[1]


@pytest.mark.parametrize(
    "texts",
    [
        ["A. Lincoln", "T. Roosevelt", "G. Washington", "J. Adams"],
        ["2 - 3 minutes", "1 - 2 minutes", "3 - 4 minutes", "4 - 5 minutes"],
        ["1.5 metres", "2.5 metres", "3.5 metres", "4.5 metres"],
        ["A dog", "A cat", "A cow", "A hen"],
        ["12:30", "1:30", "2:30", "3:30"],
        ["2", "3", "4", "5"],
        ["A", "B", "C", "D"],
        ["I see", "He sees", "We see", "They see"],
    ],
)
def test_what_only_looks_like_a_label_stays(texts):
    for place, answer in enumerate(texts):
        wrong = tuple(text for n, text in enumerate(texts) if n != place)
        for pair in (
            {"answer": answer, "wrong_answers": list(wrong)},
            {"answer": answer, "options": texts},
        ):
            found = read_choices(pair, 4)
            assert (found.answer, found.wrong, found.problem) == (answer, wrong, "")


def test_a_label_is_cut_off_once():
    options = ["A) A. red", "B) B. blue", "C) C. green", "D) D. pink"]
    found = read_choices({"answer": "C", "options": options}, 4)
    assert (found.answer, found.wrong) == ("C. green", ("A. red", "B. blue", "D. pink"))


STYLES = (
    "{}) ",
    "{}. ",
    "({}) ",
    "[{}] ",
    "{}: ",
    "{} - ",
    "**{}.** ",
    "{})",
    "Option {}: ",
    "{}.) ",
)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("case", [str.upper, str.lower])
def test_labels_of_any_style(style, case):
    options = [style.format(case(c)) + text for c, text in zip("ABCD", TEXTS, strict=True)]
    for answer in ("B", options[1], RIGHT):
        found = read_choices({"answer": answer, "options": options}, 4)
        assert (found.answer, found.wrong) == (RIGHT, WRONG)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 9)
    | st.text(max_size=8)
    | st.sampled_from(LETTERED),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["answer", "options", "wrong_answers", "index"]), VALUES))
def test_any_value_is_read(pair):
    found = read_choices(pair, 4)
    assert all(isinstance(text, str) for text in (found.answer, *found.wrong))


@given(st.permutations(TEXTS), st.integers(0, 3))
def test_the_order_of_the_choices_does_not_matter(texts, place):
    lettered = [f"{letter}. {text}" for letter, text in zip("ABCD", texts, strict=True)]
    answers = ("ABCD"[place], lettered[place], texts[place])
    for answer, options in itertools.product(answers, (lettered, list(texts))):
        assert read_choices({"answer": answer, "options": options}, 4).answer == texts[place]
