"""Facts about a video file."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """Facts about a video file, found by reading all its packets and decoding its first picture.

    Attributes:
        path: the file.
        container: the container format, by FFmpeg's name.
        codec: the codec, by FFmpeg's name.
        width: columns of a picture as displayed: upright and with square pixels.
        height: rows of a picture as displayed.
        rotation_degrees: clockwise turn that makes the stored pictures upright: 0, 90, 180, 270.
        num_frames: pictures in the file, counted; the container's claim is not used.
        average_fps: pictures per second.
        duration_seconds: from the first picture's appearance to the last one's end.
        is_variable_rate: whether the pictures are not evenly spaced in time.
        warnings: what is wrong with the file, one sentence each; empty if nothing is.
        is_mirrored: whether left and right of stored pictures are exchanged before that turn.
    """

    path: str
    container: str
    codec: str
    width: int
    height: int
    rotation_degrees: int
    num_frames: int
    average_fps: float
    duration_seconds: float
    is_variable_rate: bool
    warnings: tuple[str, ...] = ()
    is_mirrored: bool = False
