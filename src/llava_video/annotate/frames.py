"""Frames of a clip as pictures to send: sampled by rate, scaled down, each with its time."""

from __future__ import annotations

import math

from llava_video.annotate.messages import Picture
from llava_video.annotate.recipe import Describe
from llava_video.annotate.records import Facts
from llava_video.types import Frames
from llava_video.video import read_video


def size_to_send(facts: Facts, max_side: int) -> tuple[int, int]:
    """``(height, width)`` with the aspect ratio kept, no side over ``max_side``."""
    scale = min(1.0, max_side / max(facts.width, facts.height))
    return max(1, round(facts.height * scale)), max(1, round(facts.width * scale))


def count_between(start_seconds: float, end_seconds: float, facts: Facts, rules: Describe) -> int:
    """How many pictures `pictures_between` takes from a video of even frame rate."""
    step = max(1, round(facts.average_fps / rules.fps))  # every so-many-th frame is taken
    return max(1, math.ceil((end_seconds - start_seconds) * facts.average_fps / step - 1e-6))


def count_spread(num_frames: int, facts: Facts, rules: Describe) -> int:
    """How many pictures `pictures_spread` takes."""
    return min(num_frames, max(1, int(facts.duration_seconds * rules.fps)))


def pictures_between(
    path: str, start_seconds: float, end_seconds: float, facts: Facts, rules: Describe
) -> tuple[list[Picture], tuple[str, ...]]:
    """Pictures of ``[start_seconds, end_seconds)`` at the recipe's rate, and what went wrong."""
    is_last = end_seconds >= facts.duration_seconds
    frames = read_video(
        path,
        fps=rules.fps,
        size=size_to_send(facts, rules.image_max_side),
        start_seconds=start_seconds,
        end_seconds=None if is_last else end_seconds,
    )
    return to_pictures(frames, rules), frames.warnings


def pictures_spread(path: str, num_frames: int, facts: Facts, rules: Describe) -> list[Picture]:
    """At most ``num_frames`` pictures, spread over the whole video."""
    frames = read_video(
        path,
        num_frames=count_spread(num_frames, facts, rules),
        size=size_to_send(facts, rules.image_max_side),
    )
    return to_pictures(frames, rules)


def to_pictures(frames: Frames, rules: Describe) -> list[Picture]:
    """One picture per frame."""
    return [
        Picture.of(pixels, float(seconds), rules.image_detail, rules.jpeg_quality)
        for pixels, seconds in zip(frames.pixels, frames.timestamps_seconds, strict=True)
    ]
