"""EgoSchema's submission is complete, or an error that names what is missing."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from llava_video.errors import InputError
from llava_video.evaluate.scoring.outcomes import Outcome
from llava_video.evaluate.scoring.submission import known_ids, write_submission

BLANK = Outcome("", "v", "", "", "q", tuple("vwxyz"), "", "p", "", "B", "B", None)
OUTCOMES = [replace(BLANK, id=f"u{n}", said=letter) for n, letter in enumerate("ACE")]


def test_both_forms_hold_every_answer(tmp_path: Path) -> None:
    assert write_submission(tmp_path, OUTCOMES, num_questions=3) == 0
    assert json.loads((tmp_path / "submission.json").read_text()) == {"u0": 0, "u1": 2, "u2": 4}
    assert (tmp_path / "submission.csv").read_text() == "q_uid,answer\nu0,0\nu1,2\nu2,4\n"


def test_what_chooses_nothing_is_submitted_as_the_first_option_and_counted(tmp_path: Path) -> None:
    outcomes = [*OUTCOMES[:2], replace(OUTCOMES[2], said=None)]
    assert write_submission(tmp_path, outcomes, num_questions=3) == 1
    assert json.loads((tmp_path / "submission.json").read_text())["u2"] == 0


def test_missing_ids_are_named(tmp_path: Path) -> None:
    (tmp_path / "uid_to_ego4d.json").write_text(json.dumps({f"u{n}": {} for n in range(5)}))
    ids = known_ids(tmp_path / "questions.json")
    with pytest.raises(InputError, match="2 of 5 questions have no answer: u3, u4;"):
        write_submission(tmp_path, OUTCOMES, ids, num_questions=5)
    assert not (tmp_path / "submission.json").exists()


def test_failed_questions_are_named(tmp_path: Path) -> None:
    outcomes = [*OUTCOMES[:2], replace(OUTCOMES[2], failure="gone")]
    with pytest.raises(InputError, match="1 of 3 questions have no answer: u2;"):
        write_submission(tmp_path, outcomes, num_questions=3)


def test_a_part_of_the_set_is_not_the_set(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="5028 of 5031 questions have no answer"):
        write_submission(tmp_path, OUTCOMES)
