"""The video loader: frames chosen and decoded as everywhere in this project."""

from __future__ import annotations

from tempfile import NamedTemporaryFile
from typing import Any

import numpy as np
from numpy.typing import NDArray
from vllm.multimodal.video import VIDEO_LOADER_REGISTRY, VideoLoader

from llava_video.errors import InputError, VideoError
from llava_video.plugins.vllm.metadata import metadata_of
from llava_video.plugins.vllm.names import NAME
from llava_video.video import read_video

_UNSAID = (-1, 32)
"""What vLLM passes as ``num_frames`` where neither the server nor the request says a number."""


@VIDEO_LOADER_REGISTRY.register(NAME)
class LlavaVideoLoader(VideoLoader):
    """Samples frames from the bytes of a video file."""

    @classmethod
    def load_bytes(
        cls,
        data: bytes,
        num_frames: int = -1,
        fps: float = -1,
        *,
        max_frames: int,
        size: int,
        start_seconds: float = 0.0,
        end_seconds: float | None = None,
        **others: Any,
    ) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        """Frames and what is known of them; arguments are ``media_io_kwargs`` of videos.

        Args:
            data: a video file.
            num_frames: how many to spread over the video; -1 for ``max_frames``.
            fps: frames per second instead, at most ``max_frames``; -1 for none.
            max_frames: T of the representation.
            size: side of the frames, in pixels.
            start_seconds: take frames that appear from here on.
            end_seconds: take frames that appear before this; None for the end.
            **others: must be none.

        Raises:
            InputError: the file cannot be read, or the options do not fit. vLLM answers a request
                with 400 only where the error is a ``ValueError``.
        """
        if others:
            raise InputError(f"media_io_kwargs of videos has {sorted(others)[0]!r}; see vllm.md")
        if fps > 0 and num_frames not in _UNSAID:
            raise InputError("num_frames or fps, not both: one says how many, one how often")
        if fps <= 0 and num_frames > max_frames:
            raise InputError(
                f"{num_frames} frames are more than T = {max_frames} of the video representation; "
                "sample fewer frames or pass a representation with a larger T"
            )
        by_rate: dict[str, Any] = {"fps": fps, "max_frames": max_frames}
        by_number = {"num_frames": max_frames if num_frames == -1 else num_frames}
        with NamedTemporaryFile() as file:
            file.write(data)
            file.flush()
            try:
                frames = read_video(
                    file.name,
                    size=size,
                    start_seconds=start_seconds,
                    end_seconds=end_seconds,
                    **(by_rate if fps > 0 else by_number),
                )
            except (VideoError, InputError) as error:
                raise InputError(str(error).replace(file.name, "the video")) from error
        return frames.pixels, metadata_of(frames)
