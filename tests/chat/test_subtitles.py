"""Subtitles become the text that benchmarks with subtitles put before a question."""

from pathlib import Path

import pytest

from llava_video.chat.subtitles import Subtitle, describe_subtitles, read_subtitles
from llava_video.errors import InputError

SUBRIP = """1
00:00:01,000 --> 00:00:02,500
<font color="white" size=".72c">Hello <i>there</i></font>
second line

2
01:00:03,000 --> 01:00:04,250
{\\an8}Grüße, 世界
"""


def test_subrip_keeps_times_and_words_and_drops_styles(tmp_path: Path) -> None:
    file = tmp_path / "a.srt"
    file.write_text(SUBRIP, encoding="utf-8-sig")
    assert read_subtitles(file) == [
        Subtitle(1.0, 2.5, "Hello there\nsecond line"),
        Subtitle(3603.0, 3604.25, "Grüße, 世界"),
    ]


def test_windows_line_ends_are_line_ends(tmp_path: Path) -> None:
    file, other = tmp_path / "a.srt", tmp_path / "b.srt"
    file.write_bytes(SUBRIP.encode())
    other.write_bytes(SUBRIP.replace("\n", "\r\n").encode())
    assert read_subtitles(file) == read_subtitles(other)


def test_webvtt_is_read_too(tmp_path: Path) -> None:
    file = tmp_path / "a.vtt"
    file.write_text("WEBVTT\n\n00:01.000 --> 00:02.000 align:start\nhi &amp; <v Bob>you</v>\n")
    assert read_subtitles(file) == [Subtitle(1.0, 2.0, "hi & you")]


def test_the_text_is_that_of_video_mme() -> None:
    said = [Subtitle(0.0, 1.0, "One"), Subtitle(1.0, 2.0, "Two\nlines")]
    assert describe_subtitles(said) == (
        "This video's subtitles are listed below:\nOne\nTwo lines\n"
    )
    assert describe_subtitles([]) == (
        "This video's subtitles are listed below:\nNo subtitles available\n"
    )


@pytest.mark.parametrize(
    ("span", "shown"),
    [((0, None), "abc"), ((1.5, None), "bc"), ((1, 2), "b"), ((0, 1), "a"), ((2.5, 2.6), "c")],
)
def test_only_those_on_screen_in_the_span_are_shown(
    span: tuple[float, float | None], shown: str
) -> None:
    said = [Subtitle(0, 1, "a"), Subtitle(1, 2, "b"), Subtitle(2, 3, "c")]
    _, *lines = describe_subtitles(said, *span).splitlines()
    assert "".join(lines) == shown


@pytest.mark.parametrize(
    "content",
    [b"", b"This is a letter.\n", SUBRIP.encode("latin-1", "replace"), SUBRIP.encode()[:10]],
)
def test_what_holds_no_subtitles_is_one_line(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "bad.srt"
    file.write_bytes(content)
    with pytest.raises(InputError, match=r"bad\.srt: .*SubRip") as error:
        read_subtitles(file)
    assert "\n" not in str(error.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.srt: no such file"):
        read_subtitles(tmp_path / "gone.srt")
