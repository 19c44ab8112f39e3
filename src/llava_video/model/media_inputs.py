"""What the model takes of videos and images, checked before anything is computed."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from llava_video.errors import InputError

MEDIA_INPUTS = (
    "pixel_values_videos",
    "num_frames_per_video",
    "pixel_values",
    "num_tiles_per_image",
    "image_sizes",
    "mm_token_type_ids",
)
"""What `LlavaVideoProcessor` makes of videos and images."""


def as_frames(
    pixel_values_videos: Tensor, num_frames_per_video: Sequence[int] | Tensor | None, size: int
) -> tuple[Tensor, Sequence[int] | Tensor]:
    """The frames of all videos one after the other, and how many belong to each.

    Args:
        pixel_values_videos: ``(N, 3, S, S)``, or ``(videos, T, 3, S, S)`` as transformers'
            LlavaOnevision takes them.
        num_frames_per_video: frames of each video; by default all of ``(N, 3, S, S)`` are one, and
            each of ``(videos, T, 3, S, S)`` has T.
        size: S, side of the pictures that the vision encoder takes.

    Raises:
        InputError: the pixels have another shape.
    """
    pixels = pixel_values_videos
    if pixels.ndim == 5:
        counts: Sequence[int] | Tensor = [pixels.shape[1]] * pixels.shape[0]
        pixels = pixels.flatten(0, 1)
    else:
        counts = [len(pixels)]
    if pixels.ndim != 4 or tuple(pixels.shape[1:]) != (3, size, size) or not len(pixels):
        raise InputError(
            f"pixel_values_videos has the shape {tuple(pixel_values_videos.shape)}; this model "
            f"takes (frames, 3, {size}, {size}), or (videos, frames, 3, {size}, {size}), of at "
            "least one frame: make it with the model's own processor"
        )
    return pixels, counts if num_frames_per_video is None else num_frames_per_video
