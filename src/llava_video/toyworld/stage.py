"""What is where at which moment: a script performed, as arrays over actors and times."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llava_video.toyworld.script import SCENE, Event, Script
from llava_video.toyworld.words import COLOURS, DIRECTIONS

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Stage:
    """The state of everything at T moments; A actors in the order of the script.

    Attributes:
        times_seconds: (T,).
        x: (A, T) centre, in picture heights from the left edge.
        y: (A, T) centre, from the top edge.
        size: (A, T) diameter.
        opacity: (A, T) 0 is not there, 1 is there.
        colour: (A, T, 3) RGB, 0 to 255.
        shot: (T,) how many cuts there were, less one; an index into the script's "cut" events.
    """

    times_seconds: Array
    x: Array
    y: Array
    size: Array
    opacity: Array
    colour: Array
    shot: NDArray[np.int64]


def perform(script: Script, times_seconds: Array) -> Stage:
    """Play the script and look at the given moments."""
    times = np.asarray(times_seconds, dtype=np.float64)
    shape = (len(script.actors), len(times))
    x, y, opacity = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    size = np.empty(shape)
    colour = np.empty((*shape, 3))
    row = {actor.name: index for index, actor in enumerate(script.actors)}
    for index, actor in enumerate(script.actors):
        size[index] = actor.size
        colour[index] = COLOURS[actor.colour]
    shot = np.full(len(times), -1)
    for event in script.events:
        if event.who == SCENE:
            begun = times >= event.start_seconds
            shot += begun
            opacity[:, begun] = 0.0
        else:
            actor_row = row[event.who]
            _move(event, times, x[actor_row], y[actor_row], opacity[actor_row])
    return Stage(times, x, y, size, opacity, colour, shot)


def _move(event: Event, times: Array, x: Array, y: Array, opacity: Array) -> None:
    """Apply one event to one actor's rows, in place."""
    begun = times >= event.start_seconds
    if event.place is not None:
        x[begun], y[begun] = event.place
        opacity[begun] = 1.0
    if event.value in DIRECTIONS:
        dx, dy = DIRECTIONS[event.value]
        done = progress(event, times)
        if event.what == "enter":
            done = np.where(begun, done - 1.0, 0.0)
        x += dx * event.amount * done
        y += dy * event.amount * done
        if event.what == "leave":
            opacity[times >= event.end_seconds] = 0.0


def progress(event: Event, times: Array) -> Array:
    """How much of the event is done, from 0 to 1, at each of the times."""
    length = event.end_seconds - event.start_seconds
    if length == 0.0:
        return (times >= event.start_seconds).astype(np.float64)
    return np.clip((times - event.start_seconds) / length, 0.0, 1.0)
