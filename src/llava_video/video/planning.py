"""Plans which packets to decode for the wanted frames, from the index alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llava_video.video.index import FrameIndex
from llava_video.video.start import MOST_REORDERED_FRAMES

# Codecs whose keyframe marks can be trusted: decoding from there equals decoding in order. Not gif
# and apng, whose pictures are drawn over earlier ones.
_SEEKABLE = {
    "h264", "hevc", "vp8", "vp9", "av1", "mpeg4", "mpeg2video", "mpeg1video", "theora", "mjpeg",
    "prores", "dnxhd", "ffv1", "h263", "flv1", "wmv1", "wmv2", "wmv3", "vc1", "msmpeg4v3",
}  # fmt: skip

# Decoders of transparency: its keyframes are not marked.
_ALPHA_DECODERS = {"libvpx", "libvpx-vp9"}


@dataclass(frozen=True, slots=True)
class Run:
    """Packets ``start`` to ``stop`` (exclusive), decoded in order from a keyframe, for targets."""

    start: int
    stop: int
    targets: frozenset[int]


def can_seek(index: FrameIndex) -> bool:
    """Whether frames can be identified by their ticks after a seek."""
    return (
        index.has_timestamps
        and index.codec in _SEEKABLE
        and index.decoder not in _ALPHA_DECODERS
        and bool(index.positions)
        and bool(index.is_keyframe.any())
    )


def plan_runs(index: FrameIndex, targets: Iterable[int]) -> list[Run]:
    """Group wanted frames by the keyframe that decoding has to start from.

    Args:
        index: the video.
        targets: indices of wanted frames.

    Returns:
        Runs in file order that do not overlap.
    """
    packet_of_frame = packets_of_frames(index)
    keyframes = np.flatnonzero(index.is_keyframe)
    runs: list[Run] = []
    for packet in sorted(int(packet_of_frame[target]) for target in set(targets)):
        place = int(np.searchsorted(keyframes, packet, side="right")) - 1
        # Pictures shown before the keyframe they follow in the file refer to the group before it.
        while place > 0 and index.packet_pts[keyframes[place]] > index.packet_pts[packet]:
            place -= 1
        start = int(keyframes[max(place, 0)])
        wanted = frozenset({int(index.packet_frames[packet])})
        while runs and start < runs[-1].stop:
            before = runs.pop()
            start, wanted = min(start, before.start), wanted | before.targets
        # Where the order is doubtful, what comes until then must be seen to come in order.
        ahead = MOST_REORDERED_FRAMES if index.order_is_doubtful else 0
        runs.append(Run(start, min(packet + 1 + ahead, len(index.packet_frames)), wanted))
    return runs


def packets_of_frames(index: FrameIndex) -> NDArray[np.int64]:
    """``(N,)`` position in the file of the packet that holds each frame."""
    shown = np.flatnonzero(index.packet_frames >= 0)
    packets = np.empty(index.num_frames, np.int64)
    packets[index.packet_frames[shown]] = shown
    return packets


def num_packets(runs: Sequence[Run]) -> int:
    """Packets to decode for all of ``runs``."""
    return sum(run.stop - run.start for run in runs)


def cut(runs: Sequence[Run], num_pieces: int) -> list[list[Run]]:
    """Cut runs into at most ``num_pieces`` contiguous pieces of about equal numbers of packets."""
    most = num_packets(runs) / num_pieces
    pieces: list[list[Run]] = []
    for run in runs:
        if pieces and num_packets(pieces[-1]) + (run.stop - run.start) / 2 <= most:
            pieces[-1].append(run)
        else:
            pieces.append([run])
    return pieces
