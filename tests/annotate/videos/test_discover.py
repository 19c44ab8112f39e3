"""From names on the command line to videos."""

import json
import os

import pytest

from llava_video.annotate.videos.discover import common_folder, find_videos
from llava_video.chat.media_files import find_videos as find_chat_videos
from llava_video.errors import InputError


def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    return path


def test_folders_globs_and_files_name_each_video_once(tmp_path):
    touch(tmp_path / "a" / "one.mp4")
    touch(tmp_path / "a" / "b" / "two.webm")
    touch(tmp_path / "a" / "notes.txt")
    names = [str(tmp_path / "a"), str(tmp_path / "a/**/*.webm"), str(tmp_path / "a/one.mp4")]
    records = find_videos(names)
    assert [record.video_id for record in records] == ["b/two", "one"]
    assert common_folder(records) == (tmp_path / "a").resolve()


def test_ids_keep_the_suffix_where_it_tells_two_apart(tmp_path):
    touch(tmp_path / "one.mp4")
    touch(tmp_path / "one.webm")
    assert [r.video_id for r in find_videos([str(tmp_path)])] == ["one.mp4", "one.webm"]


def test_hidden_files_are_no_videos_wherever_the_folder_is(tmp_path):
    folder = tmp_path / ".cache" / "clips"
    touch(folder / "one.mp4")
    touch(folder / "._one.mp4")
    touch(folder / ".trash" / "two.mp4")
    assert [r.video_id for r in find_videos([str(folder)])] == ["one"]
    assert find_chat_videos([str(folder)]) == [str(folder / "one.mp4")]


def test_known_videos_keep_their_ids_though_others_join(tmp_path):
    first, other, above = (touch(tmp_path / name) for name in ("a/one.mp4", "b/one.mp4", "one.mp4"))
    known = {os.path.realpath(first): "one"}
    assert [r.video_id for r in find_videos([str(first), str(other)], known)] == ["one", "b/one"]
    assert [r.video_id for r in find_videos([str(first), str(above)], known)] == ["one", "one.mp4"]
    assert [r.video_id for r in find_videos([str(other)], known)] == ["one"]  # it was moved
    known[os.path.realpath(other)] = "one.mp4"
    third = find_videos([str(first), str(other), str(above)], known)[2]
    assert third.video_id == os.path.realpath(above)


@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
def test_manifests_bring_ids_sources_and_views(suffix, tmp_path):
    path = tmp_path / f"list.{suffix}"
    row = {"id": "x1", "path": "v/a.mp4", "source": "ego4d", "category": "cooking", "views": 12}
    if suffix == "jsonl":
        path.write_text(json.dumps(row) + "\n" + json.dumps({"path": "v/b.mp4"}) + "\n")
    else:
        path.write_text("id,path,source,category,views\nx1,v/a.mp4,ego4d,cooking,12\n,v/b.mp4,,,\n")
    first, second = find_videos([str(path)])
    assert (first.video_id, first.source, first.category, first.views) == (
        *("x1", "ego4d", "cooking"),
        12,
    )
    assert first.path == str(tmp_path / "v/a.mp4")
    assert (second.video_id, second.source, second.views) == ("b", "files", 0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"id": "a"}', "row 1 has no path"),
        ("{", "list.jsonl:1: not JSON"),
        ("[1]", "a row is an object"),
        ('{"path": "a.mp4", "views": "many"}', "views 'many' is not a number"),
        ('{"path": "a.mp4", "views": 1e999}', "views inf is not a number"),
        ('{"path": "a\\u0000.mp4"}', "row 1: path 'a.x00.mp4' is not text"),
        ('{"path": "a.mp4", "id": "\\ud800"}', "row 1: id .* is not text"),
        ('{"path": "a.mp4", "source": "../elsewhere"}', "leave the / out"),
        ("[" * 100_000, "list.jsonl:1: not JSON"),
        ('{"id":"a","path":"a.mp4"}\n{"id":"a","path":"b.mp4"}', "'a' belongs to two videos"),
    ],
)
def test_bad_manifests_say_where(text, message, tmp_path):
    path = tmp_path / "list.jsonl"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        find_videos([str(path)])


def test_a_name_that_is_no_text_is_an_error_with_a_remedy(tmp_path):
    touch(tmp_path / os.fsdecode(b"caf\xe9.mp4"))
    with pytest.raises(InputError, match=r"caf\\udce9.mp4.*rename the file"):
        find_videos([str(tmp_path)])


def test_a_quoted_line_break_in_a_table_is_part_of_its_cell(tmp_path):
    (tmp_path / "list.csv").write_text('path,category\nv/a.mp4,"two\nlines"\nv/b.mp4,one\n')
    records = find_videos([str(tmp_path / "list.csv")])
    assert [record.category for record in records] == ["two\nlines", "one"]


def test_a_table_with_an_endless_cell_is_named(tmp_path):
    (tmp_path / "list.csv").write_text('path\n"' + "x" * 200_000)
    with pytest.raises(InputError, match=r"list.csv: not CSV \(field larger than"):
        find_videos([str(tmp_path / "list.csv")])


def test_a_manifest_in_another_encoding_is_named(tmp_path):
    (tmp_path / "list.csv").write_bytes("path\nv/café.mp4\n".encode("latin-1"))
    with pytest.raises(InputError, match=r"list.csv: cannot be read as UTF-8"):
        find_videos([str(tmp_path / "list.csv")])


def test_a_name_that_matches_nothing_is_an_error(tmp_path):
    with pytest.raises(InputError, match="no such file or folder"):
        find_videos([str(tmp_path / "missing.mp4")])
    with pytest.raises(InputError, match="no videos there"):
        find_videos([str(tmp_path)])
