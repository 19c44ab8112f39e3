"""Reading videos: frames, their times and their pictures. PyAV and numpy."""

from llava_video.video.info import VideoInfo
from llava_video.video.reading import probe_video, read_video, sample_times

__all__ = ["VideoInfo", "probe_video", "read_video", "sample_times"]
