"""The closed list of words the toy world is made of, with their meaning in pixels and vectors."""

from __future__ import annotations

import math
import re

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (214, 40, 40),
    "orange": (247, 140, 24),
    "yellow": (250, 225, 60),
    "green": (46, 160, 67),
    "blue": (48, 92, 222),
    "purple": (140, 60, 190),
    "pink": (250, 150, 200),
    "white": (245, 245, 245),
}

SHAPES: tuple[str, ...] = ("circle", "square", "triangle", "star", "cross", "ring")
PERSON = "person"
LETTERS_ON_SHAPES: tuple[str, ...] = ("E", "H", "L", "N", "T", "V", "X", "Z")

PLURALS: dict[str, str] = {
    shape: "crosses" if shape == "cross" else f"{shape}s" for shape in SHAPES
}

_D = math.sqrt(0.5)
# Unit vectors on the picture: x grows to the right, y grows downwards.
DIRECTIONS: dict[str, tuple[float, float]] = {
    "right": (1.0, 0.0),
    "down-right": (_D, _D),
    "down": (0.0, 1.0),
    "down-left": (-_D, _D),
    "left": (-1.0, 0.0),
    "up-left": (-_D, -_D),
    "up": (0.0, -1.0),
    "up-right": (_D, -_D),
}

# The question types of Table 1 of the paper, by their names there.
QUESTION_TYPES: tuple[str, ...] = (
    "Temporal",
    "Spatial",
    "Causal",
    "Description-Scene",
    "Description-Human",
    "Description-Object",
    "Count",
    "Binary",
    "Fine Grained Action Understanding",
    "Plot Understanding",
    "Non-Existent Actions with Existent Scene Depictions",
    "Time Order Understanding",
    "Object Direction",
    "Camera Direction",
    "Speed",
    "Attribute Change",
)

# Where a video takes place: the word for it, and how a sentence says it.
SCENES: dict[str, str] = {
    "studio": "in front of a plain wall",
    "room": "in a room",
    "meadow": "on a meadow",
    "street": "in a street",
    "night": "outside at night",
    "water": "by the water",
}

# What actors do, as a sentence says it of "the red star" and of "they". {value} is the verb's word.
PHRASES: dict[str, tuple[str, str]] = {
    "enter": ("enters", "enter"),
    "leave": ("leaves", "leave"),
    "move": ("moves {value}", "move {value}"),
    "walk": ("walks {value}", "walk {value}"),  # a person's "move"
    "appear": ("appears", "appear"),
    "vanish": ("vanishes", "vanish"),
    "spin": ("spins {value}", "spin {value}"),
    "grow": ("grows", "grow"),
    "shrink": ("shrinks", "shrink"),
    "recolour": ("turns {value}", "turn {value}"),
    "flash": ("flashes {value}", "flash {value}"),
    "blink": ("blinks", "blink"),
    "jump": ("jumps", "jump"),
    "wave": ("waves", "wave"),
    "sit": ("sits down", "sit down"),
    "rise": ("stands up", "stand up"),
    "take": ("picks up the {value}", "pick up the {value}"),
    "drop": ("puts down the {value}", "put down the {value}"),
    "hit": ("hits the {value}", "hit the {value}"),
}
SPINS: tuple[str, ...] = ("clockwise", "counterclockwise", "back-and-forth")
HANDS: tuple[str, ...] = ("left", "right", "both")

# How text splits into words and marks; `VOCABULARY` lists everything this finds in toy world text.
WORD_PATTERN = re.compile(r"[A-Za-z]+(?:-[a-z]+)*|[0-9]|[^\sA-Za-z0-9]")

_SIMPLE_WORDS = """
. , ? ! : - '
0 1 2 3 4 5 6 7 8 9
A B C D
yes no shape shapes colour thing things
What Which How In Is Does Are
is are the a an has have does do of in there which what many way direction
move moves enter enters leave leaves stay stays first last video seen
Please respond with only letter correct answer Answer one word
"""

_STORY_WORDS = """
; At E From H L N Nothing On Right T The Then V We When Where Who Why With X Z above after all and
appear appears arm at away back-and-forth because become becomes before begin begins below blink
blinks both bottom bumps by camera carried carries change changes clockwise closest clothes come
comes counterclockwise different disappears downwards else end fades fast fastest flash flashes
flickers followed for from full gets go goes grow grows happen happens hat hits hops how into it
its jump jumps larger lead makes meadow medium middle moment moving nearest never next night
nobody none not nothing now nowhere often on option or out outside pans part people person picks
picture place places play plays provide puts raises room rotates runs same scene seat sets show
shows shrink shrinks side sit sits size slowest slowly smaller speed spin spins stands start
stating still stop stops story street take takes tells that then these they times to top travels
turn turns upwards vanish vanishes vanishing walk walks water wave waves we wear when where
written your zooms
"""

# Every word and mark of prompts, answers and descriptions. Those of level "simple" come first.
# Append only: the position of a word may be its token number in a trained model.
VOCABULARY: tuple[str, ...] = (
    *_SIMPLE_WORDS.split(),
    *COLOURS,
    *SHAPES,
    *PLURALS.values(),
    *DIRECTIONS,
    *_STORY_WORDS.split(),
)
