"""Near-duplicates among videos, by frame hashes: exact, and without looking at every pair.

A hash holds the average colours on a grid of evenly spaced frames. Two videos are near-duplicates
when their durations agree within 2 % and their hashes differ by no more than a distance, of 255, on
average. The sums over parts of a hash differ by no more than the hashes do, so that only the few
pairs whose sums are close are compared in full.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

HASH_FRAMES = 8
HASH_SIDE = 8
Notice = Callable[[int, int], None]
"""Called with the number of videos that were looked at, and of all."""

_SAME_LENGTH = 0.02
_NOTICE_EVERY = 1000
_FIRST_ROOM = 64


def near_duplicates(
    hashes: Sequence[bytes],
    durations_seconds: Sequence[float],
    limits: Sequence[float],
    notice: Notice = lambda done, of: None,
) -> dict[int, int]:
    """The original of each near-duplicate, both as positions.

    Videos are taken in their order: one that is near an earlier original is its duplicate, and no
    original of later ones. Of several originals the nearest counts, then the first.

    Args:
        hashes: of ``HASH_FRAMES`` frames of ``HASH_SIDE`` x ``HASH_SIDE`` cells of 3 colours.
        durations_seconds: of the videos.
        limits: the distance up to which each video is a duplicate.
        notice: called now and then.
    """
    groups: dict[int, _Originals] = defaultdict(_Originals)
    found: dict[int, int] = {}
    for number, (text, seconds, limit) in enumerate(
        zip(hashes, durations_seconds, limits, strict=True)
    ):
        one = _Hash.of(text)
        # Videos of like length are in the same group or in one beside it.
        group = math.floor(math.log(max(seconds, 1e-3)) / math.log1p(_SAME_LENGTH))
        near = [
            best
            for beside in (group - 1, group, group + 1)
            if beside in groups
            for best in groups[beside].nearest(one, seconds, limit)
        ]
        if near:
            found[number] = min(near)[1]
        else:
            groups[group].add(one, seconds, number)
        if (number + 1) % _NOTICE_EVERY == 0 or number + 1 == len(hashes):
            notice(number + 1, len(hashes))
    return found


class _Originals:
    """The originals of a group of lengths, in arrays that grow."""

    def __init__(self) -> None:
        self._count = 0
        self._hashes = np.empty((_FIRST_ROOM, _NUM_VALUES), np.uint8)
        self._coarse = np.empty((_NUM_COARSE, _FIRST_ROOM), np.int16)
        self._fine = np.empty((_FIRST_ROOM, _NUM_FINE), np.int16)
        self._seconds = np.empty(_FIRST_ROOM)
        self._numbers = np.empty(_FIRST_ROOM, np.int64)
        self._total = np.empty(_FIRST_ROOM, np.int16)
        self._part = np.empty(_FIRST_ROOM, np.int16)

    def add(self, one: _Hash, seconds: float, number: int) -> None:
        place = self._count
        if place == len(self._numbers):
            for name in ("_hashes", "_fine", "_seconds", "_numbers", "_total", "_part"):
                array = getattr(self, name)
                setattr(self, name, np.concatenate([array, np.empty_like(array)]))
            self._coarse = np.concatenate([self._coarse, np.empty_like(self._coarse)], axis=1)
        self._hashes[place], self._fine[place] = one.values, one.fine
        self._coarse[:, place] = one.coarse
        self._seconds[place], self._numbers[place] = seconds, number
        self._count += 1

    def nearest(self, one: _Hash, seconds: float, limit: float) -> list[tuple[float, int]]:
        """Distance and position of the nearest original within the limit, if there is one."""
        count, total, part = self._count, self._total[: self._count], self._part[: self._count]
        total[:] = 0
        for row, value in zip(self._coarse[:, :count], one.coarse, strict=True):
            # In place, as this is the one loop over all originals.
            np.subtract(row, value, out=part)
            np.absolute(part, out=part)
            np.add(total, part, out=total)
        most = limit * _NUM_VALUES
        close = np.flatnonzero(total <= most / _COARSE_UNIT + _NUM_COARSE)
        if close.size:
            lengths = self._seconds[close]
            close = close[(lengths >= seconds * 0.98) & (lengths <= seconds * 1.02 + 1e-9)]
        if close.size:
            fine = np.abs(self._fine[close] - one.fine).sum(axis=1, dtype=np.int32)
            close = close[fine <= most]
        if not close.size:
            return []
        full = np.abs(self._hashes[close].astype(np.int16) - one.values).mean(axis=1)
        best = np.lexsort((self._numbers[close], full))[0]
        if full[best] > limit:
            return []
        return [(float(full[best]), int(self._numbers[close[best]]))]


_NUM_VALUES = HASH_FRAMES * HASH_SIDE**2 * 3
_NUM_COARSE, _NUM_FINE = 24, 192
_COARSE_UNIT = 16  # so that the sum of all differences fits into 16 bits


@dataclass(frozen=True, slots=True)
class _Hash:
    """A hash, and sums over parts of it that do not overlap.

    Attributes:
        values: of all cells.
        coarse: sums over halves of time and quarters of the picture, in units.
        fine: sums over pairs of frames and 2 x 2 cells.
    """

    values: NDArray[np.int16]
    coarse: NDArray[np.int16]
    fine: NDArray[np.int16]

    @classmethod
    def of(cls, text: bytes) -> _Hash:
        values = np.frombuffer(text, np.uint8).astype(np.int16)
        half, pair = HASH_SIDE // 2, HASH_FRAMES // 2
        coarse = values.reshape(2, pair, 2, half, 2, half, 3).sum(axis=(1, 3, 5), dtype=np.int32)
        fine = values.reshape(pair, 2, half, 2, half, 2, 3).sum(axis=(1, 3, 5), dtype=np.int16)
        units = (coarse.reshape(-1) // _COARSE_UNIT).astype(np.int16)
        return cls(values, units, fine.reshape(-1))
