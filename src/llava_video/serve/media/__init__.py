"""Strangers' media: fetched by rules, read in a process that can be killed."""

from llava_video.serve.media.guard import MediaGuard
from llava_video.serve.media.limits import MediaLimits, MediaSource, StoredFile, VideoFacts

__all__ = ["MediaGuard", "MediaLimits", "MediaSource", "StoredFile", "VideoFacts"]
