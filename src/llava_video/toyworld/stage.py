"""What is where at which moment: a script performed, as arrays over actors and times."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llava_video.toyworld.script import CAMERA, SCENE, Event, Script
from llava_video.toyworld.words import COLOURS, DIRECTIONS

Array = NDArray[np.float64]

_HOP = 0.35  # height of a jump, in sizes
_LIFT = 0.05  # how far something is lifted when taken
_ARM_UP = 2.5  # angle of a waving arm, in radians from hanging
_ARM_SWING = 0.45
_STEP = 0.5  # length of a person's double step, in sizes


@dataclass(frozen=True, slots=True, eq=False)
class Stage:
    """The state of everything at T moments; A actors in the order of the script.

    Attributes:
        times_seconds: (T,).
        x: (A, T) centre, in picture heights from the left edge of the scene.
        y: (A, T) centre, from the top edge.
        size: (A, T) diameter.
        angle: (A, T) rotation in radians, clockwise.
        opacity: (A, T) 0 is not there, 1 is there.
        colour: (A, T, 3) RGB, 0 to 255.
        hop: (A, T) height above the ground while jumping, in sizes.
        crouch: (A, T) 0 stands, 1 sits; people only.
        stride: (A, T) phase of the steps in radians, 0 while standing; people only.
        arms: (A, T, 2) angle of the arms on the left and right side of the picture, in radians.
        camera_x: (T,) middle of the view.
        camera_y: (T,) middle of the view.
        zoom: (T,) 1 shows exactly one height.
        shot: (T,) an index into the script's "cut" events.
    """

    times_seconds: Array
    x: Array
    y: Array
    size: Array
    angle: Array
    opacity: Array
    colour: Array
    hop: Array
    crouch: Array
    stride: Array
    arms: Array
    camera_x: Array
    camera_y: Array
    zoom: Array
    shot: NDArray[np.int64]


def perform(script: Script, times_seconds: Array) -> Stage:
    """Play the script and look at the given moments, (T,) seconds."""
    times = np.asarray(times_seconds, dtype=np.float64)
    shape = (len(script.actors), len(times))
    x, y, opacity, angle, hop, crouch, stride = np.zeros((7, *shape))
    stage = Stage(
        times_seconds=times,
        x=x,
        y=y,
        size=np.array([actor.size for actor in script.actors])[:, None] * np.ones(len(times)),
        angle=angle,
        opacity=opacity,
        colour=np.zeros((*shape, 3)),
        hop=hop,
        crouch=crouch,
        stride=stride,
        arms=np.zeros((*shape, 2)),
        camera_x=np.full(len(times), script.aspect / 2),
        camera_y=np.full(len(times), 0.5),
        zoom=np.ones(len(times)),
        shot=np.full(len(times), -1),
    )
    row = {actor.name: index for index, actor in enumerate(script.actors)}
    for index, actor in enumerate(script.actors):
        stage.colour[index] = COLOURS[actor.colour]
    for event in script.events:
        if event.who == SCENE:
            _cut(event, stage, script.aspect)
        elif event.who == CAMERA:
            _film(event, stage)
        else:
            rows = [row[event.who]]
            if event.what in ("move", "leave"):
                rows += [row[item] for item in held_items(script, event)]
            for index in rows:
                _place(event, stage, index)
            _change(event, stage, row[event.who], script)
            if event.what in ("take", "drop"):
                up = -_LIFT if event.what == "take" else _LIFT
                stage.y[row[event.value]] += up * progress(event, times)
    return stage


def held_items(script: Script, movement: Event) -> list[str]:
    """What a person carries during a movement."""
    held: list[str] = []
    for event in script.of(movement.who, "take", "drop"):
        if event.end_seconds <= movement.start_seconds:
            if event.what == "take":
                held.append(event.value)
            else:
                held.remove(event.value)
    return held


def progress(event: Event, times: Array) -> Array:
    """How much of the event is done, from 0 to 1, at each of the times."""
    length = event.end_seconds - event.start_seconds
    if length == 0.0:
        return (times >= event.start_seconds).astype(np.float64)
    return np.clip((times - event.start_seconds) / length, 0.0, 1.0)


def _cut(event: Event, stage: Stage, aspect: float) -> None:
    begun = stage.times_seconds >= event.start_seconds
    stage.shot[begun] += 1
    stage.opacity[:, begun] = 0.0
    stage.camera_x[begun], stage.camera_y[begun], stage.zoom[begun] = aspect / 2, 0.5, 1.0


def _film(event: Event, stage: Stage) -> None:
    done = progress(event, stage.times_seconds)
    if event.what == "pan":
        dx, dy = DIRECTIONS[event.value]
        stage.camera_x[:] += dx * event.amount * done
        stage.camera_y[:] += dy * event.amount * done
    else:
        stage.zoom[:] *= (event.amount if event.value == "in" else 1 / event.amount) ** done


def _place(event: Event, stage: Stage, index: int) -> None:
    """Apply what an event does to where an actor is, and whether it is there."""
    times = stage.times_seconds
    begun = times >= event.start_seconds
    x, y, opacity = stage.x[index], stage.y[index], stage.opacity[index]
    if event.place is not None:
        x[begun], y[begun] = event.place
        opacity[begun] = 1.0
    if event.value in DIRECTIONS and event.what in ("enter", "leave", "move"):
        dx, dy = DIRECTIONS[event.value]
        done = progress(event, times)
        if event.what == "enter":
            done = np.where(begun, done - 1.0, 0.0)
        x += dx * event.amount * done
        y += dy * event.amount * done
    if event.what == "leave":
        opacity[times >= event.end_seconds] = 0.0


def _change(event: Event, stage: Stage, index: int, script: Script) -> None:
    """Apply what an event does to how an actor looks."""
    times = stage.times_seconds
    running = (times >= event.start_seconds) & (times < event.end_seconds)
    done = progress(event, times)
    match event.what:
        case "appear":
            stage.opacity[index, running] = done[running]
        case "vanish":
            stage.opacity[index] *= 1.0 - done
        case "blink":
            phase = (done * event.amount) % 1.0
            stage.opacity[index, running & (phase < 0.5)] = 0.0
        case "spin":
            turned = {
                "clockwise": done,
                "counterclockwise": -done,
                "back-and-forth": np.sin(2 * np.pi * done) / 2,
            }[event.value]
            stage.angle[index] += np.radians(event.amount) * turned
        case "grow":
            stage.size[index] *= event.amount**done
        case "shrink":
            stage.size[index] /= event.amount**done
        case "recolour":
            stage.colour[index] += done[:, None] * (COLOURS[event.value] - stage.colour[index])
        case "flash":
            stage.colour[index, running] = COLOURS[event.value]
        case "jump":
            stage.hop[index] += _HOP * np.abs(np.sin(np.pi * event.amount * done)) * running
        case "sit":
            stage.crouch[index] += done
        case "rise":
            stage.crouch[index] -= done
        case "wave":
            raised = np.minimum(1.0, 4.0 * event.amount * np.minimum(done, 1.0 - done))
            swing = _ARM_UP + _ARM_SWING * np.sin(2 * np.pi * event.amount * done)
            for side, hand in enumerate(("left", "right")):
                if event.value in (hand, "both"):
                    stage.arms[index, :, side] += raised * swing * running
        case "enter" | "leave" | "move" if script.actors[index].is_person:
            travelled = event.amount * done / (_STEP * script.actors[index].size)
            stage.stride[index] += 2 * np.pi * travelled * running
