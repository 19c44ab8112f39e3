"""The words of ``ask``: which are videos, which is the question, and what is asked about each."""

import io
import shutil
import sys
from pathlib import Path

import pytest

from llava_video.chat.questions_file import Question
from llava_video.cli.answering.request import (
    Job,
    Together,
    read_request,
    standard_input_as_file,
)
from llava_video.errors import InputError, VideoError
from tests.video.media import write_video

ONE = Question("1", "What?")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("request")
    for number, name in enumerate(("a.mp4", "b.mp4")):
        write_video(folder / name, num_frames=3 + number)
    return folder


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    file = tmp_path / "questions.txt"
    file.write_text("What?\n")
    return file


def test_files_and_a_question_are_one_conversation(folder: Path) -> None:
    files = (str(folder / "a.mp4"), str(folder / "b.mp4"))
    assert read_request([*files, "What?"], None, has_out=False) == Together(files, "What?")


def test_folders_patterns_and_an_output_file_ask_about_each_video(folder: Path) -> None:
    files = (str(folder / "a.mp4"), str(folder / "b.mp4"))
    jobs = [Job((file,), (ONE,)) for file in files]
    assert read_request([str(folder), "What?"], None, has_out=False) == jobs
    assert read_request([str(folder / "?.mp4"), "What?"], None, has_out=False) == jobs
    assert read_request([*files, "What?"], None, has_out=True) == jobs


def test_a_file_of_questions_is_asked_about_each_video(folder: Path, questions: Path) -> None:
    files = [str(folder / "a.mp4"), str(folder / "b.mp4")]
    assert read_request(files, questions, has_out=False) == [Job((f,), (ONE,)) for f in files]


def test_a_question_may_name_its_video(folder: Path) -> None:
    file = folder / "named.jsonl"
    file.write_text('{"question": "All?"}\n{"question": "Only b?", "video": "b.mp4"}\n')
    about_all, about_b = Question("1", "All?"), Question("2", "Only b?", folder / "b.mp4")
    a, b = str(folder / "a.mp4"), str(folder / "b.mp4")
    assert read_request([a], file, has_out=False) == [
        Job((a,), (about_all,)),
        Job((b,), (about_b,)),
    ]
    assert read_request([a, b], file, has_out=False) == [
        Job((a,), (about_all,)),
        Job((b,), (about_all, about_b)),
    ]
    with pytest.raises(InputError, match="which video is 'All\\?' about"):
        read_request([], file, has_out=False)


def test_the_same_file_under_two_names_is_asked_about_once(folder: Path, tmp_path: Path) -> None:
    for name in ("a.mp4", "b.mp4"):
        shutil.copy(folder / name, tmp_path / name)
    shutil.copy(folder / "a.mp4", tmp_path / "c.mp4")
    names = [str(tmp_path / name) for name in ("a.mp4", "b.mp4", "c.mp4")]
    assert read_request([str(tmp_path), "What?"], None, has_out=False) == [
        Job((names[0], names[2]), (ONE,)),
        Job((names[1],), (ONE,)),
    ]
    with pytest.raises(InputError, match=r"c\.mp4: the same file as .*a\.mp4"):
        read_request([names[0], names[2], "What?"], None, has_out=False)


@pytest.mark.parametrize(
    ("words", "has_questions", "message"),
    [
        ([], False, "ask needs a video and a question"),
        (["{}/a.mp4"], False, "ask needs a video and a question"),
        (["{}/a.mp4", "{}/b.mp4"], False, "is a file, and the last word is the question"),
        (["{}/a.mp4", " "], False, "the question is empty"),
        (["{}/a.mp4", "What?"], True, "What?: no file, and no pattern that matches one"),
        (["{}/none/*.mp4", "What?"], False, "no video matches"),
        ([], True, "which video is 'What?' about"),
    ],
)
def test_words_that_lack_something_are_one_line(
    folder: Path, questions: Path, words: list[str], has_questions: bool, message: str
) -> None:
    words = [word.format(folder) for word in words]
    with pytest.raises(InputError) as error:
        read_request(words, questions if has_questions else None, has_out=False)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


class Piped(io.TextIOWrapper):
    """Standard input that is not a terminal."""


def test_standard_input_is_a_file_while_it_is_asked_about(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = (folder / "a.mp4").read_bytes()
    monkeypatch.setattr(sys, "stdin", Piped(io.BytesIO(content)))
    with standard_input_as_file(["-", "What?"]) as (file, question):
        assert (Path(file).read_bytes(), question) == (content, "What?")
    assert not Path(file).exists()
    with standard_input_as_file(["a.mp4"]) as words:
        assert words == ["a.mp4"]


def test_errors_call_it_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", Piped(io.BytesIO(b"")))
    with (
        pytest.raises(VideoError, match=r"^standard input: is empty"),
        standard_input_as_file(["-"]) as (file,),
    ):
        raise VideoError(f"{file}: is empty; fetch or record it again")
