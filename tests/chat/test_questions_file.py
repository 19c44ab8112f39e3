"""Files of questions, and the line that is wrong with them."""

from pathlib import Path

import pytest

from llava_video.chat.questions_file import Question, read_questions
from llava_video.errors import InputError


def write(folder: Path, text: str) -> Path:
    file = folder / "questions.txt"
    file.write_text(text, encoding="utf-8")
    return file


def test_one_a_line(tmp_path: Path) -> None:
    assert read_questions(write(tmp_path, "What happens?\n  Wer öffnet die Tür?\n")) == [
        Question("1", "What happens?"),
        Question("2", "Wer öffnet die Tür?"),
    ]


def test_json_lines_may_name_ids_and_videos_beside_the_file(tmp_path: Path) -> None:
    text = '{"question": "A?", "id": "a"}\n{"question": "B?", "video": "clips/b.mp4"}\n'
    assert read_questions(write(tmp_path, text)) == [
        Question("a", "A?"),
        Question("2", "B?", tmp_path / "clips" / "b.mp4"),
    ]


def test_a_byte_order_mark_is_not_part_of_the_first_question(tmp_path: Path) -> None:
    file = tmp_path / "questions.txt"
    file.write_text('{"question": "A?"}\n', encoding="utf-8-sig")
    assert read_questions(file) == [Question("1", "A?")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no question"),
        ("A?\n\nB?\n", "line 2 is empty"),
        ("A?\nB?\n\n", "line 3 is empty"),
        ('{"question": "A?"}\n{"question": "B?"\n', "line 2 is not JSON"),
        ('{"question": "A?"}\nB?\n', "line 2 is not JSON"),
        ('{"id": 3}\n', "line 1 has no question"),
        ('{"question": 3}\n', "line 1 has no question"),
        ('{"question": " "}\n', "line 1: the question is empty"),
        ('{"question": "A?", "clip": "a.mp4"}\n', "unknown key 'clip'; known are id, question"),
        ('{"question": "A?", "video": 3}\n', "video 3 is not a path"),
        ('{"question": "A?", "id": 1}\n{"question": "B?", "id": "1"}\n', "id '1' belongs to two"),
    ],
)
def test_what_is_wrong_is_one_line_that_names_the_place(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(InputError) as error:
        read_questions(write(tmp_path, text))
    assert str(error.value).startswith(str(tmp_path / "questions.txt"))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_files_that_are_missing_or_no_text_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.txt: cannot be read"):
        read_questions(tmp_path / "gone.txt")
    (tmp_path / "noise.txt").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(InputError, match=r"noise\.txt: is not UTF-8"):
        read_questions(tmp_path / "noise.txt")
