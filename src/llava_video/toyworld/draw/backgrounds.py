"""The places where things happen, painted as functions of world coordinates.

Colours are pale, so that the actors stand out. Every place reaches beyond the picture on all sides:
the camera may move.
"""

from __future__ import annotations

import random
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]
Colour = tuple[float, float, float]


_LARGEST_KEPT_PIXELS = 300_000  # larger pictures are painted anew every time


def paint_background(
    scene: str,
    variant: int,
    height: int,
    width: int,
    *,
    left: float = 0.0,
    top: float = 0.0,
    pixels_per_unit: float = 0.0,
) -> NDArray[np.uint8]:
    """The empty scene.

    Args:
        scene: one of `llava_video.toyworld.words.SCENES`.
        variant: tells apart scenes of the same kind; any number.
        height: rows.
        width: columns.
        left: x of the left edge, in heights of the unmoved picture.
        top: y of the top edge.
        pixels_per_unit: scale; by default the height, which shows the unmoved picture.

    Returns:
        (H, W, 3) uint8; may be shared between calls, not to be written to.
    """
    paint = _paint if height * width <= _LARGEST_KEPT_PIXELS else _paint.__wrapped__
    return paint(scene, variant % 32, height, width, left, top, pixels_per_unit or height)


@lru_cache(maxsize=256)
def _paint(
    scene: str, variant: int, height: int, width: int, left: float, top: float, scale: float
) -> NDArray[np.uint8]:
    painting = _Painting(height, width, left, top, scale)
    _PAINTERS[scene](painting, random.Random(f"{scene} {variant}"))
    levels: NDArray[np.uint8] = np.clip(painting.picture + 0.5, 0, 255).astype(np.uint8)
    return levels


class _Painting:
    """A canvas with the few brushes that the scenes need. All edges are smoothed over a pixel."""

    def __init__(self, height: int, width: int, left: float, top: float, scale: float) -> None:
        self.left, self.top, self.scale = left, top, scale
        self.y = (top + (np.arange(height)[:, None] + 0.5) / scale).astype(np.float32)
        self.x = (left + (np.arange(width)[None, :] + 0.5) / scale).astype(np.float32)
        self.picture = np.zeros((height, width, 3), dtype=np.float32)

    def fade(self, top: Colour, bottom: Colour) -> None:
        """One colour at y = 0, another one at y = 1."""
        down = np.clip(self.y, 0.0, 1.0)[..., None]
        self.picture[:] = (
            np.array(top, np.float32) * (1 - down) + np.array(bottom, np.float32) * down
        )

    def box(self, x: float, y: float, width: float, height: float, colour: Colour) -> None:
        """Paint a box around (x, y)."""
        part, across, down = self._around(x, y, width / 2, height / 2)
        distance = np.maximum(np.abs(across) - width / 2, np.abs(down) - height / 2)
        self._fill(part, distance, colour)

    def disc(self, x: float, y: float, radius: float, colour: Colour) -> None:
        """Paint a disc around (x, y)."""
        part, across, down = self._around(x, y, radius, radius)
        self._fill(part, np.sqrt(across * across + down * down) - radius, colour)

    def ground(
        self,
        y: float,
        colour: Colour,
        *,
        wave: float = 0.0,
        length: float = 1.0,
        phase: float = 0.0,
    ) -> None:
        """Paint everything below a line, straight or wavy."""
        self._fill(np.s_[:, :], self._line(y, wave, length, phase) - self.y, colour)

    def crest(self, y: float, colour: Colour, *, wave: float, length: float, phase: float) -> None:
        """Paint a thin wavy line."""
        away = np.abs(self._line(y, wave, length, phase) - self.y) - 0.005
        self._fill(np.s_[:, :], away, colour, 0.7)

    def _line(self, y: float, wave: float, length: float, phase: float) -> Array:
        line: Array = y + wave * np.sin(2 * np.pi * (self.x / np.float32(length) + phase))
        return line

    def _around(
        self, x: float, y: float, half_width: float, half_height: float
    ) -> tuple[tuple[slice, slice], Array, Array]:
        """The part of the picture near (x, y), and how far its pixels are from there."""
        rows, columns = (
            slice(
                max(0, int((centre - half - start) * self.scale) - 1),
                max(0, int((centre + half - start) * self.scale) + 2),
            )
            for centre, half, start in ((y, half_height, self.top), (x, half_width, self.left))
        )
        return (rows, columns), self.x[:, columns] - x, self.y[rows] - y

    def _fill(
        self, part: tuple[slice, slice], distance: Array, colour: Colour, strength: float = 1.0
    ) -> None:
        """Paint the inside of an outline, given as a signed distance for a part of the picture."""
        coverage = np.clip(0.5 - distance * self.scale, 0.0, strength)[..., None]
        below = self.picture[part]
        below += coverage.astype(np.float32) * (np.array(colour, dtype=np.float32) - below)


def _studio(painting: _Painting, rng: random.Random) -> None:
    """A plain grey wall, lit from one side."""
    level = rng.uniform(60, 105)
    light = rng.uniform(-20, 20) * (painting.x - 0.5) + rng.uniform(-20, 20) * (painting.y - 0.5)
    tint = np.array([rng.uniform(0.93, 1.07) for _ in range(3)], dtype=np.float32)
    painting.picture[:] = (level + light)[..., None] * tint


def _room(painting: _Painting, rng: random.Random) -> None:
    """A wall with a window and a picture, and a wooden floor."""
    painting.fade((196, 186, 170), (172, 160, 142))
    floor = rng.uniform(0.76, 0.84)
    painting.ground(floor, (126, 98, 76))
    for plank in range(1, 8):
        painting.box(0.5, floor + 0.12 * plank, 9.0, 0.006, (104, 80, 62))
    painting.box(0.5, floor, 9.0, 0.02, (98, 82, 70))
    for centre in (rng.uniform(0.15, 0.35), rng.uniform(1.3, 1.5), rng.uniform(-0.9, -0.7)):
        painting.box(centre, 0.32, 0.3, 0.36, (112, 92, 74))
        painting.box(centre, 0.32, 0.26, 0.32, (176, 204, 222))
        painting.box(centre, 0.32, 0.26, 0.012, (112, 92, 74))
        painting.box(centre, 0.32, 0.012, 0.32, (112, 92, 74))
    picture = rng.uniform(0.7, 0.85)
    painting.box(picture, 0.3, 0.2, 0.16, (90, 74, 60))
    painting.box(picture, 0.3, 0.17, 0.13, (150, 160, 140))


def _meadow(painting: _Painting, rng: random.Random) -> None:
    """Grass, hills, a few trees and the sun."""
    painting.fade((150, 190, 224), (206, 220, 224))
    painting.disc(rng.uniform(0.1, 0.9), 0.12, 0.07, (246, 236, 190))
    phase = rng.random()
    painting.ground(0.56, (142, 172, 132), wave=0.05, length=0.9, phase=phase)
    painting.ground(0.66, (122, 154, 104), wave=0.02, length=1.4, phase=phase)
    for step in range(-2, 4):
        x = step * 0.55 + rng.uniform(0.0, 0.3)
        painting.box(x, 0.6, 0.025, 0.16, (104, 84, 66))
        painting.disc(x, 0.48, rng.uniform(0.06, 0.1), (98, 132, 92))


def _street(painting: _Painting, rng: random.Random) -> None:
    """Houses with windows behind a road."""
    painting.fade((186, 196, 206), (206, 206, 204))
    x = -1.6 + rng.uniform(0.0, 0.2)
    while x < 3.4:
        width, roof = rng.uniform(0.26, 0.4), rng.uniform(0.12, 0.36)
        grey = rng.uniform(132, 170)
        wall = (grey + rng.uniform(0, 14), grey, grey - rng.uniform(0, 14))
        painting.box(x + width / 2, (roof + 0.74) / 2, width, 0.74 - roof, wall)
        for column in (0.28, 0.72):
            for row in range(int((0.66 - roof) / 0.14)):
                y = roof + 0.1 + 0.14 * row
                painting.box(x + width * column, y, 0.07, 0.07, (108, 118, 130))
        x += width + 0.01
    painting.ground(0.72, (160, 158, 154))
    painting.ground(0.78, (96, 98, 102))
    for dash in range(-6, 14):
        painting.box(dash * 0.25, 0.89, 0.12, 0.018, (196, 192, 176))


def _night(painting: _Painting, rng: random.Random) -> None:
    """A dark sky with stars and the moon over dark ground."""
    painting.fade((20, 24, 48), (46, 50, 80))
    for _ in range(70):
        x, y = rng.uniform(-1.0, 2.6), rng.uniform(-0.6, 0.7)
        painting.disc(x, y, 0.004, (190, 190, 170))
    moon = rng.uniform(0.15, 0.85)
    painting.disc(moon, 0.16, 0.08, (216, 214, 196))
    painting.disc(moon + 0.035, 0.145, 0.065, (26, 30, 56))
    painting.ground(0.8, (34, 40, 44), wave=0.02, length=1.1, phase=rng.random())


def _water(painting: _Painting, rng: random.Random) -> None:
    """Water with waves up to the horizon, a sandy shore in front."""
    painting.fade((186, 206, 220), (214, 220, 222))
    horizon = rng.uniform(0.3, 0.36)
    painting.ground(horizon, (104, 148, 172))
    for row in range(1, 7):
        y = horizon + 0.085 * row
        painting.crest(y, (150, 186, 202), wave=0.012, length=0.22, phase=rng.random())
    painting.ground(0.88, (198, 184, 150), wave=0.02, length=1.6, phase=rng.random())
    boat = rng.uniform(0.2, 0.8)
    painting.box(boat, horizon - 0.005, 0.09, 0.022, (96, 82, 72))
    painting.box(boat, horizon - 0.045, 0.03, 0.06, (226, 222, 214))


_PAINTERS = {
    "studio": _studio,
    "room": _room,
    "meadow": _meadow,
    "street": _street,
    "night": _night,
    "water": _water,
}
