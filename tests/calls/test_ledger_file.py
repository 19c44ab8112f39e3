"""Ledgers of older versions: migrated in place, and nothing in them is paid for again.

`fixtures/schemaN.sqlite` was written by the last version with schema N: three answered calls (the
first after a 429), one attempt in flight, a video and the facts of a file. None is ever removed.
"""

import asyncio
import dataclasses
import shutil
import sqlite3
from pathlib import Path

import pytest

from llava_video.calls.caller import Caller
from llava_video.calls.endpoint import Endpoint
from llava_video.calls.ledger import Ledger, open_ledger
from llava_video.calls.ledger_file import SCHEMA_VERSION
from llava_video.calls.messages import Reply, Request, Schema, Usage
from llava_video.calls.pricing import load_prices
from llava_video.errors import BudgetError, InputError
from tests.annotate.fake_endpoint import FakeEndpoint
from tests.annotate.make_videos import write_video
from tests.annotate.running import recipe_for, run_quietly

FIXTURES = Path(__file__).parent / "fixtures"
OLD = range(1, SCHEMA_VERSION)
MODEL = "gpt-4o-2024-05-13"


def request(text, stage="level1", schema=None, item_id="v1"):
    return Request(
        stage=stage,
        item_id=item_id,
        model=MODEL,
        prompt="level1@0123456789ab",
        system="Describe the clip.",
        parts=(text,),
        params=(("temperature", 0.0),),
        max_output_tokens=64,
        schema=schema,
    )


ANSWERED = [
    (
        request("0 to 10 seconds"),
        Reply("A dog runs past a red ladder.", "chatcmpl-1", "stop", Usage(120, 9, 20, 3)),
    ),
    (request("10 to 20 seconds"), Reply("Der Hund schläft. 犬", "chatcmpl-2", "stop", None)),
    (
        request("Ask about it.", "open_ended", Schema("pairs", {"type": "object"})),
        Reply('{"pairs": []}', "chatcmpl-3", "length", Usage(80, 5)),
    ),
]


class Counting:
    """Answers, and counts how often it was paid."""

    def __init__(self):
        self.paid = []

    async def complete(self, request, key):
        self.paid.append(request.item_id)
        return Reply("yes", "chatcmpl-4", "stop", Usage(30, 1))

    async def aclose(self):
        pass


@pytest.fixture(params=OLD, ids=lambda version: f"schema{version}")
def folder(request, tmp_path):
    shutil.copy(FIXTURES / f"schema{request.param}.sqlite", tmp_path / "ledger.sqlite")
    return tmp_path


def ask(folder, requests, annotator, max_usd=None):
    async def main():
        ledger = Ledger(folder / "ledger.sqlite", max_usd)
        settings = Endpoint(model=MODEL, max_wait_seconds=0.01)
        caller = Caller(annotator, ledger, settings, load_prices())
        try:
            return [await caller.call(own) for own in requests], ledger.totals()
        finally:
            await ledger.aclose()

    return asyncio.run(main())


def schema(path):
    """What a file holds: columns of its tables, and its indexes."""
    with sqlite3.connect(path) as db:
        names = "SELECT type, name FROM sqlite_master WHERE name NOT LIKE 'sqlite_%' ORDER BY name"
        return [
            (*row, db.execute(f"PRAGMA table_info({row[1]})").fetchall())
            for row in db.execute(names)
        ]


def test_there_is_a_fixture_of_every_older_schema():
    assert {path.stem for path in FIXTURES.glob("*.sqlite")} == {f"schema{v}" for v in OLD}


def test_paid_answers_are_found_again_and_paid_for_once(folder):
    annotator = Counting()
    requests = [own for own, _ in ANSWERED]
    replies, totals = ask(folder, requests, annotator)
    assert replies == [reply for _, reply in ANSWERED]
    assert annotator.paid == []
    assert (totals.num_calls, totals.num_attempts, totals.num_failed_attempts) == (3, 5, 1)
    assert (totals.num_unknown, totals.unknown_usd) == (1, 0.25)
    assert totals.usd == pytest.approx(0.00141)
    judge = request("Is it right?", "judge", item_id="sample-7")
    assert ask(folder, [*requests, judge, judge], annotator)[1].num_calls == 4
    assert annotator.paid == ["sample-7"]


def with_limit(requests, limit):
    return [dataclasses.replace(own, max_output_tokens=limit) for own in requests]


def test_under_another_limit_only_what_was_cut_off_is_asked_again_and_once(folder):
    annotator = Counting()
    requests = [own for own, _ in ANSWERED]
    for _ in range(2):
        replies, totals = ask(folder, with_limit(requests, 4096), annotator)
        assert replies[:2] == [reply for _, reply in ANSWERED[:2]]
        assert replies[2].text == "yes"
        assert (len(annotator.paid), totals.num_calls) == (1, 4)
    for limit in (16, 64, 1000, 4096):  # a lower one brings no more
        replies, _ = ask(folder, with_limit(requests, limit), annotator)
        assert [reply.text for reply in replies[:2]] == [r.text for _, r in ANSWERED[:2]]
    assert len(annotator.paid) == 1
    ask(folder, with_limit(requests, 9000), annotator)  # the longer answer was whole
    assert len(annotator.paid) == 1


def test_a_limit_that_no_list_would_hold_is_taken_from_the_earlier_recipe(tmp_path, monkeypatch):
    old_keys = {}
    new_key = Request.key

    def key(self):
        old_keys[new_key(self)] = self.key_at(777)
        return new_key(self)

    monkeypatch.setattr(Request, "key", key)
    with FakeEndpoint() as fake:
        video = write_video(tmp_path / "v.mp4", seconds=2, size=(32, 32))
        old = recipe_for(fake, endpoint__max_output_tokens=777)
        first = run_quietly(video, old, tmp_path / "out")
        forget_newer_schema(tmp_path / "out" / "ledger.sqlite", old_keys)
        paid = fake.num_requests
        new = recipe_for(fake, endpoint__max_output_tokens=3333)
        again = run_quietly(video, new, tmp_path / "out")
        assert fake.num_requests == paid
        assert [qa.question for qa in again.records[0].qas] == [
            qa.question for qa in first.records[0].qas
        ]


def forget_newer_schema(path, old_keys):
    """Make a ledger what the version before would have written: keys hold the limit."""
    with sqlite3.connect(path) as db:
        for new, old in old_keys.items():
            db.execute("UPDATE calls SET key = ? WHERE key = ?", (old, new))
        for column in ("thoughts", "is_refusal", "max_output_tokens"):
            db.execute(f"ALTER TABLE calls DROP COLUMN {column}")
        db.executescript("DROP TABLE limits; DROP TABLE tries; DELETE FROM videos;")
        db.execute("PRAGMA user_version = 2")


def test_what_was_in_flight_still_counts_against_the_budget(folder):
    with pytest.raises(BudgetError, match=r"budget of \$0.25 reached"):
        ask(folder, [request("20 to 30 seconds")], Counting(), max_usd=0.25)


def test_videos_and_facts_stay_and_reading_alone_migrates_too(folder):
    ledger = open_ledger(folder)
    assert list(ledger.saved_videos()) == [
        ("v1", "done", "f" * 32, '{"video_id": "v1", "path": "v1.mp4"}')
    ]
    assert ledger.facts("v1.mp4 1 2") == '{"duration_seconds": 20.0}'
    assert ledger.query("PRAGMA user_version") == [(SCHEMA_VERSION,)]
    ledger.close()


def test_a_migrated_file_is_like_a_new_one(folder, tmp_path):
    open_ledger(folder).close()
    Ledger(tmp_path / "new.sqlite").close()
    assert schema(folder / "ledger.sqlite") == schema(tmp_path / "new.sqlite")


def test_a_migration_that_fails_changes_nothing(folder):
    path = folder / "ledger.sqlite"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE limits (strange)")
    before = schema(path)
    with pytest.raises(InputError, match=r"cannot be brought to this version .* it is unchanged"):
        Ledger(path)
    assert schema(path) == before


def test_a_run_of_the_older_version_at_work_is_not_disturbed(folder):
    path = folder / "ledger.sqlite"
    before = schema(path)
    with sqlite3.connect(f"{path}.lock") as lock:
        lock.execute("BEGIN EXCLUSIVE")
        with pytest.raises(InputError, match="another run is at work there"):
            open_ledger(folder)
    assert schema(path) == before
