"""How much each frame mattered for an answer, as lines of a terminal and on the token tape."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from llava_video.chat.protocol import Influence, ShownVideo, SpanInfluence
from llava_video.representation import TokenLayout, VideoRepresentation, make_layout, tape

MOST_SPANS = 32
"""Of a video; longer ones have spans of several frames."""

_BAR_WIDTH = 40


def span_frames_for(videos: Sequence[ShownVideo]) -> int:
    """Frames of a span, so that no video has more than `MOST_SPANS` of them."""
    most = max((len(video.timestamps_seconds) for video in videos), default=1)
    return math.ceil(most / MOST_SPANS)


def layout_of(video: ShownVideo) -> TokenLayout:
    """The layout of a video as it was seen."""
    representation = VideoRepresentation.from_text(video.representation)
    return make_layout(representation, len(video.timestamps_seconds))


def frame_values(influence: Influence, number: int, num_frames: int) -> list[float]:
    """The influence of the span that each frame of a video is in.

    Args:
        influence: of all videos.
        number: of the video.
        num_frames: of the video.
    """
    values = [0.0] * num_frames
    for span in _spans(influence, number):
        stop = span.first_frame + span.num_frames
        values[span.first_frame : stop] = [span.influence] * span.num_frames
    return values


def describe_influence(
    influence: Influence, videos: Sequence[ShownVideo], width: int = 80
) -> Iterator[str]:
    """Lines of a terminal: for each video its tape, and every span with its influence as a bar.

    Args:
        influence: of an answer.
        videos: as they were seen for it.
        width: of the tape.
    """
    largest = max((span.influence for span in influence.spans), default=0.0)
    yield "why     by how many nats the answer is likelier with each frame than without it"
    for number, video in enumerate(videos):
        if len(videos) > 1:
            yield video.source
        layout = layout_of(video)
        values = frame_values(influence, number, layout.num_frames)
        yield tape.values_to_text(layout, values, width)
        yield tape.to_text(layout, width).partition("\n")[0]
        slow = {block.frame for block in layout.blocks() if block.slow}
        for span in _spans(influence, number):
            when = f"{span.start_seconds:.2f}"
            if span.num_frames > 1:
                when += f" to {span.end_seconds:.2f}"
            kind = "" if span.num_frames > 1 else ("slow" if span.first_frame in slow else "fast")
            share = max(span.influence, 0.0) / largest if largest > 0 else 0.0
            bar = "#" * math.ceil(_BAR_WIDTH * share)
            yield f"{when:>8} s  {kind:4}  {span.influence:+7.2f}  {bar}".rstrip()


def _spans(influence: Influence, number: int) -> list[SpanInfluence]:
    return [span for span in influence.spans if span.video == number]
