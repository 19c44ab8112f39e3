"""Questions: all types, well-formed, balanced, in the words of the vocabulary."""

from collections import Counter

import pytest

from llava_video.errors import InputError
from llava_video.records.options import OPTION_ENDING
from llava_video.toyworld import (
    LEVELS,
    QUESTION_TYPES,
    VOCABULARY,
    WORD_PATTERN,
    generate_script,
    make_questions,
)
from llava_video.toyworld.questions.question import Question


@pytest.fixture(scope="module", params=LEVELS)
def questions(request):
    seeds = range(300 if request.param == "simple" else 80)
    return [q for seed in seeds for q in make_questions(generate_script(seed, request.param))]


def test_options_are_four_different_ones_with_the_answer_under_its_letter(questions):
    for question in questions:
        if not question.options:
            assert question.answer_letter == ""
            continue
        assert len(question.options) == (2 if question.type == "Binary" else 4)
        assert len(set(question.options)) == len(question.options)
        assert question.options["ABCD".index(question.answer_letter)] == question.answer


def test_letters_are_balanced(questions):
    letters = Counter(q.answer_letter for q in questions if len(q.options) == 4)
    assert max(letters.values()) < 1.25 * min(letters.values())


def test_about_half_are_open_ended(questions):
    share = sum(not question.options for question in questions) / len(questions)
    assert 0.35 < share < 0.6


def test_they_use_only_words_of_the_vocabulary(questions):
    known = set(VOCABULARY)
    for question in questions:
        text = question.prompt_multiple_choice(ending=OPTION_ENDING)
        text += f" {question.prompt_open_ended(one_word=True)} {question.answer}"
        assert set(WORD_PATTERN.findall(text)) <= known


def test_all_sixteen_types_are_asked_at_most_once_a_video():
    types = Counter()
    for seed in range(150):
        asked = [q.type for q in make_questions(generate_script(seed, "standard"))]
        assert len(set(asked)) == len(asked)
        types.update(asked)
    assert set(types) == set(QUESTION_TYPES)
    assert len(QUESTION_TYPES) == 16


def test_some_need_many_frames_and_some_fine_detail():
    asked = [q for s in range(150) for q in make_questions(generate_script(s, "standard"))]
    needs = Counter(question.needs for question in asked)
    assert set(needs) == {"any", "many_frames", "fine_detail"}
    assert min(needs.values()) > 0.04 * len(asked)


def test_the_same_seed_asks_the_same_and_another_seed_something_else():
    script = generate_script(3, "standard")
    assert make_questions(script, 1) == make_questions(script, 1)
    assert make_questions(script, 1) != make_questions(script, 2)


@pytest.mark.parametrize(
    ("options", "said"),
    [(("1", "2", "2", "4"), "same option twice"), (("1", "3", "4", "5"), "'2' is not among")],
)
def test_the_answer_is_exactly_one_of_the_options(options, said):
    with pytest.raises(InputError, match=said):
        Question("Count", "count", "How many?", "2", options)


def test_values_are_the_attributes_and_the_letter():
    question = Question("Count", "count", "How many?", "2", ("1", "2", "3", "4"), about=("all",))
    values = question.to_dict()
    assert values.pop("answer_letter") == question.answer_letter == "B"
    assert Question(**values) == question


def test_prompts_look_like_those_of_the_release():
    question = Question("Count", "count", "How many?", "2", ("1", "2", "3", "4"))
    assert question.prompt_multiple_choice() == (
        "How many?\nA. 1\nB. 2\nC. 3\nD. 4\n"
        "Please respond with only the letter of the correct answer."
    )
    assert question.prompt_open_ended() == "How many?"
    assert question.prompt_open_ended(one_word=True) == "How many?\nAnswer in one word."
