"""Nasty answers and what each harness makes of them.

The columns of lmms-eval and VLMEvalKit were worked out by hand from their rules; where they differ
from ours, theirs is a known error that published figures contain.
"""

from dataclasses import replace

import pytest

from llava_video.errors import InputError
from llava_video.evaluate.annotations.question import Question
from llava_video.evaluate.extraction import extract_own, find_extractor, lmms_eval, vlmevalkit
from llava_video.evaluate.tasks import find_benchmark

PETS = Question("q", "v", "what is it", ("a cat", "a dog", "a bird", "no animal"), answer="B")

OWN = [
    ("B", "B"), ("b", "B"), ("(B)", "B"), ("B.", "B"), ("B. a dog", "B"), ("**B**", "B"),
    ("The answer is B.", "B"), ("Answer: (C)", "C"), ("a dog", "B"), ("It shows a dog.", "B"),
    ("A man walks in.", None), ("A cat or a dog", None), ("", None), ("E", None), ("A or B", None),
    ("I cannot tell.", None), ("not B", None), ("It is a dog, not a cat.", "B"),
    ("Video v.mp4 can not load, check the source", None),
    ("A. a cat\nB. a dog\nC. a bird\nD. no animal", None),
]  # fmt: skip


@pytest.mark.parametrize(("text", "letter"), OWN)
def test_own(text: str, letter: str | None) -> None:
    assert extract_own(text, PETS) == letter


@pytest.mark.parametrize(
    ("rule", "text", "letter"),
    [
        # NExT-QA: a random choice is unparsed
        (lmms_eval.last_marked, "(A) or maybe (B)", "B"),
        (lmms_eval.last_marked, "A man", "A"),
        (lmms_eval.last_marked, "b", None),
        (lmms_eval.last_marked, "It looks to me like a dog there", "B"),
        (lmms_eval.last_marked, "a dog", None),
        (lmms_eval.last_marked, "Plan A. Plan B.x", "A"),  # several before a full stop: the first
        # EgoSchema: the first instead
        (lmms_eval.first_marked, "(A) or maybe (B)", "A"),
        (lmms_eval.first_marked, "C", "C"),
        (lmms_eval.first_marked, "It looks to me like a dog there", None),
        # PerceptionTest
        (lmms_eval.word_letter, "A man", "A"),
        (lmms_eval.word_letter, "The DOG", None),
        # Video-MME, MLVU
        (lmms_eval.best_ranked, "The correct answer is (B).", "B"),
        (lmms_eval.best_ranked, "A man holds C", "A"),
        (lmms_eval.best_ranked, "It is B because A is wrong", "A"),
        (lmms_eval.best_ranked, "Dogs", "D"),
        (lmms_eval.best_ranked, "", None),
        (lmms_eval.best_ranked, "dogs", None),
        (lmms_eval.best_ranked, "Video v.mp4 Can not load, check the source", "C"),
        # LongVideoBench
        (lmms_eval.first_capital, "The best answer is C", "C"),
        (lmms_eval.first_capital, "Because of D", "B"),
        (lmms_eval.first_capital, "dog", None),
        # MVBench
        (lmms_eval.single_letter, "a person walks", "A"),
        (lmms_eval.single_letter, "(b)", "B"),
        (lmms_eval.single_letter, "c. it", "C"),
        (lmms_eval.single_letter, "", None),
        # TempCompass
        (lmms_eval.tempcompass_letter, "B) dog", "B"),
        (lmms_eval.tempcompass_letter, "B. a dog", "B"),
        (lmms_eval.tempcompass_letter, "It is B", None),
        # VLMEvalKit
        (vlmevalkit.first_of_four, "Answer: C", "C"),
        (vlmevalkit.first_of_four, "An A", "A"),
        (vlmevalkit.first_of_four, "E", None),
        (vlmevalkit.first_of_five, "E", "E"),
        (vlmevalkit.first_word, "", "B"),  # any answer is right when nothing is said
        (vlmevalkit.first_word, "b. dog", "B"),
        (vlmevalkit.first_word, "A", "A"),
        (vlmevalkit.before_bracket, "(B) dog", "B"),
        (vlmevalkit.before_bracket, "C) bird", "C"),
        (vlmevalkit.infer, "The answer is **C** since A and B fail", "C"),
        (vlmevalkit.infer, "a dog", "B"),
        (vlmevalkit.infer, "A man and a dog run over there now", "B"),
        (vlmevalkit.infer, "A or B", None),
        (vlmevalkit.infer, "Cannot determine the answer", None),
    ],
)  # fmt: skip
def test_rules_of_other_harnesses(rule, text: str, letter: str | None) -> None:
    assert rule(text, PETS) == letter


def test_yes_or_no_is_how_the_answer_starts() -> None:
    question = Question("q", "v", "is it?", ("yes", "no"), answer="A")
    found = [lmms_eval.yes_or_no(text, question) for text in ("Yes.", "Nothing", "It is")]
    assert found == ["A", "B", None]


def test_an_extractor_that_a_harness_lacks_is_an_error() -> None:
    with pytest.raises(InputError, match="vlmevalkit has no nextqa; use --extraction llava-video"):
        find_extractor("vlmevalkit", {}, "nextqa")
    with pytest.raises(InputError, match="did you mean 'lmms-eval'"):
        find_extractor("lmms_eval", {}, "nextqa")


CAPTIONS = Question(
    "q", "v", "Which fits?", ("It runs.", "It walks."), answer="B",
    written="Which fits?\nOption 1: It runs.\nOption 2: It walks.",
)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "own", "theirs"),
    [
        ("Option 2", "B", "B"),
        ("option 2.", "B", None),
        ("2", "B", "B"),
        ("Option 2: It walks.", "B", "B"),
        ("Option 2 is the best, as it walks there.", "B", None),
        ("It walks.", "B", "B"),
        ("(2) It walks.", "B", "B"),
        ("Option 1 or Option 2", None, None),
        ("B", "B", None),
        ("It sits.", None, None),
    ],
)
def test_captions_are_chosen_by_their_labels(text: str, own: str, theirs: str | None) -> None:
    compatible = dict(find_benchmark("tempcompass").compatible)
    assert find_extractor("llava-video", compatible, "tempcompass")(text, CAPTIONS) == own
    assert find_extractor("lmms-eval", compatible, "tempcompass")(text, CAPTIONS) == theirs
    asked_again = replace(CAPTIONS, written=f"{CAPTIONS.written}\nPlease directly give the best:")
    assert find_extractor("lmms-eval", compatible, "tempcompass")(text, asked_again) == theirs
