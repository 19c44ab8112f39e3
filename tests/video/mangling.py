"""Rewrites videos so that the container says what is not so: times, keyframes, clocks, starts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import av
from av.packet import Packet

from .media import HEIGHT, WIDTH, write_video


def copy_packets(
    source: Path,
    target: Path,
    change: Callable[[int, Packet], Packet | None] = lambda _, packet: packet,
    options: dict[str, str] | None = None,
) -> Path:
    """Copy the video packets of a file into another container.

    Args:
        source: the file to copy from.
        target: the file to write, its suffix names the container.
        change: is given the position of each packet and the packet; None leaves it out.
        options: of the container to write.
    """
    with av.open(str(source)) as read, av.open(str(target), "w", options=options or {}) as write:
        origin = read.streams.video[0]
        stream = write.add_stream_from_template(origin, opaque=True)
        position = -1
        for packet in read.demux(origin):
            if packet.size == 0:
                continue
            position += 1
            changed = change(position, packet)
            if changed is not None:
                changed.stream = stream
                write.mux(changed)
    return target


def with_decoding_times(_: int, packet: Packet) -> Packet:
    """Say that packets are presented when they are decoded."""
    packet.pts = packet.dts
    return packet


def marked_as_key(_: int, packet: Packet) -> Packet:
    """Say that decoding may start at every packet."""
    packet.is_keyframe = True
    return packet


def from_packet(first: int) -> Callable[[int, Packet], Packet | None]:
    """Leave out packets before a position."""
    return lambda position, packet: packet if position >= first else None


def later(seconds: float) -> Callable[[int, Packet], Packet]:
    """Set the clock of a recording forward."""

    def change(_: int, packet: Packet) -> Packet:
        shift = round(seconds / packet.time_base)
        packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
        return packet

    return change


def concatenate(parts: Sequence[Path], target: Path) -> Path:
    """Files one behind the other, byte by byte."""
    target.write_bytes(b"".join(part.read_bytes() for part in parts))
    return target


def keyframe_positions(path: Path) -> list[int]:
    """Positions of packets that are marked as keyframes."""
    with av.open(str(path)) as container:
        packets: Iterable[Packet] = (p for p in container.demux(video=0) if p.size)
        return [position for position, packet in enumerate(packets) if packet.is_keyframe]


def element(name: bytes, content: bytes) -> bytes:
    """A Matroska element whose size takes eight bytes."""
    return name + (len(content) | 1 << 56).to_bytes(8) + content


def write_matroska_with(path: Path, more: bytes) -> Path:
    """A Matroska file with more elements among the settings of its video."""
    write_video(
        path,
        codec="ffv1",
        num_frames=3,
        pixel_format="bgr0",
        container_options={"live": "1", "write_crc32": "0"},  # nothing refers to places or sums
    )
    data = path.read_bytes()
    place = data.index(b"\xb0\x81" + bytes([WIDTH]) + b"\xba\x81" + bytes([HEIGHT]))
    tracks = _find_element(data, _TRACKS, data.rindex(_TRACKS, 0, place))
    entry = _find_element(data, b"\xae", tracks[1])
    video = _find_element(data, b"\xe0", place - 2)
    grown = element(b"\xe0", data[video[1] : video[2]] + more)
    grown = element(b"\xae", data[entry[1] : video[0]] + grown + data[video[2] : entry[2]])
    grown = element(_TRACKS, grown + data[entry[2] : tracks[2]])
    path.write_bytes(data[: tracks[0]] + grown + data[tracks[2] :])
    return path


_TRACKS = b"\x16\x54\xae\x6b"


def _find_element(data: bytes, name: bytes, start: int) -> tuple[int, int, int]:
    """Where the next element of a name begins, where its content does, and where it ends."""
    head = data.index(name, start)
    first = head + len(name)
    num_bytes = 9 - data[first].bit_length()
    size = int.from_bytes(data[first : first + num_bytes]) & (1 << 7 * num_bytes) - 1
    return head, first + num_bytes, first + num_bytes + size
