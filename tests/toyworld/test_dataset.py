"""Folders of videos: complete, resumable, the same every time, in the LLaVA format."""

import json
from dataclasses import replace

import numpy as np
import pytest

from llava_video.errors import InputError
from llava_video.toyworld import generate_script, parse_script, script_path_of
from llava_video.toyworld.dataset import DatasetSettings, make_dataset
from llava_video.video import probe_video, read_video

SMALL = DatasetSettings(seed=5, level="standard", width=64, height=48, fps=5.0, seconds=6.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toyworld")
    assert list(make_dataset(folder, 3, SMALL)) == [True] * 3
    return folder


def load(folder, kind):
    return json.loads((folder / f"toyworld_{kind}.json").read_text())


def contents(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def assert_same(folder, other):
    """The same files; videos show the same: an encoder's bytes may depend on its threads."""
    ours, theirs = contents(folder), contents(other)
    assert ours.keys() == theirs.keys()
    for path in ours:
        if path.suffix == ".mp4":
            first, second = (read_video(place / path, num_frames=30) for place in (folder, other))
            assert first.timestamps_seconds.tolist() == second.timestamps_seconds.tolist()
            difference = np.abs(first.pixels.astype(int) - second.pixels)
            assert difference.mean() < 1
        else:
            assert ours[path] == theirs[path]


def test_videos_are_what_was_asked_for_with_their_scripts_beside_them(folder):
    for seed in range(5, 8):
        video = folder / "videos" / f"toyworld_standard_{seed:07d}.mp4"
        info = probe_video(video)
        assert (info.width, info.height, info.num_frames) == (64, 48, 30)
        script = parse_script(script_path_of(video).read_text())
        assert script == generate_script(seed, "standard", aspect=4 / 3, seconds=6.0)


@pytest.mark.parametrize("kind", ["cap", "oe", "mc"])
def test_records_are_in_the_format_of_the_release(folder, kind):
    records = load(folder, kind)
    assert 1 <= len(records) <= 3
    for record in records:
        assert set(record) == {"id", "conversations", "data_source", "video"}
        assert (folder / record["video"]).is_file()
        assert record["data_source"] == "0_30_s_toyworld"
        turns = record["conversations"]
        assert [t["from"] for t in turns] == ["human", "gpt"] * (len(turns) // 2)
        assert turns[0]["value"].startswith("<image>\n")
        assert not any("<image>" in turn["value"] for turn in turns[1:])


def test_multiple_choice_turns_end_in_one_of_two_ways_and_are_answered_accordingly(folder):
    turns = [t["value"] for record in load(folder, "mc") for t in record["conversations"]]
    for asked, answered in zip(turns[::2], turns[1::2], strict=True):
        if asked.endswith("Please respond with only the letter of the correct answer."):
            assert answered in ("A.", "B.", "C.", "D.")
        else:
            assert asked.endswith("by stating the letter followed by the full option.")
            assert f"\n{answered.removesuffix('.')}\n" in asked


def test_the_list_of_questions_knows_types_and_needs(folder):
    lines = [json.loads(line) for line in (folder / "questions.jsonl").read_text().splitlines()]
    assert {"video", "type", "kind", "needs", "answer", "options"} <= set(lines[0])
    num_turns = sum(
        len(record["conversations"]) // 2 for kind in ("oe", "mc") for record in load(folder, kind)
    )
    assert len(lines) == num_turns


def test_making_it_again_makes_the_same_with_any_number_of_processes(folder, tmp_path):
    assert list(make_dataset(tmp_path, 3, SMALL, num_workers=2)) == [True] * 3
    assert_same(tmp_path, folder)


def test_a_started_folder_is_completed(folder, tmp_path):
    list(make_dataset(tmp_path, 2, SMALL))
    lost = tmp_path / "videos" / "toyworld_standard_0000006.mp4"
    script_path_of(lost).unlink()  # as if it had been interrupted while drawing
    kept = tmp_path / "videos" / "toyworld_standard_0000005.mp4"
    before = kept.read_bytes()
    assert list(make_dataset(tmp_path, 3, SMALL)) == [False, True, True]
    assert kept.read_bytes() == before
    assert_same(tmp_path, folder)


def test_a_folder_of_other_videos_is_left_alone(folder):
    before = contents(folder)
    with pytest.raises(InputError, match="made with other settings"):
        list(make_dataset(folder, 3, replace(SMALL, fps=6.0)))
    assert contents(folder) == before


@pytest.mark.parametrize("wrong", [{"width": 65}, {"height": 16}, {"fps": 0.0}])
def test_videos_that_cannot_be_written_are_refused(wrong):
    with pytest.raises(InputError, match="use"):
        replace(SMALL, **wrong)
