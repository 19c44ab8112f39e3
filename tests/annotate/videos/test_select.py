"""Selection: every limit of the paper's filter, quotas, near-duplicates, unreadable files."""

import dataclasses

import pytest

from llava_video.annotate.recipe import load_recipe
from llava_video.annotate.records import Facts, VideoRecord
from llava_video.annotate.videos.discover import find_videos
from llava_video.annotate.videos.frames import pictures_between
from llava_video.annotate.videos.select import choose, count_scenes, judge, measure, select_videos
from llava_video.calls.ledger import Ledger
from tests.annotate.make_videos import write_video

FINE = Facts(60.0, 1280, 720, 30.0, 10)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, None),
        ({"duration_seconds": 31_536_000.0, "average_fps": 20 / 31_536_000}, "too_few_frames"),
        ({"duration_seconds": 4.9}, "too_short"),
        ({"duration_seconds": 5.0, "num_scenes": 3}, "slides"),
        ({"duration_seconds": 180.1}, "too_long"),
        ({"height": 480}, "low_resolution"),
        ({"height": 481}, None),
        ({"width": 360, "height": 640}, "low_resolution"),  # the shorter side counts
        ({"width": 854, "height": 480}, "low_resolution"),
        ({"width": 720, "height": 1280}, None),
        ({"num_scenes": 2}, "static"),
        ({"num_scenes": 3}, None),
        ({"num_scenes": 30}, None),
        ({"num_scenes": 31}, "slides"),
    ],
)
def test_the_papers_limits(change, reason):
    found = judge(dataclasses.replace(FINE, **change), load_recipe("paper").selection)
    assert (found and found[0]) == reason


def record(name, views=0, category="a", **facts):
    return VideoRecord(
        name,
        f"{name}.mp4",
        category=category,
        views=views,
        facts=dataclasses.replace(FINE, **facts),
    )


def verdicts(records):
    return {r.video_id: r.rejections[0].reason if r.rejections else None for r in records}


def test_a_categorys_quota_goes_to_the_most_viewed():
    recipe = load_recipe("paper", ["selection.per_category=2"])
    records = [record("x", 5), record("y", 9), record("z", 7), record("w", 1, "b")]
    assert verdicts(choose(records, recipe)) == {"x": "quota", "y": None, "z": None, "w": None}


def test_rejected_videos_use_up_no_quota():
    recipe = load_recipe("paper", ["selection.per_category=1"])
    records = [record("x", 9, num_scenes=1), record("y", 5)]
    assert verdicts(choose(records, recipe)) == {"x": "static", "y": None}


def test_near_duplicates_are_found_in_the_pictures(tmp_path):
    recipe = load_recipe("open")
    write_video(tmp_path / "one.mp4", seed=1, size=(64, 96))
    write_video(tmp_path / "smaller.mp4", seed=1, size=(64, 96), crf=32)
    write_video(tmp_path / "other.mp4", seed=2, size=(64, 96))
    measured = [
        measure(VideoRecord(n, str(tmp_path / f"{n}.mp4"), views=v), recipe.selection)
        for n, v in (("one", 1), ("smaller", 5), ("other", 3))
    ]
    found = list(choose(measured, recipe))
    assert verdicts(found) == {"one": "near_duplicate_video", "smaller": None, "other": None}
    assert found[0].rejections[0].detail == "like smaller"


def test_scenes_are_counted(tmp_path):
    rules = load_recipe("paper").selection
    cut = write_video(tmp_path / "cut.mp4", seconds=12, fps=10, size=(96, 128), scenes=4, seed=3)
    still = write_video(tmp_path / "still.mp4", seconds=6, fps=10, size=(96, 128))
    assert count_scenes(str(cut), rules) == 4
    assert count_scenes(str(still), rules) == 1


def test_facts_are_measured_once_and_completed_when_a_recipe_asks_for_more(tmp_path, monkeypatch):
    path = write_video(tmp_path / "cut.mp4", seconds=12, fps=10, size=(96, 128), scenes=4, seed=3)
    limits = ["selection.over_height=0", "selection.max_scenes_per_second="]
    short = load_recipe("paper", [*limits, "selection.max_seconds=9"])
    longer = load_recipe("paper", limits)
    strict = load_recipe("paper", [*limits, "selection.over_scenes=4"])
    ledger = Ledger(tmp_path / "ledger.sqlite")

    def chosen(recipe):
        [record] = select_videos(find_videos([str(path)]), recipe, ledger)
        return record

    assert verdicts([chosen(short)]) == {"cut": "too_long"}
    assert chosen(short).facts.num_scenes is None  # its length was enough
    assert verdicts([chosen(longer)]) == {"cut": None}
    assert chosen(longer).facts.num_scenes == 4
    monkeypatch.setattr(
        "llava_video.annotate.videos.select.count_scenes", None
    )  # remembered from now on
    assert verdicts([chosen(strict)]) == {"cut": "static"}


def test_damage_is_noted_in_the_record_and_nothing_is_printed(tmp_path, capfd):
    path = write_video(tmp_path / "torn.mp4", seconds=12, fps=10, size=(96, 128), scenes=4)
    content = bytearray(path.read_bytes())
    middle = len(content) // 3
    content[middle : middle + 600] = b"\xff" * 600
    path.write_bytes(content)
    rules = load_recipe("open", ["selection.over_scenes=0"]).selection
    record = measure(VideoRecord("torn", str(path)), rules)
    assert record.facts.num_scenes >= 1
    pictures, warnings = pictures_between(
        str(path), 0, 12, record.facts, load_recipe("open").describe
    )
    assert len(warnings) == 1 and warnings[0].startswith("damaged: ")
    assert len(pictures) >= 1
    assert capfd.readouterr() == ("", "")


def test_bad_files_are_rejected_with_a_reason_and_no_path(tmp_path):
    rules = load_recipe("open").selection
    (tmp_path / "text.mp4").write_text("not a video")
    bad = measure(VideoRecord("text", str(tmp_path / "text.mp4")), rules)
    missing = measure(VideoRecord("gone", str(tmp_path / "gone.mp4")), rules)
    assert [bad.rejections[0].reason, missing.rejections[0].reason] == [
        "unreadable",
        "missing_file",
    ]
    assert str(tmp_path) not in bad.rejections[0].detail
    assert "text.mp4" in bad.rejections[0].detail
