"""Subtitles: which lines of a file are listed, and what is said where there are none."""

from pathlib import Path

import pytest

from llava_video.errors import InputError
from llava_video.evaluate.annotations.question import Question
from llava_video.evaluate.annotations.videos import VideoFolder
from llava_video.evaluate.subtitles import NONE, subtitles_of
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


@pytest.mark.parametrize("below", ["subtitle", "../subtitle"])
def test_lines_within_the_video_are_listed(tmp_path: Path, below: str) -> None:
    videos = tmp_path / "data"
    videos.mkdir()
    write_questions(videos, num_videos=1)
    place = (videos / below).resolve()
    place.mkdir()
    (place / "v0.srt").write_text(SRT)
    question = Question("q", "v0", "what", subtitles="subtitle/v0.srt")
    shown = subtitles_of(VideoFolder(videos), question, videos / "v0.mp4")
    assert shown == "Hello\ntwo lines"


def test_none_is_said(tmp_path: Path) -> None:
    question = Question("q", "v0", "what", subtitles="subtitle/v0.srt")
    assert subtitles_of(VideoFolder(tmp_path), question, tmp_path / "v0.mp4") == NONE


def test_a_file_that_is_not_text_is_one_line(tmp_path: Path) -> None:
    write_questions(tmp_path, num_videos=1)
    (tmp_path / "v0.srt").write_bytes(b"\xff\xfe\xff")
    question = Question("q", "v0", "what", subtitles="v0.srt")
    with pytest.raises(InputError, match="cannot be read as subtitles"):
        subtitles_of(VideoFolder(tmp_path), question, tmp_path / "v0.mp4")
