"""Files that attack whoever reads them, made by hand from small sound ones."""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

from tests.video.mangling import element
from tests.video.media import write_video

Make = Callable[[], bytes]


@cache
def sound_video(
    suffix: str = "mp4", codec: str = "libx264", num_frames: int = 8, pixel_format: str = "yuv420p"
) -> bytes:
    """A sound video of 96 x 64 pixels."""
    with TemporaryDirectory() as folder:
        options = {"movflags": "faststart"} if suffix == "mp4" else {}
        path = write_video(
            Path(folder) / f"video.{suffix}",
            codec=codec,
            num_frames=num_frames,
            pixel_format=pixel_format,
            container_options=options,
        )
        return path.read_bytes()


def picture(width: int, height: int, suffix: str = "JPEG") -> bytes:
    """A sound picture of one colour."""
    content = io.BytesIO()
    Image.new("RGB", (width, height), (90, 20, 200)).save(content, suffix)
    return content.getvalue()


def patched(data: bytes, name: bytes, offset: int, value: bytes, *, place: int = 0) -> bytes:
    """A file with other bytes at an offset from where a name stands for the n-th time."""
    start = -1
    for _ in range(place + 1):
        start = data.index(name, start + 1)
    start += offset
    return data[:start] + value + data[start + len(value) :]


def huge_jpeg(side: int = 50_000) -> bytes:
    """A small JPEG that claims to have a side of so many pixels."""
    return patched(picture(64, 64), b"\xff\xc0", 5, struct.pack(">HH", side, side))


def motion_jpeg(*pictures: bytes) -> bytes:
    """Pictures one behind the other, which FFmpeg reads as a video."""
    return b"".join(pictures)


@cache
def huge_png(side: int = 50_000) -> bytes:
    """10 MB of zeros, deflated, that claim to be so many pixels."""
    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return _png(head, zlib.compress(bytes(10 << 20)))


def _png(head: bytes, content: bytes, more: bytes = b"") -> bytes:
    return (
        b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + more + _chunk(b"IDAT", content)
        + _chunk(b"IEND", b"")
    )  # fmt: skip


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(
        ">I", zlib.crc32(name + content)
    )  # fmt: skip


@cache
def png_with_text_bomb() -> bytes:
    """A PNG whose compressed text is 200 MB long."""
    deflate = zlib.compressobj(9)
    text = b"".join(deflate.compress(bytes(1 << 20)) for _ in range(200)) + deflate.flush()
    head = struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(8 * 25))
    return _png(head, rows, _chunk(b"zTXt", b"Comment\0\0" + text))


def huge_gif(side: int = 65_535) -> bytes:
    """A GIF whose canvas has such a side."""
    return patched(picture(8, 8, "GIF"), b"GIF8", 6, struct.pack("<HH", side, side))


def gif_of_many_frames(num_frames: int = 100_000) -> bytes:
    """A GIF of one pixel, so many times."""
    head = b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    frame = (
        b"\x21\xf9\x04\0\x01\0\0\0" + b"\x2c" + bytes(4) + b"\x01\0\x01\0\0" + b"\x02\x02D\x01\0"
    )
    return head + frame * num_frames + b";"


def huge_webp() -> bytes:
    """An animated WebP whose canvas is as large as can be."""
    content = io.BytesIO()
    frames = [Image.new("RGB", (16, 16), (shade, 0, 0)) for shade in (0, 99)]
    frames[0].save(content, "WEBP", save_all=True, append_images=frames[1:])
    side = (16_383 - 1).to_bytes(3, "little")
    return patched(content.getvalue(), b"VP8X", 12, side + side)


def mp4_with_claimed_frames(count: int = 1_000_000_000) -> bytes:
    """An MP4 whose table of sizes says that there are so many frames of one byte."""
    return patched(sound_video(), b"stsz", 8, struct.pack(">II", 1, count))


def mp4_with_claimed_times(count: int = 0xFFFF_FFFF) -> bytes:
    """An MP4 whose table of times says that one frame comes so often."""
    return patched(sound_video(), b"stts", 8, struct.pack(">III", 1, count, 0xFFFF_FFFF))


def mp4_with_timescale(ticks_per_second: int) -> bytes:
    """An MP4 whose clock has another unit."""
    return patched(sound_video(), b"mdhd", 16, struct.pack(">I", ticks_per_second))


def mp4_without_frames() -> bytes:
    """An MP4 that has a track, and nothing in its tables."""
    data = sound_video()
    for name in (b"stsz", b"stts", b"stsc", b"stco"):
        data = patched(data, name, 8 if name != b"stsz" else 12, bytes(4))
    return data


def mp4_with_cut_moov() -> bytes:
    """An MP4 that ends within its tables."""
    data = sound_video()
    return data[: data.index(b"stsz") + 10]


def mp4_with_nested_boxes(depth: int = 100_000) -> bytes:
    """Boxes within boxes."""
    data = sound_video()
    size = 8 * depth
    nested = b"".join(struct.pack(">I4s", size - 8 * level, b"moov") for level in range(depth))
    start = data.index(b"moov") - 4
    return data[:start] + nested + data[start:]


def mp4_with_external_data(target: str) -> bytes:
    """An MP4 whose media lie in another file, as QuickTime has it (``dref``, ``url``)."""
    data = sound_video()
    place = data.index(b"url \0\0\0\x01")
    address = target.encode() + b"\0"
    entry = struct.pack(">I4sI", 12 + len(address), b"url ", 0) + address
    grown = len(entry) - 12
    data = data[: place - 4] + entry + data[place + 8 :]
    for name in (b"dref", b"dinf", b"minf", b"mdia", b"trak", b"moov"):
        start = data.rindex(name, 0, place) - 4
        size = struct.unpack(">I", data[start : start + 4])[0]
        data = data[:start] + struct.pack(">I", size + grown) + data[start + 4 :]
    return data


def avi_with_rate(scale: int, rate: int) -> bytes:
    """An AVI whose pictures are shown at ``rate / scale`` a second."""
    return patched(sound_video("avi", "mpeg4"), b"vids", 20, struct.pack("<II", scale, rate))


def avi_with_claimed_frames() -> bytes:
    """An AVI whose header counts 4 x 10^9 frames."""
    return patched(sound_video("avi", "mpeg4"), b"vids", 32, b"\xff\xff\xff\xff")


def flv_with_rate(fps: float) -> bytes:
    """An FLV whose metadata names a rate."""
    return patched(sound_video("flv", "flv"), b"framerate", 10, struct.pack(">d", fps))


def mkv_with_frame_duration(nanoseconds: int) -> bytes:
    """A Matroska file whose frames last so long, by its header."""
    data = sound_video("mkv", "mpeg4")
    name = b"\x23\xe3\x83"  # DefaultDuration
    size = data[data.index(name) + 3] & 0x7F
    return patched(data, name, 4, nanoseconds.to_bytes(8)[-size:])


def mkv_of_nested_elements(depth: int = 200) -> bytes:
    """Matroska segments within segments, whose sizes say that they never end."""
    head = element(b"\x1a\x45\xdf\xa3", element(b"\x42\x82", b"matroska"))
    return head + (b"\x18\x53\x80\x67" + b"\x01" + b"\xff" * 7) * depth


def mkv_with_endless_element() -> bytes:
    """A Matroska file whose codec settings claim 2^55 bytes."""
    head = element(b"\x1a\x45\xdf\xa3", element(b"\x42\x82", b"matroska"))
    settings = b"\x63\xa2" + (1 << 56 | 1 << 55).to_bytes(8)
    entry = (
        element(b"\xd7", b"\x01") + element(b"\x83", b"\x01") + element(b"\x86", b"V_MPEG4/ISO/AVC")
    )
    tracks = element(b"\x16\x54\xae\x6b", element(b"\xae", entry + settings))
    return head + element(b"\x18\x53\x80\x67", tracks)


def mpeg4_of_claimed_size() -> bytes:
    """An AVI of 96 x 64 pixels, whose codec then says as many as it can: 8,191 x 8,191."""
    data = sound_video("avi", "mpeg4")
    start = data.index(b"\0\0\1\x20")
    bits = bin(int.from_bytes(b"\1" + data[start : start + 64]))[3:]
    size = f"1{96:013b}1{64:013b}1"
    place = bits.index(size)
    grown = bits[:place] + f"1{8191:013b}1{8191:013b}1" + bits[place + len(size) :]
    return data[:start] + int(grown, 2).to_bytes(64) + data[start + 64 :]


def stream_whose_size_changes(*sides: int) -> bytes:
    """Motion JPEG with pictures of several sizes."""
    return motion_jpeg(*(picture(side, side) for side in sides for _ in range(4)))


@cache
def packed_twice(num_bytes: int = 200 << 20) -> bytes:
    """Zeros in gzip."""
    content = io.BytesIO()
    with gzip.GzipFile(fileobj=content, mode="wb") as file:
        for _ in range(num_bytes >> 20):
            file.write(bytes(1 << 20))
    return content.getvalue()


@cache
def zip_bomb(num_bytes: int = 100 << 20) -> bytes:
    """Zeros in a zip archive that is named like a video."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("video.mp4", bytes(num_bytes))
    return content.getvalue()


@cache
def noise(num_bytes: int = 100_000) -> bytes:
    """Random bytes."""
    return np.random.default_rng(0).bytes(num_bytes)


def eps_that_runs() -> bytes:
    """PostScript, which Pillow would hand to Ghostscript."""
    return b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n(%pipe%id) (w) file\n%%EOF\n"


def psd_header() -> bytes:
    """A Photoshop file of 30,000 x 30,000 pixels."""
    return b"8BPS" + struct.pack(">H6xHIIHH", 1, 3, 30_000, 30_000, 8, 3) + bytes(64)


def playlists(target: str) -> dict[str, bytes]:
    """Files that name another file or address, by their kind.

    Args:
        target: what they name.
    """
    return {
        "hls": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{target}\n#EXT-X-ENDLIST\n".encode(),
        "hls that hides as mp4": b"\0\0\0\x18ftypmp42"
        + f"\n#EXTM3U\n#EXTINF:1,\n{target}\n#EXT-X-ENDLIST\n".encode(),
        "hls with a key": (
            f'#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI="{target}"\n#EXTINF:1,\nx.ts\n'
        ).encode(),
        "ffconcat": f"ffconcat version 1.0\nfile '{target}'\nduration 1\n".encode(),
        "dash": (
            '<?xml version="1.0"?><MPD type="static"><Period><AdaptationSet mimeType="video/mp4">'
            f"<Representation id='1'><BaseURL>{target}</BaseURL></Representation>"
            "</AdaptationSet></Period></MPD>"
        ).encode(),
        "sdp": (
            b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
            b"m=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n"
        ),
        "subtitles": f"1\n00:00:00,000 --> 00:00:01,000\n<img src='{target}'>\n".encode(),
        "ass subtitles": f"[Script Info]\nVideo File: {target}\n[Events]\n".encode(),
        "webvtt": f"WEBVTT\n\n00:00.000 --> 00:01.000\n{target}\n".encode(),
        "xml entity": (
            f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e SYSTEM "{target}">]>'
            "<svg xmlns='http://www.w3.org/2000/svg'>&e;</svg>"
        ).encode(),
        "rtsp list": f"[Reference]\nRef1={target}\n".encode(),
        "cue sheet": f'FILE "{target}" BINARY\nTRACK 01 MODE1/2352\n'.encode(),
    }
