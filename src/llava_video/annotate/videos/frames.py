"""Frames of a clip as pictures to send: sampled by rate, scaled down, each with its time."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from fractions import Fraction

import av
import numpy as np
from PIL import Image

from llava_video.annotate.recipe import Describe
from llava_video.annotate.records import Facts
from llava_video.calls.messages import Picture, Video
from llava_video.types import Frames
from llava_video.video import read_video, sample_times


def size_to_send(facts: Facts, max_side: int) -> tuple[int, int]:
    """``(height, width)`` with the aspect ratio kept, no side over ``max_side``."""
    scale = min(1.0, max_side / max(facts.width, facts.height))
    return max(1, round(facts.height * scale)), max(1, round(facts.width * scale))


def count_between(
    path: str, start_seconds: float, end_seconds: float, facts: Facts, rules: Describe
) -> int:
    """How many pictures `pictures_between` takes.

    Times are read from the file only where its frames are not evenly spaced, and pictures only
    where some are known to be damaged.
    """
    if facts.warnings:
        return len(pictures_between(path, start_seconds, end_seconds, facts, rules)[0])
    if facts.is_variable_rate:
        end = _end_of(end_seconds, facts)
        times, _ = sample_times(path, fps=rules.fps, start_seconds=start_seconds, end_seconds=end)
        return len(times)
    first, stop = (
        math.ceil(seconds * facts.average_fps - 1e-4) for seconds in (start_seconds, end_seconds)
    )
    step = max(1, round(facts.average_fps / rules.fps))  # every so-many-th frame is taken
    return max(1, math.ceil((stop - first) / step))


def count_spread(num_frames: int, facts: Facts, rules: Describe) -> int:
    """How many pictures `pictures_spread` takes."""
    return min(num_frames, max(1, int(facts.duration_seconds * rules.fps)))


def pictures_between(
    path: str, start_seconds: float, end_seconds: float, facts: Facts, rules: Describe
) -> tuple[list[Picture], tuple[str, ...]]:
    """Pictures of ``[start_seconds, end_seconds)`` at the recipe's rate, and what went wrong."""
    frames = read_video(
        path,
        fps=rules.fps,
        size=size_to_send(facts, rules.image_max_side),
        start_seconds=start_seconds,
        end_seconds=_end_of(end_seconds, facts),
    )
    return to_pictures(frames, rules), frames.warnings


def _end_of(end_seconds: float, facts: Facts) -> float | None:
    """A clip's end, open where it is the video's."""
    return None if end_seconds >= facts.duration_seconds else end_seconds


def pictures_spread(path: str, num_frames: int, facts: Facts, rules: Describe) -> list[Picture]:
    """At most ``num_frames`` pictures, spread over the whole video."""
    frames = read_video(
        path,
        num_frames=count_spread(num_frames, facts, rules),
        size=size_to_send(facts, rules.image_max_side),
    )
    return to_pictures(frames, rules)


def to_video(pictures: Sequence[Picture], fps: float) -> Video:
    """A video of pictures, for models that take one; each is shown for ``1 / fps`` seconds.

    Servers sample videos anew, and take all frames of one with as few.
    """
    rate = Fraction(fps).limit_denominator(1000)
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=rate)
        # Both sides are even in 4:2:0; a picture that is not is scaled by one pixel.
        stream.width, stream.height = (
            max(2, side - side % 2) for side in (pictures[0].width, pictures[0].height)
        )
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": "18", "preset": "veryfast"}
        stream.thread_count = 1
        for picture in pictures:
            with Image.open(io.BytesIO(picture.jpeg)) as image:
                pixels = np.asarray(image.resize((stream.width, stream.height)))
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return Video(buffer.getvalue(), tuple(pictures), fps)


def to_pictures(frames: Frames, rules: Describe) -> list[Picture]:
    """One picture per frame."""
    return [
        Picture.of(pixels, float(seconds), rules.image_detail, rules.jpeg_quality)
        for pixels, seconds in zip(frames.pixels, frames.timestamps_seconds, strict=True)
    ]
