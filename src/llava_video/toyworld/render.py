"""Draw a performed script. The same picture at every size: edges are smoothed by pixel coverage."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from llava_video.errors import InputError
from llava_video.toyworld.backgrounds import paint_background
from llava_video.toyworld.script import SCENE, Script
from llava_video.toyworld.shapes import SIGNED_DISTANCES
from llava_video.toyworld.stage import Stage, perform
from llava_video.types import Frames

DEFAULT_FPS = 10.0
_OUTLINE = 0.1  # width of the darker rim, in radii

Size = int | tuple[int, int]


def num_frames_of(script: Script, fps: float = DEFAULT_FPS) -> int:
    """How many frames the video of a script has at this rate."""
    return max(1, round(script.duration_seconds * fps))


def render(script: Script, num_frames: int, size: Size = 64, *, fps: float = DEFAULT_FPS) -> Frames:
    """Frames of the script's video, sampled uniformly, without making the video.

    The moments are those of frames ``linspace(0, last, num_frames)`` of the video at this rate, as
    the released LLaVA-Video code samples a file; only these are drawn.

    Args:
        script: what happens.
        num_frames: how many frames, T.
        size: the shorter side in pixels, or (width, height).
        fps: frame rate of the video the frames would come from.
    """
    last = num_frames_of(script, fps) - 1
    indices = np.linspace(0, last, num_frames, dtype=int).astype(np.int64)
    times = indices / fps
    return Frames(
        pixels=render_at(script, times, size, frame_numbers=indices),
        timestamps_seconds=times,
        indices=indices,
        duration_seconds=(last + 1) / fps,
        source=f"toyworld {script.level} {script.seed}",
    )


def render_at(
    script: Script,
    times_seconds: NDArray[np.float64],
    size: Size,
    *,
    frame_numbers: NDArray[np.int64] | None = None,
) -> NDArray[np.uint8]:
    """Pictures of the script at given moments.

    Args:
        script: what happens.
        times_seconds: (T,) moments.
        size: the shorter side in pixels, or (width, height).
        frame_numbers: (T,) which noise each frame gets; by default its position in the call.

    Returns:
        (T, H, W, 3) uint8.
    """
    height, width = picture_shape(script, size)
    stage = perform(script, times_seconds)
    cuts = script.of(SCENE, "cut")
    canvas = np.empty((len(times_seconds), height, width, 3), dtype=np.uint8)
    for shot, cut in enumerate(cuts):
        canvas[stage.shot == shot] = paint_background(cut.value, script.seed + shot, height, width)
    for index, actor in enumerate(script.actors):
        _draw(canvas, stage, index, actor.shape)
    if script.noise:
        numbers = np.arange(len(canvas)) if frame_numbers is None else frame_numbers
        _add_noise(canvas, script.noise * min(1.0, height / 256), script.seed, numbers)
    return canvas


def picture_shape(script: Script, size: Size) -> tuple[int, int]:
    """Height and width in pixels of a picture whose shorter side, or (width, height), is `size`."""
    if isinstance(size, int):
        shorter = min(1.0, script.aspect)
        return round(size / shorter), round(size * script.aspect / shorter)
    width, height = size
    if abs(width - height * script.aspect) > 1.0:
        raise InputError(
            f"a picture of {width} x {height} does not fit a script of aspect {script.aspect:.3f}; "
            f"use {round(height * script.aspect)} x {height}"
        )
    return height, width


def _draw(canvas: NDArray[np.uint8], stage: Stage, index: int, shape: str) -> None:
    """Draw one actor onto all frames, in place. The masks of all frames are made together."""
    height, width = canvas.shape[1:3]
    # Columns: centre x, centre y, radius in pixels; opacity; colour.
    state = np.column_stack(
        [
            stage.x[index] * height,
            stage.y[index] * height,
            stage.size[index] * (0.5 * height),
            stage.opacity[index],
            stage.colour[index],
        ]
    )
    reach = state[:, 2] + 1.0
    shown = (
        (state[:, 3] > 0)
        & (np.abs(state[:, 0] - width / 2) < width / 2 + reach)
        & (np.abs(state[:, 1] - height / 2) < height / 2 + reach)
    )
    frames = np.flatnonzero(shown)
    if len(frames) == 0:
        return
    state = state[frames]
    # Frames in which nothing changed share one mask.
    is_new = np.ones(len(frames), dtype=bool)
    is_new[1:] = (state[1:] != state[:-1]).any(axis=1)
    mask_of = np.cumsum(is_new) - 1
    left, top, keep, paint = _sprites(state[is_new], shape)
    side = keep.shape[1]
    for frame, mask in zip(frames.tolist(), mask_of.tolist(), strict=True):
        x, y = left[mask], top[mask]
        x0, y0 = max(0, x), max(0, y)
        x1, y1 = min(width, x + side), min(height, y + side)
        window = canvas[frame, y0:y1, x0:x1]
        part = np.s_[mask, y0 - y : y1 - y, x0 - x : x1 - x]
        window[...] = window * keep[part] + paint[part]


def _sprites(
    state: NDArray[np.float64], shape: str
) -> tuple[list[int], list[int], NDArray[np.float32], NDArray[np.float32]]:
    """Masks of one actor in K states.

    Returns:
        left and top pixel of each window; (K, S, S, 1) how much of the background stays; and
        (K, S, S, 3) the paint to add to it, with half a level for rounding.
    """
    centre_x, centre_y, radius, opacity = state[:, :4].T.astype(np.float32)
    half = math.ceil(float(radius.max())) + 1
    left, top = np.floor(centre_x) - half, np.floor(centre_y) - half
    grid = np.arange(2 * half + 1, dtype=np.float32) + np.float32(0.5)
    x = ((grid + (left - centre_x)[:, None]) / radius[:, None])[:, None, :]
    y = ((grid + (top - centre_y)[:, None]) / radius[:, None])[:, :, None]
    x, y = np.broadcast_arrays(x, y)
    distance = SIGNED_DISTANCES[shape](x, y) * radius[:, None, None]
    coverage = np.clip(np.float32(0.5) - distance, 0.0, 1.0) * opacity[:, None, None]
    inside = np.clip(np.float32(0.5) - distance - _OUTLINE * radius[:, None, None], 0.0, 1.0)
    # Lit from the top left; the rim is darker, so that no shape melts into its background.
    light = (np.float32(0.5) + np.float32(0.5) * inside) * (
        np.float32(0.95) - np.float32(0.1) * (x + y)
    )
    colour = state[:, None, None, 4:].astype(np.float32)
    paint = np.minimum(light[..., None] * colour, np.float32(255.0)) * coverage[..., None]
    keep = np.float32(1.0) - coverage[..., None]
    return left.astype(int).tolist(), top.astype(int).tolist(), keep, paint + np.float32(0.5)


def _add_noise(
    canvas: NDArray[np.uint8], level: float, seed: int, numbers: NDArray[np.int64]
) -> None:
    grain = _grain(level)
    picture = canvas[0].size
    for frame, number in zip(canvas, numbers.tolist(), strict=True):
        start = (seed * 7919 + number * 104_729) % (len(grain) - picture)
        noisy = frame.ravel() + grain[start : start + picture]
        frame[...] = np.clip(noisy, 0, 255).reshape(frame.shape)


@lru_cache(maxsize=8)
def _grain(level: float) -> NDArray[np.int16]:
    """A long strip of noise, of which every frame takes a piece; drawing fresh noise costs more."""
    samples = np.random.default_rng(0).standard_normal(8_000_000, dtype=np.float32)
    grain: NDArray[np.int16] = np.rint(samples * level).astype(np.int16)
    return grain
