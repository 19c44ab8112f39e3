"""``doctor`` on the command line."""

import json
from pathlib import Path

import pytest

from llava_video.model import pixels
from tests.cli.run import Shell


def test_says_what_is_here(shell: Shell) -> None:
    done = shell("doctor")
    assert done.code == 0
    assert "decoders  h264" in done.out
    result = json.loads(shell("doctor", "--json").out)
    assert result["packages"]["av"]
    assert result["problems"] == []
    assert all(extra["remedy"].startswith("pip install") for extra in result["extras"])


def test_parity_agrees_and_names_what_does_not(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = shell("doctor", "--parity", "tiny", "--num-frames", "3")
    assert done.code == 0
    assert done.out.rstrip().endswith("all stages agree")
    monkeypatch.setattr(pixels, "PIXEL_MEAN", 0.48)
    done = shell("doctor", "--parity", "tiny", "--num-frames", "3")
    assert done.code == 1
    assert done.out.rstrip().endswith("first stage that differs: pixels")
    result = json.loads(shell("doctor", "--parity", "tiny", "--num-frames", "3", "--json").out)
    assert result["first_difference"] == "pixels"
    assert [stage["agrees"] for stage in result["stages"][:3]] == [True, False, True]


def test_bad_input(shell: Shell, tmp_path: Path) -> None:
    for words in (
        (tmp_path,),
        ("tiny", "--dtype", "int8"),
        ("tiny", "--video", tmp_path / "no"),
        ("tiny", "--device", "abacus"),
    ):
        done = shell("doctor", "--parity", *words)
        assert (done.code, done.err.count("\n")) == (2, 1)
