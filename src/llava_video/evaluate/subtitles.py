"""Subtitles of a video, those that frames fall into, as Video-MME's prompts list them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from llava_video.errors import InputError
from llava_video.evaluate.annotations.question import Question
from llava_video.evaluate.annotations.videos import VideoFolder

NUM_TIMES = 768
"""Spread over the video; a subtitle that none of them falls into is left out, as in lmms-eval."""

NONE = "No subtitles available"
_SPAN = re.compile(r"(\d+):(\d+):(\d+)[,.](\d+)\s*-->\s*(\d+):(\d+):(\d+)[,.](\d+)")


@dataclass(frozen=True, slots=True)
class Subtitle:
    """A line of text and when it is shown."""

    start_seconds: float
    end_seconds: float
    text: str


def parse_srt(text: str) -> list[Subtitle]:
    """The subtitles of a SubRip file, without tags."""
    found = []
    for block in re.split(r"\n\s*\n", text.replace("\r\n", "\n")):
        lines = [line.strip() for line in block.strip().split("\n")]
        place = next((n for n, line in enumerate(lines) if _SPAN.match(line)), None)
        if place is None:
            continue
        match = _SPAN.match(lines[place])
        assert match is not None
        h1, m1, s1, f1, h2, m2, s2, f2 = map(int, match.groups())
        said = re.sub(r"<[^>]*>", "", " ".join(lines[place + 1 :])).strip()
        if said:
            start, end = h1 * 3600 + m1 * 60 + s1 + f1 / 1000, h2 * 3600 + m2 * 60 + s2 + f2 / 1000
            found.append(Subtitle(start, end, said))
    return found


def read_subtitles(folder: VideoFolder | None, question: Question, video: Path | None) -> str:
    """The subtitles of a question's video, one a line, or a sentence that says there are none.

    Raises:
        InputError: the file is not text.
    """
    if folder is None or video is None:
        return NONE
    places = (folder.root, folder.root.parent)
    path = next((p for place in places if (p := place / question.subtitles).is_file()), None)
    if path is None:
        return NONE
    from llava_video.video import probe_video

    try:
        subtitles = parse_srt(path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8; convert it or remove it") from error
    times = np.linspace(0, probe_video(video).duration_seconds, NUM_TIMES, endpoint=False)
    shown = [
        subtitle.text
        for subtitle in subtitles
        if ((subtitle.start_seconds <= times) & (times < subtitle.end_seconds)).any()
    ]
    return "\n".join(shown) or NONE
