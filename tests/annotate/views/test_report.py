"""Reports, explanations, status and history: what a user reads afterwards."""

import re

import pytest

from llava_video.annotate.views.compare_history import compare
from llava_video.annotate.views.console import status_of
from llava_video.annotate.views.explain import explain
from llava_video.annotate.views.report import write_report
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
