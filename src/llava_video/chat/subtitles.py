"""Subtitles of a video as text before the question, as benchmarks with subtitles show them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import av

from llava_video.errors import InputError

INTRODUCTION = "This video's subtitles are listed below:"
"""Of Video-MME with subtitles; they follow one a line, and then the question."""

_OPTIONS = {"protocol_whitelist": "file", "format_whitelist": "srt,webvtt"}
_STYLE = re.compile(r"\{[^}]*\}")  # FFmpeg makes every style one of ASS


@dataclass(frozen=True, slots=True)
class Subtitle:
    """A text, and when it is on screen: from its start up to but not at its end."""

    start_seconds: float
    end_seconds: float
    text: str


def read_subtitles(file: Path) -> list[Subtitle]:
    """The subtitles of a SubRip or WebVTT file in time order, without their styles.

    Raises:
        InputError: the file is missing, holds no subtitles, or is not UTF-8.
    """
    if not file.is_file():
        raise InputError(f"{file}: no such file; check the path of the subtitles")
    found = []
    try:
        with av.open(f"file:{file.absolute()}", options=_OPTIONS) as container:
            stream = container.streams.subtitles[0]
            for packet in container.demux(stream):
                if packet.pts is None or packet.time_base is None:
                    continue  # the end of the file
                start, duration = packet.pts * packet.time_base, packet.duration or 0
                text = "\n".join(map(_plain_text, packet.decode())).strip()
                if text:
                    end = float(start + duration * packet.time_base)
                    found.append(Subtitle(float(start), end, text))
    except (av.FFmpegError, IndexError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(
            f"{file}: cannot be read as subtitles ({reason}); give SubRip (.srt) or WebVTT in UTF-8"
        ) from error
    if not found:
        raise InputError(f"{file}: holds no subtitle; give SubRip (.srt) or WebVTT in UTF-8")
    return sorted(found, key=lambda subtitle: subtitle.start_seconds)


def describe_subtitles(
    subtitles: list[Subtitle], start_seconds: float = 0.0, end_seconds: float | None = None
) -> str:
    """The text before a question: the subtitles that are on screen in a span of the video.

    Args:
        subtitles: of the whole video, with its times.
        start_seconds: begin of the span.
        end_seconds: end of the span; None for the end of the video.

    Returns:
        `INTRODUCTION` and a line for each subtitle; "No subtitles available" where there is none,
        as Video-MME says it.
    """
    shown = [
        " ".join(subtitle.text.split())
        for subtitle in subtitles
        if subtitle.end_seconds > start_seconds
        and (end_seconds is None or subtitle.start_seconds < end_seconds)
    ]
    return "\n".join([INTRODUCTION, *(shown or ["No subtitles available"]), ""])


def _plain_text(subtitle: av.subtitles.subtitle.Subtitle) -> str:
    dialogue: bytes = getattr(subtitle, "dialogue", b"")
    return _STYLE.sub("", dialogue.decode())
