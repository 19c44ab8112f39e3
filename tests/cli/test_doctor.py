"""``doctor`` on the command line."""

import json
from pathlib import Path
from typing import Any

import pytest

from llava_video.model import pixels
from tests.cli.run import Shell
from tests.video.media import write_video


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


@pytest.mark.parametrize(
    ("options", "said"),
    [({"ticks": [0, 512, 2048, 2560]}, "has a variable rate"), ({"pixel_format": "yuva420p",
      "codec": "libvpx-vp9"}, "is transparent")],
)  # fmt: skip
def test_parity_is_not_asked_of_videos_that_the_reference_shows_otherwise(
    shell: Shell, tmp_path: Path, options: dict[str, Any], said: str
) -> None:
    video = write_video(tmp_path / "a.mkv", num_frames=4, **options)
    done = shell("doctor", "--parity", "tiny", "--video", video)
    assert done.code == 2
    assert f"{video}: {said}, which the reference does not see" in done.err
