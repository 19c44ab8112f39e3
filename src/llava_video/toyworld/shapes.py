"""Shapes as signed distances: negative inside, zero on the outline, in units of their radius.

All functions take coordinate arrays of one shape, x to the right and y downwards, and return the
distance of each point. The outline stays inside the unit circle.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


def _circle(x: Array, y: Array) -> Array:
    return np.sqrt(x * x + y * y) - np.float32(0.95)


def _ring(x: Array, y: Array) -> Array:
    return np.abs(np.sqrt(x * x + y * y) - np.float32(0.7)) - np.float32(0.26)


def _square(x: Array, y: Array) -> Array:
    return np.maximum(np.abs(x), np.abs(y)) - np.float32(0.76)


def _triangle(x: Array, y: Array) -> Array:
    side = np.abs(x) * np.float32(np.sqrt(0.75)) - y * np.float32(0.5)
    return np.maximum(side, y) - np.float32(0.5)


def _cross(x: Array, y: Array) -> Array:
    x, y = np.abs(x), np.abs(y)
    long, short = np.maximum(x, y), np.minimum(x, y)
    return np.maximum(long - np.float32(0.95), short - np.float32(0.3))


# A five-pointed star is ten mirror images of one straight edge, from a tip to a notch. The mirrors
# stand at these angles from the upward tip; `_EDGE` is the unit normal of the edge, outwards.
_MIRRORS = [(np.float32(np.cos(a)), np.float32(np.sin(a))) for a in (0.6 * np.pi, 0.2 * np.pi)]
_ALONG = np.array([0.45 * np.sin(0.2 * np.pi), 1.0 - 0.45 * np.cos(0.2 * np.pi)])
_EDGE = np.array([_ALONG[1], -_ALONG[0]], dtype=np.float32) / np.float32(np.linalg.norm(_ALONG))


def _star(x: Array, y: Array) -> Array:
    x = np.abs(x)
    for cosine, sine in _MIRRORS:
        beyond = np.float32(2.0) * np.maximum(x * cosine + y * sine, np.float32(0.0))
        x, y = x - beyond * cosine, y - beyond * sine
    return np.asarray(np.abs(x) * _EDGE[0] + (y + np.float32(1.0)) * _EDGE[1], np.float32)


SIGNED_DISTANCES = {
    "circle": _circle,
    "square": _square,
    "triangle": _triangle,
    "star": _star,
    "cross": _cross,
    "ring": _ring,
}
