"""Sessions as one HTML page: questions, answers, the frames that were seen and their tokens."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from llava_video.chat.protocol import Sampling, ShownVideo
from llava_video.chat.transcript import ShownFile, Transcript, Turn, describe_usage
from llava_video.errors import InputError
from llava_video.pages.blocks import Block, Figure, Figures, Page, Quote, Section, Text, Tiles
from llava_video.pages.html import to_html
from llava_video.pages.pictures import jpeg, jpeg_url
from llava_video.processing.media import local_file, name_of, read_picture
from llava_video.records.files import write_whole
from llava_video.representation import VideoRepresentation, make_layout, tape
from llava_video.types import Frames
from llava_video.video import probe_video, read_video

THUMBNAIL_HEIGHT = 144
"""Pixels."""

_TOLERANCE_SECONDS = 1e-3

ReadSeen = Callable[[ShownVideo, Sampling], Frames]
"""Reads the frames that a model saw of a video, `THUMBNAIL_HEIGHT` pixels high."""


def export_page(session: Transcript, file: Path) -> None:
    """Write the page; see `Session.export`."""
    write_whole(file, to_html(make_page(session)))


def make_page(session: Transcript, read: ReadSeen | None = None) -> Page:
    """The page of a session.

    Args:
        session: what was said and shown.
        read: reads the frames of a video that a model saw; by default `read_seen`.

    Raises:
        VideoError: a video cannot be read again.
        InputError: a video has changed, so that what was seen cannot be shown.
    """
    for shown in session.files:
        shown.check_unchanged()
    names = ", ".join(_short(shown.name) for shown in session.files)
    views: dict[ShownVideo, Sampling] = {}
    for turn in session.turns:
        views |= dict.fromkeys(turn.answer.videos, turn.options.sampling)
    images = [shown for shown in session.files if shown.kind == "image"]
    lead: list[Block] = [
        Tiles([(session.model, "model"), (f"{len(session.turns)}", "answers")]),
    ]
    if session.system is not None:
        lead.append(Text(f"System prompt: {session.system}"))
    return Page(
        f"Questions about {names}" if names else "Questions",
        lead,
        [
            *(_section_of_turn(number, turn) for number, turn in enumerate(session.turns, 1)),
            *(
                _section_of_video(video, (read or read_seen)(video, sampling))
                for video, sampling in views.items()
                if video.timestamps_seconds  # else a server chose the frames
            ),
            *([_section_of_images(images)] if images else []),
        ],
    )


def read_seen(video: ShownVideo, sampling: Sampling) -> Frames:
    """Read the frames that a model saw again, as thumbnails of upright pixels.

    Args:
        video: as it was seen.
        sampling: how its frames were chosen.

    Raises:
        VideoError: the file cannot be read.
        InputError: its frames are at other times now.
    """
    most = len(video.timestamps_seconds)
    with local_file(video.source) as file:
        info = probe_video(file)
        width = max(1, round(info.width * THUMBNAIL_HEIGHT / info.height))
        frames = read_video(
            file,
            num_frames=most if sampling.fps is None else None,
            fps=sampling.fps,
            max_frames=None if sampling.fps is None else most,
            size=(THUMBNAIL_HEIGHT, width),
            start_seconds=sampling.start_seconds,
            end_seconds=sampling.end_seconds,
        )
    check_seen(video, frames)
    return replace(frames, source=name_of(video.source))


def check_seen(video: ShownVideo, frames: Frames) -> None:
    """Check that frames are those that a model saw.

    Raises:
        InputError: they are at other times.
    """
    times = [frames.duration_seconds, *frames.timestamps_seconds]
    known = [video.duration_seconds, *video.timestamps_seconds]
    if len(times) != len(known) or not np.allclose(times, known, atol=_TOLERANCE_SECONDS):
        raise InputError(
            f"{name_of(video.source)}: has changed since it was asked about; put the old file back"
        )


def layout_text(video: ShownVideo) -> str:
    """How its frames became tokens, in one line."""
    seconds = video.timestamps_seconds
    shown = f"{len(seconds)} frames of {video.duration_seconds:.2f} s"
    if not video.representation:
        return f"{shown}; the server makes tokens of them"
    return f"{shown}, {video.num_tokens:,} video tokens, V = {video.representation}"


def _section_of_turn(number: int, turn: Turn) -> Section:
    answer = turn.answer
    blocks: list[Block] = [Quote(answer.text)]
    if answer.finish_reason == "cancelled":
        blocks.append(Text("This answer was stopped here."))
    else:
        blocks.append(Text(describe_usage(answer.usage)))
    blocks += [Text(f"Warning: {warning}") for warning in answer.warnings]
    return Section(f"{number}. {turn.question}", blocks)


def _section_of_video(video: ShownVideo, frames: Frames) -> Section:
    pictures = [
        Figure(_data_url(frames.pixels[index]), f"{seconds:.2f} s")
        for index, seconds in enumerate(video.timestamps_seconds)
    ]
    blocks: list[Block] = [Text(layout_text(video)), Figures(pictures)]
    if video.representation:
        representation = VideoRepresentation.from_text(video.representation)
        svg = tape.to_svg(make_layout(representation, len(frames)), frames)
        source = f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}"
        caption = "token tape: every frame as wide as its tokens"
        blocks.append(Figures([Figure(source, caption)], are_wide=True))
    blocks += [Text(f"Warning: {warning}") for warning in video.warnings]
    return Section(f"What the model saw of {_short(video.source)}", blocks)


def _section_of_images(images: list[ShownFile]) -> Section:
    figures = [Figure(_data_url(read_picture(one.name)), _short(one.name)) for one in images]
    return Section("Images", [Figures(figures)])


def _short(name: str) -> str:
    return Path(name_of(name)).name


def _data_url(pixels: NDArray[np.uint8]) -> str:
    """A JPEG of thumbnail height, as an address that holds it."""
    return jpeg_url(jpeg(pixels, most=(8 * THUMBNAIL_HEIGHT, THUMBNAIL_HEIGHT)))
