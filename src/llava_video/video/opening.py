"""Opens local video files, and no other addresses."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Discard, Disposition
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from llava_video.errors import VideoError

# Formats that hold pictures themselves. Playlists and lists of files (hls, dash, concat, image2,
# sdp) are not among them: no file opened here can make FFmpeg open another file or an address.
_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,live_flv,ogg,gif,apng,asf,"
    "asf_o,h263,h264,hevc,m4v,ivf,obu,av1,dv,mxf,nut,rm,wtv,yuv4mpegpipe,mjpeg,mpjpeg,mjpeg_2000,"
    "swf,vc1"
)
_SOUND_FORMATS = (
    "mp3,wav,w64,flac,aac,ac3,eac3,dts,aiff,au,caf,amr,amrnb,amrwb,ape,mpc,mpc8,tta,wv,tak,truehd,"
    "voc,xwma,gsm,loas,aa,ircam,shn,sox"
)


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a process opens; by default whatever FFmpeg decodes.

    Attributes:
        formats: containers, by FFmpeg's names, separated by commas.
        codecs: codecs, by FFmpeg's names; None for all.
        max_pixels: of a stored picture; None for FFmpeg's own limit.
    """

    formats: str = _FORMATS
    codecs: frozenset[str] | None = None
    max_pixels: int | None = None


_bounds = Bounds()


def set_bounds(bounds: Bounds) -> None:
    """Bound what this process opens from now on; meant for one that reads a stranger's file."""
    global _bounds  # noqa: PLW0603  (of a process that lives for one file)
    _bounds = bounds


# VP8 and VP9 store transparency as pictures of their own, which only libvpx puts together.
_ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}


def check_local_file(path: str | os.PathLike[str]) -> Path:
    """The path of a file that exists and is not empty.

    Raises:
        VideoError: there is no such file, or it is a directory, empty or not readable.
    """
    name = os.fspath(path)
    if "://" in name:
        raise VideoError(f"{name}: only local files are read; download it first")
    file = Path(name)
    try:
        file.lstat()
    except (FileNotFoundError, NotADirectoryError):
        pass  # said below
    except (OSError, ValueError) as error:  # too long, a zero byte, a folder that is closed
        reason = getattr(error, "strerror", None) or error
        raise VideoError(f"{name[:120]!r}: is no name of a file here ({reason})") from error
    if file.is_dir():
        raise VideoError(f"{name}: is a directory; name one video file in it")
    if not file.exists():
        raise VideoError(f"{name}: no such file; check the path")
    if not os.access(file, os.R_OK):
        raise VideoError(f"{name}: not readable; check its permissions")
    if file.is_file() and file.stat().st_size == 0:
        raise VideoError(f"{name}: is empty; fetch or record it again")
    if not file.is_file():
        raise VideoError(f"{name}: is not a regular file; copy the video to one")
    return file


_ONLY_SOUND = "has sound only, no video stream; name a file with moving pictures"


@contextmanager
def open_video(file: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open a file and its best video stream; cover pictures of music files are not video.

    Raises:
        VideoError: the file is not a video, or has no video stream that can be decoded.
    """
    try:
        container = _open(file, _bounds.formats)
    except av.FFmpegError as error:
        if _bounds.formats == _FORMATS and _is_sound(file):
            raise VideoError(f"{file}: {_ONLY_SOUND}") from error
        raise VideoError(
            f"{file}: cannot be opened as a video ({_reason(error)}); "
            "check that it is complete, or convert it to mp4 with ffmpeg"
        ) from error
    with container:
        yield container, _best_stream(container, file)


def demux(container: InputContainer, stream: VideoStream) -> Iterator[Packet[VideoStream]]:
    """The packets of a stream that hold data.

    Raises:
        FFmpegError: the file does not read on.
    """
    try:
        yield from (packet for packet in container.demux(stream) if packet.size)
    except IndexError:  # PyAV's, at the end of a file in which other streams begin later
        return


def make_decoder(stream: VideoStream) -> VideoCodecContext:
    """The decoder of a stream: its own, or one that decodes transparency too."""
    decoder = _ALPHA_DECODERS.get(stream.codec_context.name)
    context = stream.codec_context
    if decoder is not None and has_alpha_pictures(stream):
        context = cast(VideoCodecContext, av.CodecContext.create(decoder, "r"))
    if _bounds.max_pixels is not None:
        context.options = {**context.options, "max_pixels": str(_bounds.max_pixels)}
    return context


def has_alpha_pictures(stream: VideoStream) -> bool:
    """Whether packets of the stream hold a second picture, of its transparency."""
    return any(
        name.lower() == "alpha_mode" and value == "1" for name, value in stream.metadata.items()
    )


def _open(file: Path, formats: str) -> InputContainer:
    options = {"protocol_whitelist": "file", "format_whitelist": formats}
    # Metadata may be in any encoding; nothing here depends on it.
    return av.open(f"file:{file.absolute()}", options=options, metadata_errors="replace")


def _is_sound(file: Path) -> bool:
    try:
        with _open(file, _SOUND_FORMATS) as container:
            return len(container.streams.audio) > 0
    except av.FFmpegError:
        return False


def _best_stream(container: InputContainer, file: Path) -> VideoStream:
    streams = [s for s in container.streams.video if not _is_cover(s)]
    if not streams:
        raise VideoError(f"{file}: {_ONLY_SOUND}")
    best = container.streams.best("video")
    stream = best if best in streams else streams[0]
    if stream.codec_context is None:
        raise VideoError(f"{file}: uses a codec this build of FFmpeg lacks; convert it to h264")
    _check_bounds(stream.codec_context, file)
    for other in container.streams:
        if other.index != stream.index:
            other.discard = Discard.all
    return stream


def _check_bounds(codec: VideoCodecContext, file: Path) -> None:
    name, num_pixels = codec.codec.canonical_name, codec.width * codec.height
    if _bounds.codecs is not None and name not in _bounds.codecs:
        raise VideoError(f"{file}: its codec {name} is not read here; convert it to h264")
    if _bounds.max_pixels is not None and num_pixels > _bounds.max_pixels:
        raise VideoError(
            f"{file}: its pictures have {codec.width} x {codec.height} pixels, and at most "
            f"{_bounds.max_pixels:,} pixels are read; scale it down"
        )


def _is_cover(stream: VideoStream) -> bool:
    return bool(stream.disposition & Disposition.attached_pic)


def _reason(error: av.FFmpegError) -> str:
    return str(error.strerror or error).splitlines()[0]
