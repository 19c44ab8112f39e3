"""The page of a session: one file that shows questions, answers, frames and tokens."""

import base64
import io
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import llava_video as lv
from llava_video.chat.protocol import AnswerOptions, Sampling
from llava_video.chat.session_page import read_seen
from llava_video.errors import InputError

SAMPLES = Path(lv.__file__).parent / "assets" / "samples"
QUESTION = "In which direction does the ring move? <b>&</b>"


@pytest.fixture
def session(tmp_path: Path) -> lv.Session:
    video = shutil.copy(SAMPLES / "three_shapes.mp4", tmp_path / "clip.mp4")
    options = AnswerOptions(sampling=Sampling(num_frames=4, start_seconds=2.0, end_seconds=5.0))
    session = lv.chat(video, system="Be brief.", options=options)
    session.ask(QUESTION)
    picture = tmp_path / "picture.png"
    Image.new("RGB", (300, 200), "green").save(picture)
    session.show(picture)
    session.ask("How many shapes are there?", AnswerOptions(sampling=Sampling(fps=1.0)))
    return session


def test_the_page_needs_no_other_file_and_escapes_what_was_said(
    session: lv.Session, tmp_path: Path
) -> None:
    session.export(tmp_path / "talk.html")
    page = (tmp_path / "talk.html").read_text(encoding="utf-8")
    assert not re.search(r'(?:src|href)="(?!data:)', page)
    assert "<b>&</b>" not in page
    assert "Be brief." in page
    for turn in session.turns:
        assert turn.answer.text in page
    assert "4 frames of 6.70 s" in page  # of the first answer
    assert "7 frames of 6.70 s" in page  # and of the second


def test_thumbnails_are_the_frames_that_were_seen(session: lv.Session, tmp_path: Path) -> None:
    session.export(tmp_path / "talk.html")
    page = (tmp_path / "talk.html").read_text(encoding="utf-8")
    urls = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', page)
    assert len(urls) == 4 + 7 + 1
    expected = lv.read_video(
        tmp_path / "clip.mp4", num_frames=4, start_seconds=2.0, end_seconds=5.0, size=144
    )
    for url, pixels in zip(urls[:4], expected.pixels, strict=True):
        picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(url)))).astype(int)
        assert np.abs(picture - pixels).mean() < 4


def test_thumbnails_of_a_video_with_a_long_path(tmp_path: Path) -> None:
    file = tmp_path / ("a folder with a long name " * 6) / "clip.mp4"
    file.parent.mkdir()
    shutil.copy(SAMPLES / "three_shapes.mp4", file)
    talk = lv.chat(file)
    talk.ask("What moves?")
    [seen] = talk.videos
    assert seen.source == str(file)
    assert len(read_seen(seen, talk.options.sampling)) == len(seen.timestamps_seconds)
    talk.save(tmp_path / "talk.json")
    assert lv.Session.load(tmp_path / "talk.json", talk.model).videos == (seen,)


def test_a_video_with_other_frames_is_not_shown_as_if_it_had_been_seen(
    session: lv.Session, tmp_path: Path
) -> None:
    shutil.copy(SAMPLES / "two_movers.mp4", tmp_path / "clip.mp4")
    with pytest.raises(InputError, match=r"clip\.mp4: has changed since it was asked about"):
        session.export(tmp_path / "talk.html")
    assert not (tmp_path / "talk.html").exists()
    with pytest.raises(InputError, match="has changed"):
        read_seen(session.turns[0].answer.videos[0], session.turns[0].options.sampling)
