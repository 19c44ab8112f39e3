"""What can be known about a script's video by watching it, and nothing else."""

from __future__ import annotations

from functools import cached_property

from llava_video.toyworld.script import SCENE, Actor, Script
from llava_video.toyworld.verify.detectors import Sighting, detect
from llava_video.toyworld.words import COLOURS


class Witness:
    """What detection finds in a whole performance.

    Attributes:
        script: what was performed; read only for the looks of the cast and the names of scenes.
        stage: where everything was, densely sampled.
        sightings: what actors did by themselves, by start.
        rides: what happened to things while they were carried.
        names: all actors, in the order of the stage's rows.
    """

    def __init__(self, script: Script) -> None:
        self.script = script
        self.stage, everything = detect(script)
        self.sightings = [sighting for sighting in everything if not sighting.carrier]
        self.rides = [sighting for sighting in everything if sighting.carrier]
        self.names = [actor.name for actor in script.actors]

    def of(self, who: str, *verbs: str) -> list[Sighting]:
        """What one actor was seen doing, by itself."""
        return [s for s in self.sightings if s.who == who and (not verbs or s.verb in verbs)]

    def only(self, sentence: str) -> Sighting:
        """The one sighting that a sentence describes."""
        (found,) = [s for s in self.sightings if s.sentence == sentence]
        return found

    def happened(self, sentences: tuple[str, ...]) -> list[str]:
        """Which of the sentences are true, in the order in which it happened."""
        return [s.sentence for s in self.sightings if s.sentence in sentences]

    def neighbour(self, who: str, phrase: str, step: int) -> Sighting | None:
        """What somebody did before (-1) or after (+1) doing something."""
        own = self.of(who)
        places = [index for index, sighting in enumerate(own) if sighting.phrase == phrase]
        return own[places[0] + step] if places else None

    @cached_property
    def present(self) -> dict[str, tuple[float, float]]:
        """Who is in the picture at the very beginning, and where."""
        stage = self.stage
        return {
            name: (float(stage.x[index, 0]), float(stage.y[index, 0]))
            for index, name in enumerate(self.names)
            if stage.opacity[index, 0] > 0
        }

    @cached_property
    def ever_visible(self) -> list[str]:
        """Names of all that are in the video at any time."""
        opacity = self.stage.opacity.max(axis=1).tolist()
        return [name for name, most in zip(self.names, opacity, strict=True) if most > 0]

    @cached_property
    def places(self) -> list[str]:
        """The scenes, in the order they are shown; the camera's film leader says which."""
        cuts = self.script.of(SCENE, "cut")
        return [cuts[shot].value for shot in dict.fromkeys(self.stage.shot.tolist())]

    def colours(self, index: int) -> list[str]:
        """All colours an actor shows while it is there, in order."""
        there = self.stage.opacity[index] > 0
        shown = self.stage.colour[index, there]
        known = {rgb: name for name, rgb in COLOURS.items()}
        found = (known.get(tuple(row)) for row in shown.tolist())
        return list(dict.fromkeys(name for name in found if name))

    def single(self, *, shape: str = "", colour: str = "") -> tuple[int, Actor]:
        """The only actor of that shape, or that ever has that colour."""
        (found,) = [
            (index, actor)
            for index, actor in enumerate(self.script.actors)
            if actor.shape == shape or colour in self.colours(index)
        ]
        return found
