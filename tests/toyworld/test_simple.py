from collections import Counter

import numpy as np

from llava_video.toyworld import (
    QUESTION_TYPES,
    VOCABULARY,
    WORD_PATTERN,
    format_script,
    generate_script,
    make_questions,
    parse_script,
    render,
)

SEEDS = range(300)


def test_a_script_prints_and_parses_back():
    for seed in SEEDS:
        script = generate_script(seed, "simple")
        assert parse_script(format_script(script)) == script


def test_the_same_seed_gives_the_same_video_and_questions():
    first, second = generate_script(5, "simple"), generate_script(5, "simple")
    assert first == second != generate_script(6, "simple")
    assert make_questions(first, 1) == make_questions(second, 1) != make_questions(first, 2)
    np.testing.assert_array_equal(render(first, 4).pixels, render(second, 4).pixels)


def test_prompts_and_answers_use_only_the_vocabulary():
    for seed in SEEDS:
        for question in make_questions(generate_script(seed, "simple")):
            text = (
                f"{question.prompt_multiple_choice()} {question.prompt_open_ended(one_word=True)}"
            )
            assert set(WORD_PATTERN.findall(f"{text} {question.answer}")) <= set(VOCABULARY)


def test_right_options_are_right_and_letters_are_balanced():
    letters: Counter[str] = Counter()
    for seed in SEEDS:
        for question in make_questions(generate_script(seed, "simple")):
            assert question.type in QUESTION_TYPES
            if question.options:
                assert len(set(question.options)) == (2 if question.type == "Binary" else 4)
                assert question.options["ABCD".index(question.answer_letter)] == question.answer
                if question.type != "Binary":
                    letters[question.answer_letter] += 1
    assert max(letters.values()) < 1.2 * min(letters.values())
