"""Rows of every file format, and one line for every kind of bad file."""

import csv
import json
from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

from llava_video.errors import InputError
from llava_video.evaluate.annotations.rows import read_rows
from llava_video.evaluate.tasks import find_benchmark

ROW = {
    "video": "41", "frame_count": 9, "width": 4, "height": 3, "question": "why did he run ",
    "answer": 2, "qid": 7, "type": "CW", "a0": "fear", "a1": "joy", "a2": "rain", "a3": "dog",
    "a4": "late",
}  # fmt: skip


def write(folder: Path, name: str, rows: list[dict]) -> Path:
    path = folder / name
    if path.suffix == ".csv":
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
    elif path.suffix == ".parquet":
        parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    elif path.suffix == ".jsonl":
        path.write_text("\n".join(map(json.dumps, rows)))
    else:
        path.write_text(json.dumps(rows))
    return path


@pytest.mark.parametrize("name", ["rows.csv", "rows.json", "rows.jsonl", "rows.parquet"])
def test_a_question_is_the_same_from_every_format(tmp_path: Path, name: str) -> None:
    [question] = find_benchmark("nextqa").load(write(tmp_path, name, [ROW])).questions
    assert (question.id, question.video, question.type) == ("41_7", "41", "CW")
    assert question.options == ("fear", "joy", "rain", "dog", "late")
    assert question.answer == "C"
    assert question.text == "why did he run"


def test_a_folder_is_read_file_by_file_in_the_order_of_names(tmp_path: Path) -> None:
    write(tmp_path, "b.json", [{"n": 2}])
    write(tmp_path, "a.jsonl", [{"n": 0}, {"n": 1}])
    assert [row.values["n"] for row in read_rows(tmp_path)] == [0, 1, 2]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"answer": None}, "'answer' is missing or empty"),
        ({"answer": "x"}, "not a whole number"),
        ({"answer": 5}, "there are 5 options"),
        ({"a3": ""}, "'a3' is missing or empty"),
    ],
)
def test_a_broken_row_is_one_line_that_names_it(tmp_path: Path, change: dict, message: str) -> None:
    path = write(tmp_path, "rows.json", [ROW, ROW | {"qid": 8} | change])
    found = find_benchmark("nextqa").load(path)
    assert len(found.questions) == 1
    [problem] = found.problems
    assert message in problem
    assert "rows.json, row 2" in problem
    assert "\n" not in problem


def test_an_id_twice_is_a_problem(tmp_path: Path) -> None:
    [problem] = find_benchmark("nextqa").load(write(tmp_path, "r.json", [ROW, ROW])).problems
    assert "the id '41_7' is there twice" in problem


def test_annotations_of_another_benchmark_name_the_columns(tmp_path: Path) -> None:
    path = write(tmp_path, "rows.json", [ROW])
    with pytest.raises(InputError, match=r"not a row of MVBench: it has the columns video, frame"):
        find_benchmark("mvbench").load(path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", b"[{", "not valid JSON"),
        ("a.jsonl", b'{"a": 1}\n{"b', "line 2: not valid JSON"),
        ("a.csv", b"\xff\xfe\x00\xd8", "cannot be read as text"),
        ("a.parquet", b"PAR1 nothing", "cannot be read as Parquet"),
        ("a.json", b"[]", "no rows of NExT-QA"),
        ("a.json", b"[1, 2]", "not an object with named columns"),
        ("a.xlsx", b"", "not one of"),
    ],
)
def test_an_unreadable_file_is_one_line(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as found:
        find_benchmark("nextqa").load(tmp_path / name)
    assert "\n" not in str(found.value)


def test_a_missing_file_and_an_empty_folder_say_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="give --annotations FILE"):
        find_benchmark("nextqa").load(tmp_path / "nothing.csv")
    with pytest.raises(InputError, match="give --annotations FILE"):
        find_benchmark("nextqa").load(tmp_path)


def test_an_unknown_task_names_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean 'nextqa'"):
        find_benchmark("next-qa")
