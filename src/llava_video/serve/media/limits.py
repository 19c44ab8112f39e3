"""What a server reads of strangers' media, from where, and how much of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

CODECS = frozenset(
    (
        *("h264", "hevc", "av1", "vp8", "vp9", "mpeg4", "mpeg2video", "mpeg1video", "theora"),
        *("mjpeg", "gif", "apng", "prores", "dnxhd", "h263", "flv1", "vc1"),
        *("wmv1", "wmv2", "wmv3", "msmpeg4v2", "msmpeg4v3"),
    )
)
"""Codecs of cameras, phones, screens and the web, by FFmpeg's names."""

FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,ogg,gif,apng,asf,h264,"
    "hevc,m4v,ivf,obu,mjpeg,mpjpeg"
)
"""Containers that hold them. Playlists, lists of files and subtitles are not among them."""

PICTURE_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
"""Of images, by Pillow's names."""


@dataclass(frozen=True)
class MediaLimits:
    """What one file may take.

    Attributes:
        max_bytes: of a file, wherever it comes from.
        max_seconds: wall clock of reading one file, and its processor time per processor used.
        max_memory_bytes: that a decoder may take beyond what it starts with.
        max_pixels_per_frame: of a stored picture.
        max_frames: taken from one video.
        max_decoders: files that are read at a time.
        max_cache_bytes: of frames that are kept for the next question.
        max_folder_bytes: of downloads and ``data:`` addresses that are held at a time.
        connect_seconds: to find and reach a host.
        read_seconds: without a byte from it.
        fetch_seconds: of a download, redirects included.
        max_redirects: of one download.
        codecs: by FFmpeg's names.
        formats: containers, by FFmpeg's names, separated by commas.
    """

    max_bytes: int = 512 << 20
    max_seconds: float = 60.0
    max_memory_bytes: int = 2 << 30
    max_pixels_per_frame: int = 1 << 26
    max_frames: int = 1024
    max_decoders: int = 4
    max_cache_bytes: int = 1 << 30
    max_folder_bytes: int = 8 << 30
    connect_seconds: float = 5.0
    read_seconds: float = 10.0
    fetch_seconds: float = 60.0
    max_redirects: int = 3
    codecs: frozenset[str] = CODECS
    formats: str = FORMATS


@dataclass(frozen=True)
class MediaSource:
    """Where media may come from besides requests themselves.

    Attributes:
        media_root: the folder below which local paths are read; None reads none.
        allow_hosts: hosts that addresses may name, see `hosts.parse_host`; empty for none.
    """

    media_root: Path | None = None
    allow_hosts: tuple[str, ...] = ()


@dataclass(frozen=True)
class StoredFile:
    """A file that may be read.

    Attributes:
        path: where it is: in a folder of the server, or below ``media_root``.
        digest: SHA-256 of its bytes, computed by the server.
        name: for messages; names no folder of the server.
        num_bytes: its size.
        stamp: inode, size and time of change in nanoseconds of a file that others may change.
    """

    path: Path
    digest: str
    name: str
    num_bytes: int
    stamp: tuple[int, int, int] | None = None


@dataclass(frozen=True)
class VideoFacts:
    """What a file is.

    Attributes:
        duration_seconds: from the first picture's appearance to the last one's end.
        width: columns of a picture as displayed.
        height: rows of a picture as displayed.
        codec: by FFmpeg's name.
        num_frames: counted.
        average_fps: pictures per second.
        warnings: what is wrong with the file, one sentence each.
    """

    duration_seconds: float
    width: int
    height: int
    codec: str
    num_frames: int
    average_fps: float
    warnings: tuple[str, ...] = ()
