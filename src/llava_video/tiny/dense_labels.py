"""Dense labels: what each patch of a frame and each video token of a toyworld clip shows.

Class 0 is "none"; the others count from 1 in the order of toyworld's words.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from llava_video.errors import RepresentationError
from llava_video.representation import TokenLayout
from llava_video.toyworld import COLOURS, DIRECTIONS, SHAPES, Script
from llava_video.toyworld.script import CAMERA, SCENE, VERBS
from llava_video.toyworld.stage import Stage, perform
from llava_video.toyworld.words import LETTERS_ON_SHAPES, PERSON, SCENES

Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]

KINDS = (*SHAPES, PERSON)
DEEDS = tuple(verb for verb, rule in VERBS.items() if rule.who == "actor" and verb != "stand")
CAMERA_MOVES = (*DIRECTIONS, "in", "out")


def _numbers(words: Iterable[str]) -> dict[str, int]:
    """Class indices of words, from 1; 0 for none."""
    return {word: number for number, word in enumerate(["", *words])}


_COLOUR, _LETTER, _PLACE = _numbers(COLOURS), _numbers(LETTERS_ON_SHAPES), _numbers(SCENES)
_KIND, _DEED, _FILM = _numbers(KINDS), _numbers(DEEDS), _numbers(CAMERA_MOVES)

PATCH_CLASSES = {
    "colour": len(COLOURS),
    "shape": len(KINDS),
    "letter": len(LETTERS_ON_SHAPES),
    "hat": len(COLOURS),
}
"""Columns of the classes of a patch, and the highest number of each."""

NUM_MEASURES = 6
"""Regression targets of a patch: offset of the actor's centre (2), size, crouch, arms (2)."""

TOKEN_CLASSES = {
    "colour": len(COLOURS),
    "shape": len(KINDS),
    "direction": len(DIRECTIONS),
    "deed": len(DEEDS),
    "place": len(SCENES),
    "camera": len(CAMERA_MOVES),
}
"""Columns of the classes of a video token, and the highest number of each."""

_LEAST_OPACITY = 0.3
_LEAST_WAY = 0.04
"""Distance, in picture heights, below which an actor counts as still."""
_ARM_UP = 2.5  # radians


@dataclass(frozen=True, slots=True, eq=False)
class _View:
    """Actors in the picture: all (A, T), in picture heights from the top left corner."""

    x: Floats
    y: Floats
    size: Floats
    there: NDArray[np.bool_]
    colour: Numbers


class PatchLabels(NamedTuple):
    """Labels of the patches of T frames.

    Attributes:
        classes: (T, M, 4), columns as in `PATCH_CLASSES`.
        measures: (T, M, `NUM_MEASURES`); 0 where no actor is.
        place: (T,) the place shown; 0 for noise clips.
    """

    classes: Numbers
    measures: Floats
    place: Numbers


def empty_labels(num_frames: int, num_patches: int) -> PatchLabels:
    """Labels of noise clips."""
    return PatchLabels(
        np.zeros((num_frames, num_patches, len(PATCH_CLASSES)), np.int64),
        np.zeros((num_frames, num_patches, NUM_MEASURES)),
        np.zeros(num_frames, np.int64),
    )


def patch_labels(script: Script, times_seconds: Floats, grid_side: int) -> PatchLabels:
    """Label each patch of square frames at T times with the actor whose centre is nearest."""
    stage = perform(script, times_seconds)
    view = _view(script, stage)
    middles = (np.arange(grid_side) + 0.5) / grid_side
    patch_x, patch_y = np.meshgrid(middles, middles)
    dx = view.x[:, :, None] - patch_x.ravel()  # (A, T, M)
    dy = view.y[:, :, None] - patch_y.ravel()
    distance = np.hypot(dx, dy)
    here = np.asarray(distance < view.size[:, :, None] / 2) & view.there[:, :, None]
    who = np.where(here, distance, np.inf).argmin(axis=0)[None]  # (1, T, M)
    covered = np.expand_dims(here.any(axis=0), -1)
    measures = np.stack(
        [
            dx,
            dy,
            *(
                np.broadcast_to(of_actor[:, :, None], dx.shape)
                for of_actor in (
                    view.size,
                    stage.crouch,
                    stage.arms[..., 0] / _ARM_UP,
                    stage.arms[..., 1] / _ARM_UP,
                )
            ),
        ],
        axis=-1,
    )  # (A, T, M, 6)
    fixed = np.array([[_KIND[a.shape], _LETTER[a.letter], _COLOUR[a.hat]] for a in script.actors])
    shown = who[0]
    colour = np.take_along_axis(view.colour, shown.T, axis=0).T
    classes = np.concatenate([colour[..., None], fixed[shown]], axis=-1)
    return PatchLabels(
        np.where(covered, classes, 0),
        np.where(covered, np.take_along_axis(measures, who[..., None], axis=0)[0], 0.0),
        _places(script, stage),
    )


def token_labels(script: Script, times_seconds: Floats, layout: TokenLayout) -> Numbers:
    """Label each video token: (V, 6), columns as in `TOKEN_CLASSES`.

    A token is labelled with the actor nearest to the middle of its cell that reaches into it: its
    current colour, its last direction, and the deed it began last. The place and the last camera
    move are the same for all tokens of a frame.

    Raises:
        RepresentationError: the layout selects tokens, of which only the video says which.
    """
    if layout.num_tokens < layout.num_packed_tokens:
        raise RepresentationError(
            f"dense labels are for all tokens, not for {layout.representation.selection}; train "
            "without a selection"
        )
    stage = perform(script, times_seconds)
    view = _view(script, stage)
    shape = np.array([_KIND[actor.shape] for actor in script.actors])
    directions, deeds = _directions(view, stage.shot), _deeds(script, stage)
    places, camera_moves = _places(script, stage), _camera_moves(script, stage)
    labels = np.zeros((layout.num_tokens, len(TOKEN_CLASSES)), np.int64)
    for block in layout.blocks():
        frame, side = block.frame, layout.grid(block.slow).rows
        middles = (np.arange(side) + 0.5) / side
        cell_x, cell_y = np.meshgrid(middles, middles)
        dx = np.abs(view.x[:, frame, None] - cell_x.ravel())  # (A, tokens)
        dy = np.abs(view.y[:, frame, None] - cell_y.ravel())
        reach = (0.5 / side + view.size[:, frame] / 4)[:, None]
        here = (dx < reach) & (dy < reach) & view.there[:, frame, None]
        who = np.where(here, np.hypot(dx, dy), np.inf).argmin(axis=0)
        of_actor = np.stack(
            [view.colour[:, frame], shape, directions[:, frame], deeds[:, frame]], axis=1
        )
        found = np.where(np.expand_dims(here.any(axis=0), -1), of_actor[who], 0)
        tokens = slice(block.first_token, block.first_token + len(found))
        labels[tokens, :4] = found
        labels[tokens, 4:] = places[frame], camera_moves[frame]
    return labels


def _view(script: Script, stage: Stage) -> _View:
    distance = stage.colour[:, :, None] - np.array(list(COLOURS.values()))  # (A, T, colours, 3)
    return _View(
        x=(stage.x - stage.camera_x) * stage.zoom + script.aspect / 2,
        y=(stage.y - stage.hop * stage.size - stage.camera_y) * stage.zoom + 0.5,
        size=stage.size * stage.zoom,
        there=np.asarray(stage.opacity > _LEAST_OPACITY),
        colour=np.abs(distance).sum(axis=-1).argmin(axis=-1) + 1,
    )


def _places(script: Script, stage: Stage) -> Numbers:
    """(T,) the place of each frame."""
    of_shot = np.array([_PLACE[cut.value] for cut in script.of(SCENE, "cut")])
    return of_shot[stage.shot]


def _directions(view: _View, shot: Numbers) -> Numbers:
    """(A, T) the last direction of each actor, as far as the frames show it; 0 for none yet."""
    directions = np.zeros(view.x.shape, np.int64)
    anchor_x, anchor_y = view.x[:, 0].copy(), view.y[:, 0].copy()
    for frame in range(1, view.x.shape[1]):
        goes_on = view.there[:, frame - 1] & (shot[frame] == shot[frame - 1])
        anchor_x = np.where(goes_on, anchor_x, view.x[:, frame])
        anchor_y = np.where(goes_on, anchor_y, view.y[:, frame])
        way_x, way_y = view.x[:, frame] - anchor_x, view.y[:, frame] - anchor_y
        moved = np.hypot(way_x, way_y) >= _LEAST_WAY
        angle = np.arctan2(way_y, way_x)  # eight directions, in the order of the words
        newest = np.round(angle / (np.pi / 4)).astype(np.int64) % len(DIRECTIONS) + 1
        before = np.where(goes_on, directions[:, frame - 1], 0)
        directions[:, frame] = np.where(moved, newest, before)
        anchor_x = np.where(moved, view.x[:, frame], anchor_x)
        anchor_y = np.where(moved, view.y[:, frame], anchor_y)
    return directions


def _deeds(script: Script, stage: Stage) -> Numbers:
    """(A, T) the deed that each actor began last; 0 for none yet."""
    deeds = np.zeros(stage.x.shape, np.int64)
    for actor, row in zip(script.actors, deeds, strict=True):
        for event in script.of(actor.name, *DEEDS):
            row[stage.times_seconds >= event.start_seconds] = _DEED[event.what]
    return deeds


def _camera_moves(script: Script, stage: Stage) -> Numbers:
    """(T,) the camera move that began last; 0 for none yet."""
    camera_moves = np.zeros(len(stage.times_seconds), np.int64)
    for event in script.of(CAMERA):
        camera_moves[stage.times_seconds > event.start_seconds] = _FILM[event.value]
    return camera_moves
