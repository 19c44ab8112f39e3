"""Clips that do not look like toyworld, drawn from noise: what a model of toyworld should refuse.

Photographs of things have texture on every scale, soft and hard edges, and light that varies; so do
these. No real video is used, so that real videos can tell how well it works.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from llava_video.types import Frames

FOREIGN_ANSWER = "The video is not of toyworld."
"""What the model says of such a clip, whatever the question."""


def foreign_clip(seed: int, num_frames: int, size: int) -> Frames:
    """A clip of layered textures that drift, change their light, and may cut to another scene.

    Args:
        seed: the same clip for the same seed.
        num_frames: T.
        size: side of the square pictures, in pixels.
    """
    rng = np.random.default_rng(seed)
    num_scenes = int(rng.choice((1, 1, 1, 2, 3)))
    scenes = [_scene(rng, 2 * size) for _ in range(num_scenes)]
    drift = rng.uniform(-1, 1, (num_scenes, 2)) * rng.choice((0.0, 0.2, 1.0))
    flicker = rng.uniform(0, 0.1)
    grain = rng.uniform(0, 12)
    pictures = np.empty((num_frames, size, size, 3), np.uint8)
    for index in range(num_frames):
        number = index * num_scenes // num_frames
        along = 0.5 + 0.5 * drift[number] * (2 * index / max(num_frames - 1, 1) - 1)
        top, left = np.round(along * size).astype(int)
        view = scenes[number][top : top + size, left : left + size]
        light = 1 + flicker * rng.standard_normal()
        noisy = view * light + grain * rng.standard_normal((size, size, 1))
        pictures[index] = noisy.clip(0, 255).astype(np.uint8)
    return Frames.from_array(pictures)


def _scene(rng: np.random.Generator, side: int) -> NDArray[np.float64]:
    """A picture (side, side, 3) of a few textures, cut into each other along soft or hard edges."""
    scene = _texture(rng, side)
    for _ in range(int(rng.integers(0, 5))):
        edge = _noise(rng, side, int(rng.choice((2, 3, 5, 9))))[..., None]
        softness = rng.choice((0.01, 0.1, 0.5))
        share = 1 / (1 + np.exp(np.clip(-(edge - rng.normal(0, 0.5)) / softness, -50, 50)))
        scene = scene * (1 - share) + _texture(rng, side) * share
    return scene


def _texture(rng: np.random.Generator, side: int) -> NDArray[np.float64]:
    """Colour that varies over a few scales around a mean."""
    mean = rng.uniform(20, 235, 3)
    tint = rng.uniform(0, 1)  # from grey variation to one of all colours
    texture = np.tile(mean, (side, side, 1))
    for cells in (2, 4, 8, 16, 32, 64):
        strength = rng.uniform(0, 50) * rng.choice((0, 1, 1))
        grey = _noise(rng, side, cells)[..., None]
        colours = np.stack([_noise(rng, side, cells) for _ in range(3)], axis=-1)
        texture += strength * ((1 - tint) * grey + tint * colours)
    return texture


def _noise(rng: np.random.Generator, side: int, cells: int) -> NDArray[np.float64]:
    """Smooth normal noise (side, side) with so many cells along a side."""
    coarse = Image.fromarray(rng.standard_normal((cells + 1, cells + 1)).astype(np.float32))
    return np.asarray(coarse.resize((side, side), Image.Resampling.BICUBIC), np.float64)
