"""Batch files: the same pipeline in waves, with the same result."""

import json
import re

import pytest

from llava_video.annotate.batch import Note, Wave, read_results, write_wave
from llava_video.calls.ledger import CallInfo, open_ledger
from llava_video.errors import BudgetError, InputError
from tests.annotate.fake_endpoint import FakeEndpoint, completion, write_answer
from tests.annotate.running import recipe_for, run_quietly


def answer_files(paths, fail_every=0):
    """What the batch API would return for these input files."""
    outputs = []
    for path in paths:
        rows = []
        for number, line in enumerate(path.read_text().splitlines()):
            request = json.loads(line)
            assert (request["method"], request["url"]) == ("POST", "/v1/chat/completions")
            body = completion(request["body"], write_answer(request["body"]))
            response = {"status_code": 200, "body": body}
            if fail_every and number % fail_every == 0:
                response = {"status_code": 500, "body": {"error": {"message": "broken"}}}
            rows.append({"custom_id": request["custom_id"], "response": response, "error": None})
        output = path.with_suffix(".output")
        output.write_text("\n".join(json.dumps(row) for row in rows))
        outputs.append(output)
    return outputs


def bodies_of(path):
    return sorted(json.dumps(json.loads(line)["body"]) for line in path.read_text().splitlines())


def test_waves_end_with_what_a_live_run_ends_with(videos, tmp_path):
    with FakeEndpoint() as fake:
        recipe = recipe_for(fake)
        live = run_quietly(videos, recipe, tmp_path / "live")
    out = tmp_path / "out"
    num_waves = 0
    while paths := write_wave([str(videos)], recipe, out):
        num_waves += 1
        counts = read_results(out, answer_files(paths, fail_every=int(num_waves == 1)))
        assert counts["foreign"] == counts["known"] == 0
    # The longest video has six descriptions in a row, then questions; the first wave fails.
    assert num_waves == 8
    assert (out / "records.jsonl").read_bytes() == (tmp_path / "live/records.jsonl").read_bytes()
    assert len(live.records) == 3
    spent = open_ledger(out).totals().usd
    assert spent == pytest.approx(open_ledger(tmp_path / "live").totals().usd / 2)


def test_reading_a_file_again_changes_nothing(videos, tmp_path):
    with FakeEndpoint() as fake:
        paths = write_wave([str(videos)], recipe_for(fake), tmp_path / "out")
    outputs = answer_files(paths)
    assert read_results(tmp_path / "out", outputs)["settled"] == 3
    assert read_results(tmp_path / "out", outputs)["known"] == 3


def test_files_keep_to_the_limits_and_to_those_before_them(tmp_path):
    info = CallInfo("k", "v", "level1", "m", "p@1", 1, 1, 0.0)

    def write(**limits):
        wave = Wave(tmp_path, **limits)
        for number in range(7):
            wave.add(f"{number:08d}\n".encode(), Note(info, 0, "k"))
        assert not list(tmp_path.glob("*.jsonl")) or paths
        return wave.finish()

    paths = []
    paths = write(max_bytes=35)
    assert [len(path.read_text().split()) for path in paths] == [3, 3, 1]
    more = write(max_requests=2)
    assert [len(path.read_text().split()) for path in more] == [2, 2, 2, 1]
    assert "".join(path.read_text() for path in more) == "".join(p.read_text() for p in paths)
    assert not set(paths) & set(more)
    assert Wave(tmp_path).finish() == []


def test_a_wave_is_asked_once_until_it_is_read_back_or_deleted(videos, tmp_path):
    out = tmp_path / "out"
    with FakeEndpoint() as fake:
        recipe = recipe_for(fake)
    [path] = write_wave([str(videos)], recipe, out)
    with pytest.raises(InputError, match=r"wave0000.jsonl: 3 of its calls were not read back"):
        write_wave([str(videos)], recipe, out)
    content = path.read_text()
    path.unlink()
    [again] = write_wave([str(videos)], recipe, out)
    assert sorted(again.read_text().splitlines()) == sorted(content.splitlines())


def test_a_wave_holds_what_the_budget_holds(videos, tmp_path):
    out = tmp_path / "out"
    with FakeEndpoint() as fake:
        recipe = recipe_for(fake, max_usd=0.025, endpoint__max_output_tokens=2048)
    [path] = write_wave([str(videos)], recipe, out)
    assert len(path.read_text().splitlines()) == 2  # of three; each may cost a little over a cent
    read_results(out, answer_files([path]))
    broke = recipe_for(fake, max_usd=0.001)
    with pytest.raises(BudgetError, match="3 calls wait; raise --max-usd"):
        write_wave([str(videos)], broke, out)


@pytest.mark.parametrize(
    "line",
    [b"{}", b"nonsense", b"\xff", b"[" * 100_000, b'{"custom_id": ["x"]}',
     b'{"custom_id": "x", "response": "text"}'],
)  # fmt: skip
def test_what_is_no_output_file_is_named(line, videos, tmp_path):
    with FakeEndpoint() as fake:
        write_wave([str(videos)], recipe_for(fake), tmp_path / "out")
    bad = tmp_path / "bad.jsonl"
    bad.write_bytes(line + b"\n")
    with pytest.raises(InputError, match=r"bad.jsonl:1: not a line of a batch's output"):
        read_results(tmp_path / "out", [bad])
    with pytest.raises(InputError, match="no such file"):
        read_results(tmp_path / "out", [tmp_path / "none"])


def test_an_answer_that_is_no_completion_joins_the_next_wave(videos, tmp_path):
    out = tmp_path / "out"
    with FakeEndpoint() as fake:
        recipe = recipe_for(fake)
    [path] = write_wave([str(videos)], recipe, out)
    keys = [json.loads(line)["custom_id"] for line in path.read_text().splitlines()]
    bodies = [{"choices": ["text"]}, "text", None]
    rows = [
        {"custom_id": key, "response": body and {"status_code": 200, "body": body}}
        for key, body in zip(keys, bodies, strict=True)
    ]
    (tmp_path / "output.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert read_results(out, [tmp_path / "output.jsonl"])["failed"] == 3
    assert open_ledger(out).totals().num_unknown == 2  # answered, so they may have been billed
    [again] = write_wave([str(videos)], recipe, out)
    assert bodies_of(again) == bodies_of(path)
    with pytest.raises(InputError, match="3 of its calls were not read back"):
        write_wave([str(videos)], recipe, out)  # or the same calls would be paid for in two waves
    assert read_results(out, [tmp_path / "output.jsonl"])["known"] == 3  # of the wave before
    assert read_results(out, answer_files([again]))["settled"] == 3
    assert write_wave([str(videos)], recipe, out)


def test_a_wave_that_the_version_before_wrote_is_read_back(videos, tmp_path):
    """Its notes say ``video_id`` where ours say ``item_id``, and calls are named by their keys."""
    out = tmp_path / "out"
    with FakeEndpoint() as fake:
        recipe = recipe_for(fake)
    [path] = write_wave([str(videos)], recipe, out)
    notes = path.with_suffix(".calls")
    assert notes.read_text().count('"item_id"') == 3
    old = notes.read_text().replace('"item_id"', '"video_id"')
    notes.write_text(re.sub(r', "(num_attempts|custom_id)": ("[^"]*"|\d+)', "", old))
    assert "custom_id" not in notes.read_text()
    path.write_text(re.sub(r'("custom_id": "\w+)-0"', r'\1"', path.read_text()))
    found = read_results(out, answer_files([path]))
    assert found["settled"] + found["failed"] == 3
    assert open_ledger(out).query("SELECT DISTINCT item_id FROM attempts ORDER BY 1") == [
        ("v0",),
        ("v1",),
        ("v2",),
    ]
