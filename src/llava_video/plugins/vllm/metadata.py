"""What is known of frames, as vLLM carries it beside their pixels; needs no vLLM."""

from __future__ import annotations

from typing import Any

import numpy as np

from llava_video.plugins.vllm.names import NAME
from llava_video.types import Frames


def metadata_of(frames: Frames) -> dict[str, Any]:
    """What is known of frames, in vLLM's words and ours; `frames_of` is the inverse."""
    num_frames = len(frames)
    return {
        "timestamps_seconds": frames.timestamps_seconds.tolist(),
        "frames_indices": frames.indices.tolist(),
        "duration": frames.duration_seconds,
        "total_num_frames": max(num_frames, int(frames.indices[-1]) + 1),
        "video_backend": NAME,
        "do_sample_frames": False,
    }


def frames_of(pixels: Any, metadata: dict[str, Any]) -> Frames | None:
    """The frames that `metadata_of` tells of; None where the metadata is another loader's."""
    if "timestamps_seconds" not in metadata:
        return None
    return Frames(
        pixels=np.asarray(pixels),
        timestamps_seconds=np.asarray(metadata["timestamps_seconds"], np.float64),
        indices=np.asarray(metadata["frames_indices"], np.int64),
        duration_seconds=float(metadata["duration"]),
        source="the video",
    )
