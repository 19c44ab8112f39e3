"""Pictures of single actors, to be laid onto frames. All states of an actor are drawn together."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llava_video.toyworld.draw.shapes import REACH, SIGNED_DISTANCES, capsule, letter_distance
from llava_video.toyworld.script import Actor
from llava_video.toyworld.words import COLOURS

Array = NDArray[np.floating[Any]]

# Columns of a state: one row says all that an actor's picture depends on.
X, Y, RADIUS, OPACITY, ANGLE, CROUCH, STRIDE, LEFT_ARM, RIGHT_ARM = range(9)
COLOUR = slice(9, 12)

_OUTLINE = np.float32(0.1)  # width of the darker rim, in radii
_SKIN = np.array([226, 178, 138], dtype=np.float32)
_INK = np.array([20, 20, 24], dtype=np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Sprites:
    """K pictures of one actor, in windows of S x S pixels.

    Attributes:
        left: column of each window's left edge on the frame.
        top: row of each window's top edge.
        keep: (K, S, S, 1) how much of the frame shows through.
        paint: (K, S, S, 3) what to add to it, with half a level for rounding.
    """

    left: list[int]
    top: list[int]
    keep: Array
    paint: Array


def draw_sprites(actor: Actor, states: NDArray[np.float64]) -> Sprites:
    """Draw an actor in K states, (K, 12); positions and radii are in pixels."""
    centre_x, centre_y, radius = states[:, :3].T.astype(np.float32)
    half = math.ceil(REACH * float(radius.max())) + 1
    left, top = np.floor(centre_x) - half, np.floor(centre_y) - half
    grid = np.arange(2 * half + 1, dtype=np.float32) + np.float32(0.5)
    x = ((grid + (left - centre_x)[:, None]) / radius[:, None])[:, None, :]
    y = ((grid + (top - centre_y)[:, None]) / radius[:, None])[:, :, None]
    x, y = np.broadcast_arrays(x, y)
    pixel = np.float32(1.0) / radius[:, None, None]
    layers = (_person if actor.is_person else _shape)(actor, states.astype(np.float32), x, y, pixel)
    coverage, colour = next(layers)
    keep = np.float32(1.0) - coverage
    paint = colour * coverage[..., None]
    for coverage, colour in layers:
        shows = np.float32(1.0) - coverage
        keep = keep * shows
        paint = paint * shows[..., None] + colour * coverage[..., None]
    opacity = states[:, OPACITY].astype(np.float32)[:, None, None, None]
    return Sprites(
        left=left.astype(int).tolist(),
        top=top.astype(int).tolist(),
        keep=np.float32(1.0) - opacity * (np.float32(1.0) - keep[..., None]),
        paint=paint * opacity + np.float32(0.5),
    )


def _cover(distance: Array, pixel: Array) -> Array:
    """How much of each pixel lies inside an outline."""
    return np.clip(np.float32(0.5) - distance / pixel, np.float32(0.0), np.float32(1.0))


def _lit(colour: Array, distance: Array, x: Array, y: Array, pixel: Array) -> Array:
    """A surface lit from the top left. Its rim is darker, so that it stands out anywhere."""
    inside = _cover(distance + _OUTLINE, pixel)
    light = (np.float32(0.5) + np.float32(0.5) * inside) * (
        np.float32(0.95) - np.float32(0.1) * (x + y)
    )
    return np.minimum(light[..., None] * colour, np.float32(255.0))


def _shape(
    actor: Actor, states: Array, x: Array, y: Array, pixel: Array
) -> Iterator[tuple[Array, Array]]:
    """Layers of a shape, (K, S, S) coverage and (K, S, S, 3) colour."""
    turned_x, turned_y = x, y
    angle = states[:, ANGLE, None, None]
    if angle.any():
        cosine, sine = np.cos(angle), np.sin(angle)
        turned_x, turned_y = x * cosine + y * sine, y * cosine - x * sine
    colour = states[:, None, None, COLOUR]
    distance = SIGNED_DISTANCES[actor.shape](turned_x, turned_y)
    yield _cover(distance, pixel), _lit(colour, distance, x, y, pixel)
    if actor.letter:
        bright = colour @ np.array([0.3, 0.6, 0.1], dtype=np.float32) > 110
        letter = letter_distance(actor.letter, turned_x, turned_y)
        yield _cover(letter, pixel), np.where(bright[..., None], _INK, np.float32(250.0))


def _person(
    actor: Actor, states: Array, x: Array, y: Array, pixel: Array
) -> Iterator[tuple[Array, Array]]:
    """Layers of a jointed figure: legs, body, arms, head and hat. A person sits by sinking."""
    crouch, stride = states[:, CROUCH, None, None], states[:, STRIDE, None, None]
    colour = states[:, None, None, COLOUR]
    sink = np.float32(0.36) * crouch
    zero = np.zeros_like(crouch)
    for side in (-1.0, 1.0):
        hip = (zero + side * 0.1, 0.24 + sink)
        foot = (side * (0.15 + 0.35 * crouch + 0.28 * np.sin(stride)), zero + 0.84)
        yield _cover(capsule(x, y, hip, foot, 0.1), pixel), colour * np.float32(0.45)
    body = capsule(x, y, (zero, sink - 0.3), (zero, sink + 0.18), 0.22)
    yield _cover(body, pixel), _lit(colour, body, x, y, pixel)
    for side, column in ((-1.0, LEFT_ARM), (1.0, RIGHT_ARM)):
        bend = states[:, column, None, None] + np.float32(0.3)
        shoulder = (zero + side * 0.22, sink - 0.38)
        hand = (shoulder[0] + side * 0.48 * np.sin(bend), shoulder[1] + 0.48 * np.cos(bend))
        yield _cover(capsule(x, y, shoulder, hand, 0.075), pixel), colour * np.float32(0.75)
    head = capsule(x, y, (zero, sink - 0.7), (zero, sink - 0.7), 0.24)
    yield _cover(head, pixel), _lit(_SKIN, head, x, y, pixel)
    if actor.hat:
        crown = np.maximum(head - np.float32(0.04), y - sink + np.float32(0.76))
        brim = capsule(x, y, (zero - 0.3, sink - 0.76), (zero + 0.3, sink - 0.76), 0.06)
        hat = np.minimum(crown, brim)
        yield _cover(hat, pixel), np.array(COLOURS[actor.hat], dtype=np.float32)
