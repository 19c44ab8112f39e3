"""Subtitles of a video, those that frames fall into, as Video-MME's prompts list them."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

from llava_video.chat.subtitles import read_subtitles
from llava_video.evaluate.annotations.question import Question
from llava_video.evaluate.annotations.videos import VideoFolder
from llava_video.video import probe_video

NUM_TIMES = 768
"""Spread over the video; a subtitle that none of them falls into is left out, as in lmms-eval."""

NONE = "No subtitles available"


def subtitles_of(folder: VideoFolder | None, question: Question, video: Path | None) -> str:
    """The subtitles of a question's video, one a line, or a sentence that says there are none.

    Raises:
        InputError: the file cannot be read.
        VideoError: the video cannot be read.
    """
    if folder is None or video is None:
        return NONE
    places = (folder.root, folder.root.parent)
    path = next((p for place in places if (p := place / question.subtitles).is_file()), None)
    if path is None:
        return NONE
    times = np.linspace(0, _seconds_of(video), NUM_TIMES, endpoint=False)
    shown = [
        " ".join(subtitle.text.split())
        for subtitle in read_subtitles(path)
        if ((subtitle.start_seconds <= times) & (times < subtitle.end_seconds)).any()
    ]
    return "\n".join(shown) or NONE


@lru_cache(maxsize=1)  # questions about a video come in a row
def _seconds_of(video: Path) -> float:
    return probe_video(video).duration_seconds
