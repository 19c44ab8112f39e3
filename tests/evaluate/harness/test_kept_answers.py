"""Answers in a file: whole batches, found by content, also after half a line."""

from pathlib import Path

import pytest

from llava_video.errors import InputError
from llava_video.evaluate.harness.kept_answers import KeptAnswer, KeptAnswers, key_of


def test_a_batch_is_written_with_its_last_answer(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    kept = KeptAnswers(path)
    kept.add("k1", KeptAnswer("A"), "batch", 2)
    assert KeptAnswers(path).find("k1") is None
    kept.add("k2", KeptAnswer("B", {"seconds": 1}), "batch", 2)
    again = KeptAnswers(path)
    assert again.find("k1") == KeptAnswer("A")
    assert again.find("k2") == KeptAnswer("B", {"seconds": 1})
    assert len(path.read_text().splitlines()) == 1


def test_what_failed_does_not_hold_up_its_batch(tmp_path: Path) -> None:
    kept = KeptAnswers(tmp_path / "a.jsonl")
    kept.skip("batch", 2)
    kept.add("k", KeptAnswer("A"), "batch", 2)
    assert len(KeptAnswers(tmp_path / "a.jsonl")) == 1


def test_what_failed_once_is_kept_when_it_is_answered(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    kept = KeptAnswers(path)
    kept.add("k1", KeptAnswer("A"), "batch", 2)
    kept.skip("batch", 2)
    again = KeptAnswers(path)
    assert again.find("k1") is not None
    again.skip("batch", 2)
    again.add("k2", KeptAnswer("B"), "batch", 2)
    assert len(KeptAnswers(path)) == 2


def test_half_a_line_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    kept = KeptAnswers(path)
    for key in "ab":
        kept.add(key, KeptAnswer(key), key, 1)
    path.write_bytes(path.read_bytes()[:-9])
    again = KeptAnswers(path)
    assert again.find("a") == KeptAnswer("a")
    assert again.find("b") is None
    again.add("c", KeptAnswer("c"), "c", 1)
    assert len(KeptAnswers(path)) == 2


def test_nothing_is_asked_once_the_file_cannot_be_written(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.symlink_to("/dev/full")
    kept = KeptAnswers(path)
    with pytest.raises(InputError, match="No space left on device"):
        kept.add("k", KeptAnswer("A"), "k", 1)
    with pytest.raises(InputError, match="make room and run again"):
        kept.find("other")


def test_keys_tell_contents_apart() -> None:
    assert key_of("a", "bc") != key_of("ab", "c")
    assert key_of("a", "b") == key_of("a", "b")
