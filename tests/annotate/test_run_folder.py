"""Which videos are done: one answer for every engine."""

import asyncio
import dataclasses
import io
import os
import shutil

import pytest
from rich.console import Console

from llava_video.annotate.recipe import load_recipe
from llava_video.annotate.records import Facts, VideoRecord, from_json
from llava_video.annotate.run import run
from llava_video.annotate.run_folder import (
    DONE,
    FAILED,
    REJECTED,
    UNSELECTED,
    WAITING,
    redo,
    save_end,
    split_work,
)
from llava_video.calls.ledger import Ledger
from tests.annotate.fake_endpoint import FakeEndpoint
from tests.annotate.running import recipe_for, run_quietly


@pytest.fixture
def records(tmp_path):
    """Five videos, one for each way to end."""
    found = []
    for name in (DONE, REJECTED, FAILED, WAITING, "new"):
        path = tmp_path / f"{name}.mp4"
        path.write_bytes(b"x")
        found.append(VideoRecord(name, str(path), facts=Facts(10.0, 64, 48, 10.0)))
    return found


def split(folder, records, recipe, ends=()):
    """Save ends, then split; returns what is done with its end, and what is to do."""

    async def main():
        ledger = Ledger(folder / "ledger.sqlite")
        try:
            for record in records:
                if record.video_id in ends:
                    position = records.index(record)
                    ended = record.warned(["seen"])
                    await save_end(ledger, recipe, position, record, record.video_id, ended)
            work = await split_work(records, recipe, ledger)
            return work, list(ledger.saved_videos())
        finally:
            await ledger.aclose()

    return asyncio.run(main())


def test_what_ended_for_good_is_done_and_the_rest_is_taken_up_again(records, tmp_path):
    recipe = load_recipe("open")
    work, _ = split(tmp_path, records, recipe, ends=(DONE, REJECTED, FAILED, WAITING))
    assert {video: end for video, (end, _) in work.finished.items()} == {
        DONE: DONE,
        REJECTED: REJECTED,
    }
    assert work.finished[DONE][1].warnings == ("seen",)
    assert [(position, record.video_id) for position, record in work.todo] == [
        (2, FAILED),
        (3, WAITING),
        (4, "new"),
    ]


@pytest.mark.parametrize(
    ("change", "is_done"),
    [
        ("describe.history=none", False),
        ("ask.types=[temporal]", False),
        ("endpoint.model=other", False),
        ("filters.refusal=off", False),
        ("endpoint.concurrency=3", True),
        ("max_usd=5", True),
        ("selection.per_category=9", True),
    ],
)
def test_a_choice_that_can_change_a_record_undoes_it(records, tmp_path, change, is_done):
    split(tmp_path, records, load_recipe("open"), ends=(DONE,))
    work, _ = split(tmp_path, records, load_recipe("open", [change]))
    assert (DONE in work.finished) == is_done


def test_another_file_under_the_same_name_is_not_done(records, tmp_path):
    recipe = load_recipe("open")
    split(tmp_path, records, recipe, ends=(DONE,))
    os.utime(records[0].path, (1, 1))
    work, _ = split(tmp_path, records, recipe)
    assert DONE not in work.finished


def test_unselected_videos_are_kept_and_others_forgotten(records, tmp_path):
    recipe = load_recipe("open")
    split(tmp_path, records, recipe, ends=(DONE, REJECTED))
    first = records[0].rejected("select", "too_long")
    work, saved = split(tmp_path, [first], recipe)
    assert work.finished == {DONE: (UNSELECTED, first)}
    assert work.todo == []
    assert [(video, end, from_json(text)) for video, end, _, text in saved] == [
        (DONE, UNSELECTED, first)
    ]


def test_what_a_manifest_says_of_a_video_is_always_todays(records, tmp_path):
    recipe = load_recipe("open")
    split(tmp_path, records, recipe, ends=(DONE,))
    again = [dataclasses.replace(record, source="ego4d", category="cook") for record in records]
    work, _ = split(tmp_path, again, recipe)
    _, found = work.finished[DONE]
    assert (found.source, found.category, found.warnings) == ("ego4d", "cook", ("seen",))


def test_a_video_that_joins_leaves_the_others_as_they_were(videos, tmp_path):
    out, more = tmp_path / "run", tmp_path / "more"
    more.mkdir()
    shutil.copy(videos / "v0.mp4", more / "v0.mp4")
    with FakeEndpoint() as fake:
        recipe = recipe_for(fake)
        run_quietly(videos, recipe, out)
        num_calls = fake.num_requests
        found = run([str(videos), str(more)], recipe, out, console=Console(file=io.StringIO()))
        names = [record.video_id for record in found.records]
        assert names[:3] == ["v0", "v1", "v2"]
        assert names[3].endswith("more/v0")
        assert fake.num_requests == num_calls  # a copy, whose answers are known too
        redo(out, ["v0"])
        again = run([str(videos), str(more)], recipe, out, console=Console(file=io.StringIO()))
        assert [record.video_id for record in again.records] == names
        assert fake.num_requests == num_calls + 4  # of the one that was to be done anew
