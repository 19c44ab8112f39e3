"""The places where things happen, painted as functions of world coordinates."""

from __future__ import annotations

import random
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray


@lru_cache(maxsize=64)
def paint_background(scene: str, variant: int, height: int, width: int) -> NDArray[np.uint8]:
    """The empty scene.

    Args:
        scene: one of `llava_video.toyworld.script.SCENES`.
        variant: tells apart scenes of the same kind; any number.
        height: rows.
        width: columns.

    Returns:
        (H, W, 3) uint8; shared between calls, not to be written to.
    """
    y = ((np.arange(height)[:, None] + 0.5) / height).astype(np.float32)
    x = ((np.arange(width)[None, :] + 0.5) / height).astype(np.float32)
    picture = _PAINTERS[scene](x, y, random.Random(f"{scene} {variant % 32}"))
    levels: NDArray[np.uint8] = np.clip(picture + 0.5, 0, 255).astype(np.uint8)
    return levels


def _studio(
    x: NDArray[np.float32], y: NDArray[np.float32], rng: random.Random
) -> NDArray[np.float32]:
    """A plain grey wall, lit from one side."""
    level = rng.uniform(60, 105)
    light = rng.uniform(-20, 20) * (x - 0.5) + rng.uniform(-20, 20) * (y - 0.5)
    tint = np.array([rng.uniform(0.93, 1.07) for _ in range(3)], dtype=np.float32)
    return (level + light)[..., None].astype(np.float32) * tint


_PAINTERS = {"studio": _studio}
