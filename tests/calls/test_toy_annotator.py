"""The offline annotator: everything it says is true of the script."""

import pytest

from llava_video.annotate.recipe import load_recipe
from llava_video.annotate.records import QA
from llava_video.calls.ledger import open_ledger
from llava_video.calls.toy_annotator import load_script, true_questions
from llava_video.records.question_types import find_type
from llava_video.toyworld import describe
from llava_video.toyworld.verify.checker import Checker
from tests.annotate.make_videos import write_toy_video
from tests.annotate.running import run_quietly


@pytest.fixture(scope="module")
def toy_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy")
    for seed in range(6):
        write_toy_video(folder / "v" / f"t{seed}.mp4", seed, "crowded" if seed % 2 else "simple")
    changes = ["faithfulness.enabled=true", "blind.enabled=true", "blind.action=tag"]
    return run_quietly(folder / "v", load_recipe("toyworld", changes), folder / "out").records


def is_true(qa: QA, path: str) -> bool:
    """Whether the world's own checker, which watches the stage, gives the same answer."""
    script = load_script(path)
    asked = [
        question
        for question in true_questions(script)
        if (question.question, find_type(question.type)) == (qa.question, qa.type)
        and set(question.options) == set(qa.options)
    ]
    checker = Checker(script)
    return bool(asked) and all(
        checker.check(question) == "" and question.answer == qa.answer for question in asked
    )


def test_every_answer_agrees_with_the_script(toy_run):
    answers = [(qa, record.path) for record in toy_run for qa in record.qas]
    assert len(answers) > 60
    assert all(is_true(qa, path) for qa, path in answers)


def test_captions_are_the_scripts_own_words_for_their_spans(toy_run):
    for record in toy_run:
        script = load_script(record.path)
        for caption in record.captions:
            told = describe(script, caption.start_seconds, caption.end_seconds, script.seed)
            assert caption.text == " ".join(told.split())


def test_its_checks_find_nothing_to_object_to(toy_run):
    # Two types may ask the same of a video; the filter that sees this is no check.
    assert {r.reason for record in toy_run for r in record.rejections} <= {"near_duplicate"}
    assert {qa.tags[0] for record in toy_run for qa in record.qas} == {"supported"}


def test_other_videos_are_refused_one_by_one(videos, tmp_path):
    write_toy_video(tmp_path / "v" / "toy.mp4", 1)
    (tmp_path / "v" / "other.mp4").write_bytes((videos / "v0.mp4").read_bytes())
    records = run_quietly(tmp_path / "v", load_recipe("toyworld"), tmp_path / "out").records
    assert [record.is_rejected for record in records] == [True, False]
    assert "no script beside it" in records[0].rejections[0].detail
    assert open_ledger(tmp_path / "out").totals().num_unknown == 0  # it was never sent anywhere
