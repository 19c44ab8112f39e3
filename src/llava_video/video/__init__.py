"""Reading videos: frames, their times and their pictures. PyAV and numpy."""

from llava_video.video.reading import (
    Sample,
    VideoInfo,
    probe_video,
    read_video,
    sample_times,
    sample_video,
)

__all__ = ["Sample", "VideoInfo", "probe_video", "read_video", "sample_times", "sample_video"]
