"""The edges of stored pictures that a container hides, which FFmpeg's decoders do not cut off.

Matroska has PixelCrop elements (RFC 9559, section 5.1.4.1.28), MP4 the clean aperture box ``clap``
(ISO/IEC 14496-12, section 12.1.4).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from llava_video.video.picture import NO_CROP, Crop

_Children = Callable[[BinaryIO, int, int], Iterator[tuple[bytes, int, int]]]

_MATROSKA_VIDEO = (b"\x18\x53\x80\x67", b"\x16\x54\xae\x6b", b"\xae", b"\xe0")
_MATROSKA_CROP = (b"\x54\xbb", b"\x54\xaa", b"\x54\xcc", b"\x54\xdd")  # as `Crop` orders them
_MP4_MEDIA = (b"moov", b"trak", b"mdia", b"minf")
_MP4_VIDEO_ENTRY_BYTES = 78


def read_crop(path: Path, container: str, place: int, height: int, width: int) -> Crop:
    """The crop of a video track; none where the container has none, or one that leaves nothing.

    Args:
        path: the file.
        container: its format, by FFmpeg's name.
        place: which of its video tracks.
        height: rows of a stored picture.
        width: columns of a stored picture.
    """
    with path.open("rb") as file:
        stop = file.seek(0, 2)
        if "matroska" in container:
            crop = _read_matroska(file, stop, place)
        elif "mp4" in container:
            crop = _read_mp4(file, stop, place, height, width)
        else:
            return NO_CROP
    leaves_some = crop.top + crop.bottom < height and crop.left + crop.right < width
    return crop if min(crop) >= 0 and leaves_some else NO_CROP


def _read_matroska(file: BinaryIO, stop: int, place: int) -> Crop:
    videos = _find(file, _elements, 0, stop, _MATROSKA_VIDEO)
    edges = {}
    for start, end in islice(videos, place, place + 1):
        for name, first, last in _elements(file, start, end):
            if name in _MATROSKA_CROP:
                file.seek(first)
                edges[name] = int.from_bytes(file.read(last - first))
    return Crop(*(edges.get(name, 0) for name in _MATROSKA_CROP))


def _read_mp4(file: BinaryIO, stop: int, place: int, height: int, width: int) -> Crop:
    videos = (
        span
        for span in _find(file, _boxes, 0, stop, _MP4_MEDIA)
        if any(name == b"vmhd" for name, _, _ in _boxes(file, *span))
    )
    for span in islice(videos, place, place + 1):
        for table, table_end in _find(file, _boxes, *span, (b"stbl", b"stsd")):
            for _, entry, entry_end in _boxes(file, table + 8, table_end):
                parts = _find(file, _boxes, entry + _MP4_VIDEO_ENTRY_BYTES, entry_end, (b"clap",))
                for first, last in parts:
                    file.seek(first)
                    if last - first >= 32:
                        return _crop_of_aperture(file.read(32), height, width)
    return NO_CROP


def _crop_of_aperture(clap: bytes, height: int, width: int) -> Crop:
    """The crop that keeps an aperture of a size, off the middle by so much."""
    numbers = struct.unpack(">4I2i2i", clap)
    if 0 in numbers[1::2]:
        return NO_CROP
    kept_width, kept_height, right_by, down_by = (
        top / bottom for top, bottom in zip(numbers[::2], numbers[1::2], strict=True)
    )
    left = round((width - kept_width) / 2 + right_by)
    top = round((height - kept_height) / 2 + down_by)
    return Crop(top, height - top - round(kept_height), left, width - left - round(kept_width))


def _find(
    file: BinaryIO, children: _Children, start: int, stop: int, names: Sequence[bytes]
) -> Iterator[tuple[int, int]]:
    """Where the content of elements lies, by the names on the way to them."""
    for name, first, last in children(file, start, stop):
        if name == names[0] and len(names) == 1:
            yield first, last
        elif name == names[0]:
            yield from _find(file, children, first, last, names[1:])


def _boxes(file: BinaryIO, start: int, stop: int) -> Iterator[tuple[bytes, int, int]]:
    """MP4 boxes in a span: name, begin and end of the content."""
    while start + 8 <= stop:
        file.seek(start)
        size, name = struct.unpack(">I4s", file.read(8))
        header = 8
        if size == 1:
            size, header = int.from_bytes(file.read(8)), 16
        elif size == 0:
            size = stop - start
        if size < header:
            return
        yield name, start + header, min(start + size, stop)
        start += size


def _elements(file: BinaryIO, start: int, stop: int) -> Iterator[tuple[bytes, int, int]]:
    """Matroska elements in a span: identifier, begin and end of the content."""
    while start < stop:
        file.seek(start)
        head = file.read(12)
        num_id_bytes = _num_bytes(head[:1])
        num_size_bytes = _num_bytes(head[num_id_bytes : num_id_bytes + 1])
        num_head_bytes = num_id_bytes + num_size_bytes
        if not num_id_bytes or not num_size_bytes or num_head_bytes > len(head):
            return
        mask = (1 << 7 * num_size_bytes) - 1
        size = int.from_bytes(head[num_id_bytes:num_head_bytes]) & mask
        first = start + num_head_bytes
        last = stop if size == mask else min(first + size, stop)  # all ones: unknown
        yield head[:num_id_bytes], first, last
        start = last


def _num_bytes(first: bytes) -> int:
    """Bytes of a number whose first byte has as many leading zeros, less one; 0 if too many."""
    return 9 - first[0].bit_length() if first and first[0] else 0
