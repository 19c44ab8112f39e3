"""Out-of-domain clips, drawn from noise: what a model of toyworld is trained to refuse.

Like photographs they have texture at every scale, objects of all sizes that occlude each other,
soft and hard edges, and varying light. No real video is used, so that real videos can test the
refusal.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from llava_video.types import Frames

OUT_OF_DOMAIN_ANSWER = "The video is not of toyworld."
"""The target answer to every question about such a clip."""


def noise_clip(seed: int, num_frames: int, size: int) -> Frames:
    """Draw a clip of drifting scenes with flicker, cuts and moving objects.

    Args:
        seed: the same seed gives the same clip.
        num_frames: T.
        size: side of the square pictures, in pixels.
    """
    rng = np.random.default_rng(seed)
    num_scenes = int(rng.choice((1, 1, 1, 2, 3)))
    scenes = [_scene(rng, 2 * size) for _ in range(num_scenes)]
    drift = rng.uniform(-1, 1, (num_scenes, 2)) * rng.choice((0.0, 0.2, 1.0))
    flicker = rng.uniform(0, 0.1)
    grain = rng.uniform(0, 12)
    movers = [_Mover.draw(rng, size) for _ in range(int(rng.choice((0, 0, 1, 2))))]
    bars = int(size * rng.choice((0.0, 0.0, 0.0, rng.uniform(0.05, 0.22))))
    upright = bool(rng.random() < 0.3)
    pictures = np.empty((num_frames, size, size, 3), np.uint8)
    for index in range(num_frames):
        number = index * num_scenes // num_frames
        along = 0.5 + 0.5 * drift[number] * (2 * index / max(num_frames - 1, 1) - 1)
        top, left = np.round(along * size).astype(int)
        view = scenes[number][top : top + size, left : left + size].copy()
        for mover in movers:
            mover.paste(view, index / num_frames)
        light = 1 + flicker * rng.standard_normal()
        noisy = view * light + grain * rng.standard_normal((size, size, 1))
        pictures[index] = noisy.clip(0, 255).astype(np.uint8)
    if bars:  # letterbox or pillarbox
        framed = pictures.swapaxes(1, 2) if upright else pictures
        framed[:, :bars] = framed[:, -bars:] = 0
    return Frames.from_array(pictures)


@dataclass(frozen=True, slots=True)
class _Mover:
    """A soft-edged piece of another scene that crosses the picture."""

    piece: NDArray[np.float64]
    mask: NDArray[np.float64]
    start: NDArray[np.float64]
    way: NDArray[np.float64]

    @classmethod
    def draw(cls, rng: np.random.Generator, size: int) -> _Mover:
        side = int(size * rng.uniform(0.15, 0.6))
        outline = Image.new("L", (side, side))
        ImageDraw.Draw(outline).polygon(_outline(rng, side / 2, side / 2, 0.45 * side), fill=255)
        mask = np.asarray(outline.filter(ImageFilter.GaussianBlur(rng.uniform(0, 1.5))), np.float64)
        return cls(
            _scene(rng, side),
            mask[..., None] / 255,
            rng.uniform(-0.3, 1.0, 2) * size,
            rng.normal(0, 0.5, 2) * size,
        )

    def paste(self, view: NDArray[np.float64], time: float) -> None:
        """Draw it onto a picture, in place; ``time`` goes from 0 to 1."""
        top, left = np.round(self.start + self.way * time).astype(int).tolist()
        side = len(self.piece)
        inside = view[max(0, top) : max(0, top + side), max(0, left) : max(0, left + side)]
        part = np.s_[
            max(0, -top) : max(0, -top) + inside.shape[0],
            max(0, -left) : max(0, -left) + inside.shape[1],
        ]
        inside += (self.piece[part] - inside) * self.mask[part]


def _scene(rng: np.random.Generator, side: int) -> NDArray[np.float64]:
    """A picture (side, side, 3): blended textures, or objects that occlude each other."""
    scene = _texture(rng, side)
    if rng.random() < 0.6:
        scene = _things(rng, scene)
    else:
        for _ in range(int(rng.integers(0, 5))):
            edge = _noise(rng, side, int(rng.choice((2, 3, 5, 9))))[..., None]
            softness = rng.choice((0.01, 0.1, 0.5))
            share = 1 / (1 + np.exp(np.clip(-(edge - rng.normal(0, 0.5)) / softness, -50, 50)))
            scene = scene * (1 - share) + _texture(rng, side) * share
    if rng.random() < 0.5:  # out of focus, or of few pixels
        soft = Image.fromarray(scene.clip(0, 255).astype(np.uint8))
        soft = soft.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 2.5)))
        scene = np.asarray(soft, np.float64)
    grey = scene.mean(axis=-1, keepdims=True)  # most photographs have pale colours
    strength = float(rng.choice((0, 1, *rng.uniform(0.1, 0.7, 3))))
    return np.asarray(grey + (scene - grey) * strength)


def _things(rng: np.random.Generator, scene: NDArray[np.float64]) -> NDArray[np.float64]:
    """Draw objects of all sizes over a scene, small ones more often, each with light and texture.

    This is the "dead leaves" model, which shares many statistics with photographs.
    """
    side = len(scene)
    ways = np.linspace(-1, 1, side)
    grain = rng.standard_normal((side, side, 1))
    colours = rng.uniform(10, 245, (int(rng.integers(2, 7)), 3))
    saturation = rng.uniform(0.1, 1)
    smallest = rng.uniform(0.03, 0.15)
    for _ in range(int(rng.integers(8, 90))):
        radius = side * min(0.6, smallest / np.sqrt(rng.uniform(0.01, 1)))
        outline = Image.new("1", (side, side))
        x, y = rng.uniform(0, side, 2)
        ImageDraw.Draw(outline).polygon(_outline(rng, x, y, radius), fill=1)
        colour = colours[rng.integers(len(colours))] + rng.normal(0, 15, 3)
        colour = colour.mean() + (colour - colour.mean()) * saturation
        light = rng.normal(0, 25) * ways[:, None] + rng.normal(0, 25) * ways[None]
        thing = colour + light[..., None] + rng.uniform(0, 18) * grain
        scene = np.where(np.asarray(outline)[..., None], thing, scene)
    return scene


def _outline(rng: np.random.Generator, x: float, y: float, radius: float) -> list[float]:
    """A polygon around a point, from round to angular, elongated in a random direction."""
    num_corners = int(rng.choice((3, 4, 4, 5, 8, 24)))
    angles = np.sort(rng.uniform(0, 2 * np.pi, num_corners))
    if num_corners in (4, 24):
        angles = np.linspace(0, 2 * np.pi, num_corners, endpoint=False) + rng.uniform(0, np.pi)
    along, across = np.cos(angles) * radius, np.sin(angles) * radius * rng.uniform(0.2, 1)
    turn = rng.uniform(0, np.pi)
    corners_x = x + along * np.cos(turn) - across * np.sin(turn)
    corners_y = y + along * np.sin(turn) + across * np.cos(turn)
    corners: list[float] = np.stack([corners_x, corners_y], axis=1).ravel().tolist()
    return corners


def _texture(rng: np.random.Generator, side: int) -> NDArray[np.float64]:
    """Colour that varies at several scales around a mean."""
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
    """Smooth Gaussian noise (side, side) with ``cells`` cells per side."""
    coarse = Image.fromarray(rng.standard_normal((cells + 1, cells + 1)).astype(np.float32))
    return np.asarray(coarse.resize((side, side), Image.Resampling.BICUBIC), np.float64)
