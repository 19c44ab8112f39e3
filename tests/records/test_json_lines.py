"""What a kill cuts off stays a line of its own, and all others are read."""

import multiprocessing
from pathlib import Path

import pytest

from llava_video.records.json_lines import append_line, read_lines

FIRST, SECOND = {"sample": "é", "reason": "one\ntwo"}, {"sample": "b", "reason": "cut"}


def test_lines_are_read_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    assert read_lines(path) == []
    append_line(path, FIRST)
    append_line(path, SECOND)
    assert read_lines(path) == [FIRST, SECOND]
    assert path.read_bytes().count(b"\n") == 2


@pytest.mark.parametrize("num_bytes", [1, 14, -2, -1])  # 14: within a letter of two bytes
def test_half_a_line_is_not_joined_with_the_next(tmp_path: Path, num_bytes: int) -> None:
    path = tmp_path / "lines.jsonl"
    append_line(path, FIRST)
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:num_bytes])
    before = read_lines(path)
    assert before in ([FIRST], [FIRST, FIRST])
    append_line(path, SECOND)
    assert read_lines(path) == [*before, SECOND]


def _append_many(path: Path, name: str) -> None:
    for number in range(300):
        append_line(path, {"sample": name * 200, "reason": str(number)})


def test_many_processes_may_write(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_append_many, args=(path, name)) for name in "abc"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    lines = read_lines(path)
    assert len(lines) == 3 * 300
    assert {line["sample"] for line in lines} == {name * 200 for name in "abc"}
