"""Frames of a video as small pictures for a page."""

from __future__ import annotations

from llava_video.errors import LlavaVideoError
from llava_video.evaluate.scoring.outcomes import Outcome
from llava_video.pages.blocks import Figure, Figures
from llava_video.pages.pictures import jpeg, jpeg_url

_MOST_FRAMES = 6
_SIDE = 112


def thumbnails(outcome: Outcome) -> Figures | str:
    """Some of the frames that were seen, or why they cannot be shown."""
    if not outcome.file:
        return "no video"
    from llava_video.video import read_video

    seen = outcome.seen_seconds
    num_shown = min(_MOST_FRAMES, len(seen))
    some = [seen[round(n * (len(seen) - 1) / max(1, num_shown - 1))] for n in range(num_shown)]
    try:
        if seen:
            frames = read_video(outcome.file, at_seconds=some)
        else:  # a model that runs elsewhere does not say
            frames = read_video(outcome.file, num_frames=1)
    except LlavaVideoError as error:
        return str(error)
    figures = []
    for pixels, seconds in zip(frames.pixels, frames.timestamps_seconds, strict=True):
        picture = jpeg(pixels, most=(_SIDE, _SIDE), quality=80)
        figures.append(Figure(jpeg_url(picture), f"{seconds:.1f} s"))
    return Figures(figures, are_small=True)
