"""The caption schedule: when each description is written, and from which inputs."""

from __future__ import annotations

from dataclasses import dataclass

from llava_video.annotate.recipe import Describe
from llava_video.errors import InputError


@dataclass(frozen=True, slots=True)
class Step:
    """One description to write.

    Attributes:
        level: 1 is written from frames and history; 2 and 3 from text only.
        start_seconds: start of the span it describes.
        end_seconds: its end.
        summary: index, among the steps, of the latest level 2 that it reads, or None.
        clips: indices of the level-1 steps that it reads, in order.
    """

    level: int
    start_seconds: float
    end_seconds: float
    summary: int | None
    clips: tuple[int, ...]


def clip_bounds(duration_seconds: float, rules: Describe) -> list[tuple[float, float]]:
    """Spans of the level-1 clips: whole windows, then what remains.

    A remainder shorter than ``min_clip_seconds`` joins the window before it, so only the last clip
    is ever longer or shorter than the others. A video shorter than one window is one clip.
    """
    if duration_seconds <= 0:
        raise InputError("a video of no duration cannot be described; check the file")
    length = rules.clip_seconds
    num_whole = int(duration_seconds // length)
    remainder = duration_seconds - num_whole * length
    bounds = [(i * length, (i + 1) * length) for i in range(num_whole)]
    if num_whole and remainder < rules.min_clip_seconds:
        bounds[-1] = (bounds[-1][0], duration_seconds)
    elif remainder > 0:
        bounds.append((num_whole * length, duration_seconds))
    return bounds


def caption_schedule(duration_seconds: float, rules: Describe) -> list[Step]:
    """The caption schedule of a video: all descriptions, in order (paper section 3.2).

    Level 1 comes with every clip and reads what ``history`` allows. Level 2 comes after every
    ``clips_per_summary`` clips, reads those and the level 2 before, and covers the video so far;
    at the end of the video level 3 replaces it. Level 3 reads the clips that
    no level 2 has read, of which there is always at least one, and the latest level 2.
    """
    bounds = clip_bounds(duration_seconds, rules)
    steps: list[Step] = []
    unread: list[int] = []
    summary: int | None = None
    for number, (start, end) in enumerate(bounds, 1):
        steps.append(Step(1, start, end, *_history(rules, summary, unread, steps)))
        unread.append(len(steps) - 1)
        if number == len(bounds):
            clips = unread[-1:] if rules.history == "last_one" else unread
            steps.append(Step(3, 0.0, end, summary, tuple(clips)))
        elif number % rules.clips_per_summary == 0:
            steps.append(Step(2, 0.0, end, summary, tuple(unread)))
            summary, unread = len(steps) - 1, []
    return steps


def _history(
    rules: Describe, summary: int | None, unread: list[int], steps: list[Step]
) -> tuple[int | None, tuple[int, ...]]:
    if rules.history == "none":
        return None, ()
    if rules.history == "all_unsummarised":
        return summary, tuple(unread)
    last = [index for index, step in enumerate(steps) if step.level == 1][-1:]
    return summary, tuple(last)
