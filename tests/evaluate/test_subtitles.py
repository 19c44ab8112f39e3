"""Subtitles: which lines of a file are listed, and what is said where there are none."""

from pathlib import Path

import pytest

from llava_video.errors import InputError
from llava_video.evaluate.annotations.question import Question
from llava_video.evaluate.annotations.videos import VideoFolder
from llava_video.evaluate.subtitles import NONE, parse_srt, read_subtitles
from tests.evaluate.runs import write_questions

SRT = """1
00:00:00,500 --> 00:00:01,250
<font color="white" size=".72c">Hello</font>

2
00:00:02,000 --> 00:00:03,000
two
lines

3
00:59:00,000 --> 00:59:01,000
after the end
"""


def test_times_and_texts() -> None:
    found = parse_srt(SRT.replace("\n", "\r\n"))
    assert [(s.start_seconds, s.end_seconds, s.text) for s in found] == [
        (0.5, 1.25, "Hello"), (2.0, 3.0, "two lines"), (3540.0, 3541.0, "after the end"),
    ]  # fmt: skip


@pytest.mark.parametrize("below", ["subtitle", "../subtitle"])
def test_lines_within_the_video_are_listed(tmp_path: Path, below: str) -> None:
    videos = tmp_path / "data"
    videos.mkdir()
    write_questions(videos, num_videos=1)
    place = (videos / below).resolve()
    place.mkdir()
    (place / "v0.srt").write_text(SRT)
    question = Question("q", "v0", "what", subtitles="subtitle/v0.srt")
    shown = read_subtitles(VideoFolder(videos), question, videos / "v0.mp4")
    assert shown == "Hello\ntwo lines"


def test_none_is_said(tmp_path: Path) -> None:
    question = Question("q", "v0", "what", subtitles="subtitle/v0.srt")
    assert read_subtitles(VideoFolder(tmp_path), question, tmp_path / "v0.mp4") == NONE


def test_a_file_that_is_not_text_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "v0.srt").write_bytes(b"\xff\xfe\xff")
    question = Question("q", "v0", "what", subtitles="v0.srt")
    with pytest.raises(InputError, match="not UTF-8"):
        read_subtitles(VideoFolder(tmp_path), question, tmp_path / "v0.mp4")
