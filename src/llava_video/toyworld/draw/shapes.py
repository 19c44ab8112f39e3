"""Shapes as signed distances: negative inside, zero on the outline, in units of their radius.

All functions take coordinate arrays of one shape, x to the right and y downwards, and return the
distance of each point. The outline stays within `REACH`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]

REACH = 1.08  # how far the outermost points are from the centre: the corners of the square


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


SIGNED_DISTANCES: dict[str, Callable[[Array, Array], Array]] = {
    "circle": _circle,
    "square": _square,
    "triangle": _triangle,
    "star": _star,
    "cross": _cross,
    "ring": _ring,
}


def capsule(
    x: Array, y: Array, start: tuple[Any, Any], end: tuple[Any, Any], radius: float
) -> Array:
    """A thick line with round ends; its points are numbers, or (K, 1, 1) for K pictures."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    along = ((x - start[0]) * dx + (y - start[1]) * dy) / np.maximum(dx * dx + dy * dy, 1e-9)
    along = np.clip(along, 0.0, 1.0)
    away_x, away_y = x - start[0] - along * dx, y - start[1] - along * dy
    return np.asarray(np.sqrt(away_x * away_x + away_y * away_y) - radius, np.float32)


# Letters as strokes between points of a box that reaches from -1 to 1.
_STROKES: dict[str, tuple[tuple[float, float, float, float], ...]] = {
    "E": ((-0.7, -1, -0.7, 1), (-0.7, -1, 0.7, -1), (-0.7, 0, 0.5, 0), (-0.7, 1, 0.7, 1)),
    "H": ((-0.7, -1, -0.7, 1), (0.7, -1, 0.7, 1), (-0.7, 0, 0.7, 0)),
    "L": ((-0.6, -1, -0.6, 1), (-0.6, 1, 0.7, 1)),
    "N": ((-0.7, 1, -0.7, -1), (-0.7, -1, 0.7, 1), (0.7, 1, 0.7, -1)),
    "T": ((-0.8, -1, 0.8, -1), (0, -1, 0, 1)),
    "V": ((-0.8, -1, 0, 1), (0, 1, 0.8, -1)),
    "X": ((-0.7, -1, 0.7, 1), (-0.7, 1, 0.7, -1)),
    "Z": ((-0.7, -1, 0.7, -1), (0.7, -1, -0.7, 1), (-0.7, 1, 0.7, 1)),
}
_LETTER_SIZE = 0.4  # half height of a letter, in radii of its shape


def letter_distance(letter: str, x: Array, y: Array) -> Array:
    """One of the letters that shapes wear in their middle."""
    x, y = x / np.float32(_LETTER_SIZE), y / np.float32(_LETTER_SIZE)
    strokes = [capsule(x, y, (x0, y0), (x1, y1), 0.24) for x0, y0, x1, y1 in _STROKES[letter]]
    nearest: Array = np.minimum.reduce(strokes) * np.float32(_LETTER_SIZE)
    return nearest
