"""Reports, explanations, status and history: what a user reads afterwards."""

import dataclasses
import re
import shutil
from html.parser import HTMLParser

import pytest

from llava_video.annotate.export.card import write_card
from llava_video.annotate.records import read_records, write_records
from llava_video.annotate.run_folder import load_run
from llava_video.annotate.views.compare_history import compare
from llava_video.annotate.views.console import status_of
from llava_video.annotate.views.explain import explain
from llava_video.annotate.views.report import write_report
from llava_video.calls.ledger import open_ledger
from llava_video.errors import InputError
from tests.annotate.fake_endpoint import FakeEndpoint
from tests.annotate.running import recipe_for


def test_the_report_is_one_offline_page(finished, tmp_path):
    page = write_report(finished, tmp_path / "report.html").read_text()
    assert not re.findall(r"(?:src|href)=[\"'](?!data:)", page)
    assert "url(" not in page and "<script" not in page
    assert "LLaVA-Video-178K" in page
    assert len(re.findall(r'<img alt="[\d.]+ s" src="data:image/jpeg;base64', page)) == 4
    assert "Right letters: A: 12, B: 12, C: 12, D: 12" in page
    assert "tokens of texts estimated from their length, of pictures by its rule" in page
    assert "what the server counted in 17 calls" in page


def test_explain_walks_from_a_question_to_frames(finished):
    chain = explain(finished, "v2/mc/count")
    assert chain["type"] == "count"
    assert chain["call"]["request_id"].startswith("chatcmpl-")
    assert chain["call"]["usd"] > 0
    [whole] = chain["parents"]
    assert whole["id"] == "v2/L3/000"
    ids = [parent["id"] for parent in whole["parents"]]
    assert ids == ["v2/L2/000", "v2/L1/003"]
    clip = whole["parents"][0]["parents"][1]
    assert clip["id"] == "v2/L1/001"
    assert len(clip["frames"]) == 10
    assert clip["frames"][0].startswith("10.0 s ")


def test_an_unknown_id_gets_near_ones(finished):
    with pytest.raises(InputError, match=r"close are .*v2/mc/count"):
        explain(finished, "v2/mc/cuont")


def test_status_reads_the_ledger(finished):
    found = status_of(finished)
    assert found["videos"] == {"done": 3}
    assert found["totals"]["num_calls"] == 17
    stages = {row["stage"]: row["calls"] for row in found["stages"]}
    assert stages == {"level1": 7, "level2": 1, "level3": 3, "open_ended": 3, "multi_choice": 3}
    assert all(row["reasoning_tokens"] == 3 * row["calls"] for row in found["stages"])


def test_history_side_by_side(videos, tmp_path):
    with FakeEndpoint() as fake:
        found = compare([str(videos / "v2.mp4")], recipe_for(fake), tmp_path / "out")
        # The first clip has no history either way, so its call serves both.
        assert fake.num_requests == 6 + 5
    rows = found["rows"]
    assert [row["level"] for row in rows] == [1, 1, 1, 1, 3]
    assert rows[0]["with_history"] == rows[0]["without_history"]
    assert all(row["with_history"] != row["without_history"] for row in rows[1:])
    page = (tmp_path / "out" / "history.html").read_text()
    assert all(row["with_history"] in page for row in rows)


class Tags(HTMLParser):
    """The tags and the text of a page."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.text = set(), ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)

    def handle_data(self, data):
        self.text += data


EVIL = "<script>alert(1)</script>"


def test_names_and_words_are_text_on_the_page_and_on_the_card(finished, tmp_path):
    """A video's name, its description, a question, an answer and a reason with tags in them."""
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    records = list(read_records(folder / "records.jsonl"))

    def evil(record):
        captions = [dataclasses.replace(c, text=f"d {EVIL}") for c in record.captions]
        qas = [
            dataclasses.replace(
                qa,
                question=f"q {EVIL}",
                answer=f"a {EVIL}",
                options=tuple(f"a {EVIL}" if o == qa.answer else o for o in qa.options),
            )
            for qa in record.qas
        ]
        return dataclasses.replace(
            record, video_id=f"v {EVIL}", captions=tuple(captions), qas=tuple(qas)
        )

    left_out = dataclasses.replace(records[1], qas=()).rejected("describe", "broken", f"r {EVIL}")
    write_records([evil(records[0]), left_out], folder / "records.jsonl")
    page = Tags(write_report(folder, tmp_path / "report.html").read_text())
    assert "script" not in page.tags
    for word in "vdqar":
        assert f"{word} {EVIL}" in page.text, word
    run = load_run(folder)
    card, *_ = write_card(list(run.records), run.recipe, open_ledger(folder), tmp_path / "card")
    assert "<script" not in card.read_text()
    assert card.read_text().count("&lt;script>") >= 5


def test_a_videos_name_is_text_on_the_page_of_its_history(videos, tmp_path):
    video = tmp_path / "<script>alert(1)<script>.mp4"
    shutil.copy(videos / "v0.mp4", video)
    with FakeEndpoint() as fake:
        compare([str(video)], recipe_for(fake), tmp_path / "out")
    page = Tags((tmp_path / "out" / "history.html").read_text())
    assert "script" not in page.tags
    assert "<script>alert(1)<script>: descriptions" in page.text
