"""Which option a free text chooses, for every caller the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llava_video.records.options import (
    LETTER_ENDING,
    LETTERS,
    OPTION_ENDING,
    answer_by_letter,
    answer_by_option,
    ask_with_options,
    chosen_letter,
    letter_of,
)

OPTIONS = ("cat", "dog", "red car", "car")


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        *(("B", "B"), ("b", "B"), (" B.\n", "B"), ("(b)", "B"), ("[B]", "B"), ("**B**", "B")),
        *(("B. dog", "B"), ("B) dog", "B"), ("(B) dog", "B"), ("B: dog", "B"), ("b. dog", "B")),
        ("A. Vitamin B", "A"),  # the letter in front, not one in the option
        ("D: red car", "D"),  # the letter, where option and letter disagree
        ("B, because it barks", "B"),
        ("A because it meows", "A"),
        ("It must be C!", "C"),
        ("\\boxed{C}", "C"),
        ("Answer: C\n", "C"),
        ("answer: (a)", "A"),
        ("the answer is b", "B"),
        ("The correct option is B because it barks.", "B"),
        ("A is wrong, so the answer is B.", "B"),
        ("C, not A.", "C"),
        ("The answer is not A but B.", "B"),
        ("A. cat\nB. dog\nC. red car\nD. car\nThe answer is B.", "B"),
    ],
)
def test_a_letter_is_found_where_it_is_the_answer(text: str, letter: str) -> None:
    assert chosen_letter(text, OPTIONS) == letter


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Because I saw it.",
        "A bird, I would guess.",
        "the answer is a bird",
        "I cannot know.",
        "B-roll",
        "A's",
        "E",  # there are four options
        "It is not B",
        "It cannot be A",
        "A and B",
        "Option A is wrong, B is right",  # both are said to be options: no guess
        "A. cat\nB. dog\nC. red car\nD. car",
    ],
)
def test_no_letter_is_read_into_a_text(text: str) -> None:
    assert chosen_letter(text, OPTIONS) is None


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("A cat, I would guess.", "A"),
        ("A dog, I would guess.", "B"),  # an article is not a letter
        ("Because the dog barks.", "B"),
        ("the answer is a cat", "A"),
        ("The Red, car!", "C"),  # "car" within it is not counted
        ("car", "D"),
        ("A car, not a dog", "D"),
        ("a cat and a dog", None),
        ("cats", None),
    ],
)
def test_words_choose_if_they_name_exactly_one_option(text: str, letter: str | None) -> None:
    assert chosen_letter(text, OPTIONS) == letter


@pytest.mark.parametrize(
    ("text", "letter"),
    [("Yes.", "A"), ("No, it is not.", "B"), ("There is no", "B"), ("I have no idea", None)],
)
def test_no_before_a_noun_is_no_answer(text: str, letter: str | None) -> None:
    assert chosen_letter(text, ("yes", "no")) == letter


def test_i_is_a_word_where_there_are_nine_options() -> None:
    options = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
    assert chosen_letter("I see nothing", options) is None
    assert chosen_letter("I. nine", options) == chosen_letter("I", options) == "I"


words = st.text("abcdefghij", min_size=2, max_size=8)


@given(st.lists(words, min_size=2, max_size=6, unique=True), st.data())
def test_what_is_asked_for_is_read_back(options: list[str], data: st.DataObject) -> None:
    answer = data.draw(st.sampled_from(options))
    letter = letter_of(answer, options)
    assert options[LETTERS.index(letter)] == answer
    assert chosen_letter(answer_by_letter(letter), options) == letter
    assert chosen_letter(answer_by_option(letter, answer), options) == letter


def test_questions_and_answers_look_like_those_of_the_release() -> None:
    """The example of the dataset's card: options without a full stop, the answer with one."""
    options = ("Black", "Silver", "Red", "Blue")
    asked = "What is the color of the skillet in the video?"
    shown = f"{asked}\nA. Black\nB. Silver\nC. Red\nD. Blue\n"
    assert ask_with_options(asked, options, LETTER_ENDING) == shown + (
        "Please respond with only the letter of the correct answer."
    )
    assert ask_with_options(asked, options, OPTION_ENDING) == shown + (
        "Please provide your answer by stating the letter followed by the full option."
    )
    assert answer_by_letter("A") == "A."
    assert answer_by_option("A", "Black") == "A. Black."


@pytest.mark.parametrize("option", ["He waves.", "Who?", "Stop!"])
def test_a_sentence_keeps_its_own_end(option: str) -> None:
    assert answer_by_option("B", option) == f"B. {option}"


def test_an_answer_without_options_has_no_letter() -> None:
    assert letter_of("a cat", ()) == ""
    with pytest.raises(ValueError, match="is not in list"):
        letter_of("bird", OPTIONS)
