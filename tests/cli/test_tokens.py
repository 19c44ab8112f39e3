"""``tokens`` and ``presets`` print what the layouts count."""

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from llava_video.representation import PRESETS, make_layout
from llava_video.representation.tape import DROPPED_COLOUR
from tests.cli.run import Shell
from tests.video.media import write_video

SVG = "{http://www.w3.org/2000/svg}"


def test_json_blocks_add_up_to_the_total(shell: Shell) -> None:
    result = json.loads(shell("tokens", "--representation", "released-72b", "--json").out)
    assert result["num_tokens"] == 7036
    assert sum(block["num_tokens"] for block in result["blocks"]) == 7036
    assert [block["kind"] for block in result["blocks"][:4]] == ["slow", "fast", "fast", "slow"]
    assert result["paper_formula"] == 5757


def test_text_shows_the_tape_the_total_and_the_formula(shell: Shell) -> None:
    out = shell("tokens", "--representation", "llava-video-slowfast").out
    assert "5,097 video tokens" in out
    assert "= 5,757 for T = 64" in out
    assert set(out.splitlines()[0]) == set("█▓▒░")


def test_svg_draws_every_frame_at_its_true_width(shell: Shell, tmp_path: Path) -> None:
    path = tmp_path / "tape.svg"
    shell("tokens", "--representation", "16,729,3,2", "--svg", path)
    groups = ElementTree.parse(path).getroot().findall(f"{SVG}g")
    widths = [float(group.find(f"{SVG}rect").get("width")) for group in groups]
    tokens = [
        int(re.search(r"(\d+) tokens", group.find(f"{SVG}title").text)[1]) for group in groups
    ]
    assert len(groups) == 16
    scale = widths[0] / tokens[0]
    assert widths == pytest.approx([count * scale for count in tokens], abs=0.02)


def test_a_video_gives_thumbnails_and_times_and_no_outside_assets(
    shell: Shell, tmp_path: Path
) -> None:
    video = write_video(tmp_path / "video.mp4", num_frames=50)
    page = tmp_path / "tape.html"
    done = shell("tokens", video, "--representation", "8,729,2,2", "--html", page, "--json")
    result = json.loads(done.out)
    assert result["blocks"][-1]["timestamp_seconds"] == pytest.approx(1.96)
    text = page.read_text()
    assert text.count('href="data:image/jpeg;base64,') >= 4
    assert not re.search(r'(src|href)="(?!data:)', text)


@pytest.mark.parametrize("words", [["--representation", "64,729,3"], ["--num-frames", "65"]])
def test_bad_representations(shell: Shell, words: list[str]) -> None:
    done = shell("tokens", *words)
    assert (done.code, done.err.count("\n")) == (2, 1)


def test_a_rate_needs_a_video_and_no_number_of_frames(shell: Shell, tmp_path: Path) -> None:
    for words in (("--fps", "1"), (tmp_path / "a.mp4", "--fps", "1", "--num-frames", "5")):
        done = shell("tokens", *words)
        assert (done.code, "--fps samples a video" in done.err) == (2, True)


def test_a_path_that_cannot_be_written(shell: Shell, tmp_path: Path) -> None:
    done = shell("tokens", "--svg", tmp_path / "no" / "tape.svg")
    assert done.code == 2
    assert "cannot be written" in done.err


def test_a_selection_is_counted_without_a_model(shell: Shell) -> None:
    result = json.loads(shell("tokens", "--representation", "released-7b evs=0.25", "--json").out)
    assert (result["num_tokens"], result["num_packed_tokens"]) == (3360, 13440)
    out = shell("tokens", "--representation", "released-7b evs=0.25").out
    assert "3,360 video tokens of 13,440 (evs=0.25)" in out


def test_a_model_shows_which_tokens_of_a_video_it_keeps(shell: Shell, tmp_path: Path) -> None:
    video = write_video(tmp_path / "video.mp4", num_frames=50)
    words = ("tokens", video, "--model", "tiny", "--representation", "tstm=0.5")
    result = json.loads(shell(*words, "--json", "--svg", tmp_path / "tape.svg").out)
    assert result["num_tokens"] == sum(block["num_kept"] for block in result["blocks"]) == 48
    assert result["blocks"][0]["num_kept"] == 16
    svg = ElementTree.parse(tmp_path / "tape.svg").getroot()
    pale = [rect for rect in svg.findall(f"{SVG}rect") if rect.get("fill") == DROPPED_COLOUR]
    legend, *dropped = pale
    bar = svg.find(f"{SVG}g").find(f"{SVG}rect")
    token = float(bar.get("width")) / 16
    widths = [float(rect.get("width")) / token for rect in dropped if rect is not legend]
    assert sum(widths) == pytest.approx(48, abs=0.1)
    assert "share kept" in shell(*words).out
    alone = shell("tokens", "--model", "tiny")
    assert (alone.code, alone.err.count("\n")) == (2, 1)


def test_presets_list_exact_and_printed_counts(shell: Shell) -> None:
    rows = json.loads(shell("presets", "--json").out)
    assert [row["name"] for row in rows] == list(PRESETS)
    for row in rows:
        representation = PRESETS[row["name"]].representation
        assert row["num_tokens"] == make_layout(representation, row["max_frames"]).num_tokens
    text = shell("presets").out
    assert max(map(len, text.splitlines()[:2])) <= 80
    assert "5,396" in text
