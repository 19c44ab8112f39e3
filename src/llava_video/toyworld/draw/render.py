"""Draw a performed script. The same picture at every size: edges are smoothed by pixel coverage."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from llava_video.errors import InputError
from llava_video.toyworld.draw.backgrounds import paint_background
from llava_video.toyworld.draw.shapes import REACH
from llava_video.toyworld.draw.sprites import COLOUR, OPACITY, RADIUS, X, Y, draw_sprites
from llava_video.toyworld.script import CAMERA, SCENE, Script
from llava_video.toyworld.stage import Stage, perform
from llava_video.types import Frames

DEFAULT_FPS = 10.0

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
    indices = _spread_indices(script, num_frames, fps)
    times = indices / fps
    return Frames(
        pixels=render_at(script, times, size, frame_numbers=indices),
        timestamps_seconds=times,
        indices=indices,
        duration_seconds=num_frames_of(script, fps) / fps,
        source=f"toyworld {script.level} {script.seed}",
    )


def times_of(script: Script, num_frames: int, *, fps: float = DEFAULT_FPS) -> NDArray[np.float64]:
    """``(T,)`` seconds at which `render` draws its frames."""
    return _spread_indices(script, num_frames, fps) / fps


def _spread_indices(script: Script, num_frames: int, fps: float) -> NDArray[np.int64]:
    last = num_frames_of(script, fps) - 1
    return np.linspace(0, last, num_frames, dtype=int).astype(np.int64)


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
    canvas = _empty_stage(script, stage, height, width)
    for index in range(len(script.actors)):
        _draw_actor(canvas, script, stage, index)
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


def _empty_stage(script: Script, stage: Stage, height: int, width: int) -> NDArray[np.uint8]:
    """The scenes as the camera sees them, (T, H, W, 3), without actors."""
    canvas = np.empty((len(stage.shot), height, width, 3), dtype=np.uint8)
    at_home = (stage.zoom == 1.0) & (stage.camera_x == script.aspect / 2) & (stage.camera_y == 0.5)
    for shot, cut in enumerate(script.of(SCENE, "cut")):
        variant = script.seed + shot
        in_shot = stage.shot == shot
        canvas[in_shot & at_home] = paint_background(cut.value, variant, height, width)
        away = np.flatnonzero(in_shot & ~at_home)
        if len(away):
            _film_panorama(canvas, away, script, stage, (cut.value, variant))
    return canvas


def _film_panorama(
    canvas: NDArray[np.uint8],
    frames: NDArray[np.int64],
    script: Script,
    stage: Stage,
    scene: tuple[str, int],
) -> None:
    """Cut the views of a moving camera out of one large picture."""
    height, width = canvas.shape[1:3]
    # All that any camera position of the script shows, so that one panorama serves all its frames.
    moments = np.array(
        [time for e in script.of(CAMERA) for time in (e.start_seconds, e.end_seconds)]
    )
    everywhere = perform(script, moments)
    tall = 0.5 / everywhere.zoom
    wide = tall * script.aspect
    left = float((everywhere.camera_x - wide).min()) - 0.05
    top = float((everywhere.camera_y - tall).min()) - 0.05
    right = float((everywhere.camera_x + wide).max()) + 0.05
    bottom = float((everywhere.camera_y + tall).max()) + 0.05
    scale = height * max(1.0, float(everywhere.zoom.max()))
    panorama = Image.fromarray(
        paint_background(
            *scene,
            math.ceil((bottom - top) * scale),
            math.ceil((right - left) * scale),
            left=left,
            top=top,
            pixels_per_unit=scale,
        )
    )
    for frame in frames.tolist():
        half_height = 0.5 / stage.zoom[frame]
        half_width = half_height * width / height
        x, y = stage.camera_x[frame] - left, stage.camera_y[frame] - top
        box = (x - half_width, y - half_height, x + half_width, y + half_height)
        view = panorama.resize(
            (width, height),
            Image.Resampling.BILINEAR,
            box=tuple(float(edge) * scale for edge in box),
        )
        canvas[frame] = np.asarray(view)


def _draw_actor(canvas: NDArray[np.uint8], script: Script, stage: Stage, index: int) -> None:
    """Draw one actor onto all frames, in place."""
    height, width = canvas.shape[1:3]
    scale = stage.zoom * height
    states = np.empty((len(canvas), COLOUR.stop))
    states[:, X] = (stage.x[index] - stage.camera_x) * scale + width / 2
    size, hop = stage.size[index], stage.hop[index]
    states[:, Y] = (stage.y[index] - hop * size - stage.camera_y) * scale + height / 2
    states[:, RADIUS] = size * (0.5 * scale)
    states[:, OPACITY] = stage.opacity[index]
    states[:, OPACITY + 1 : COLOUR.start] = np.column_stack(
        (stage.angle[index], stage.crouch[index], stage.stride[index], stage.arms[index])
    )
    states[:, COLOUR] = stage.colour[index]
    reach = REACH * states[:, RADIUS] + 1.0
    frames = np.flatnonzero(
        (states[:, OPACITY] > 0)
        & (np.abs(states[:, X] - width / 2) < width / 2 + reach)
        & (np.abs(states[:, Y] - height / 2) < height / 2 + reach)
    )
    if len(frames) == 0:
        return
    states = states[frames]
    # Frames in which nothing changed share one sprite.
    is_new = np.ones(len(frames), dtype=bool)
    is_new[1:] = (states[1:] != states[:-1]).any(axis=1)
    sprite_of = np.cumsum(is_new) - 1
    sprites = draw_sprites(script.actors[index], states[is_new])
    side = sprites.keep.shape[1]
    for frame, sprite in zip(frames.tolist(), sprite_of.tolist(), strict=True):
        x, y = sprites.left[sprite], sprites.top[sprite]
        x0, y0 = max(0, x), max(0, y)
        x1, y1 = min(width, x + side), min(height, y + side)
        window = canvas[frame, y0:y1, x0:x1]
        part = np.s_[sprite, y0 - y : y1 - y, x0 - x : x1 - x]
        window[...] = window * sprites.keep[part] + sprites.paint[part]


def _add_noise(
    canvas: NDArray[np.uint8], level: float, seed: int, numbers: NDArray[np.int64]
) -> None:
    """Add noise of this standard deviation to every frame, in place."""
    num_values = canvas[0].size
    grain = _grain()
    if len(grain) < 2 * num_values:
        grain = np.resize(grain, 2 * num_values)
    for frame, number in zip(canvas, numbers.tolist(), strict=True):
        start = (seed * 7919 + number * 104_729) % (len(grain) - num_values)
        noisy = grain[start : start + num_values] * np.float32(level)
        np.rint(noisy, out=noisy)
        noisy += frame.reshape(-1)
        np.clip(noisy, 0, 255, out=noisy)
        frame[...] = noisy.reshape(frame.shape)


@lru_cache(maxsize=1)
def _grain() -> NDArray[np.float32]:
    """A long strip of noise, of which every frame takes a piece; drawing fresh noise costs more."""
    return np.random.default_rng(0).standard_normal(8_000_000, dtype=np.float32)
