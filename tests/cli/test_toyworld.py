"""``llava-video toyworld`` makes datasets and shows videos."""

import json

import pytest
from PIL import Image
from typer.testing import CliRunner

from llava_video.cli.toyworld import app
from llava_video.errors import InputError

SMALL = ["--level", "simple", "--size", "48x64", "--seconds", "5", "--num-workers", "1"]


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_make_writes_a_folder_and_completes_it(tmp_path):
    first = run("make", "--num-videos", 1, "--out", tmp_path, *SMALL, "--json")
    result = json.loads(first.stdout)
    assert result == {"folder": str(tmp_path), "num_videos": 1, "num_made": 1}
    second = run("make", "--num-videos", 2, "--out", tmp_path, *SMALL)
    assert "2 videos, 1 of them made now" in second.stdout
    assert len(list((tmp_path / "videos").glob("*.mp4"))) == 2


def test_play_shows_a_seed_or_a_video_with_its_script(tmp_path):
    picture = tmp_path / "sheet.png"
    shown = run("play", 3, "--level", "crowded", "--out", picture)
    assert "level crowded, seed 3" in shown.stdout
    result = json.loads(run("play", 3, "--level", "crowded", "--out", picture, "--json").stdout)
    assert result["script"] in shown.stdout
    assert result["contact_sheet"] == str(picture)
    assert {"question", "answer", "type"} <= set(result["questions"][0])
    with Image.open(picture) as sheet:
        assert sheet.width > 1000
    run("make", "--num-videos", 1, "--out", tmp_path, *SMALL)
    (video,) = (tmp_path / "videos").glob("*.mp4")
    assert "level simple, seed 0" in run("play", video, "--out", picture).stdout


def test_a_broken_script_is_named(tmp_path):
    run("make", "--num-videos", 1, "--out", tmp_path, *SMALL)
    (script,) = (tmp_path / "videos").glob("*.txt")
    script.write_text(script.read_text() + "curtain\n")
    (video,) = (tmp_path / "videos").glob("*.mp4")
    problem = str(run("play", video, "--out", tmp_path / "sheet.png").exception)
    assert str(script) in problem
    assert "'curtain'" in problem


@pytest.mark.parametrize(
    "arguments",
    [
        ["make", "--num-videos", 1, "--out", "OUT", "--size", "large"],
        ["make", "--num-videos", 1, "--out", "OUT", "--size", "33"],
        ["make", "--num-videos", 1, "--out", "OUT", "--level", "hard"],
        ["make", "--num-videos", 1, "--out", "OUT", "--seconds", "900"],
        ["make", "--num-videos", 1, "--out", "OUT/file/below"],
        ["play", "OUT/none.mp4"],
        ["play", "1", "--out", "OUT/sheet.unknown"],
    ],
)
def test_bad_input_is_an_error_for_the_user(arguments, tmp_path):
    (tmp_path / "file").touch()
    words = [str(word).replace("OUT", str(tmp_path)) for word in arguments]
    assert isinstance(run(*words).exception, InputError)
