"""Options of transformers' processors, and which of their values make inputs for this model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from llava_video.errors import InputError

FIXED_OPTIONS: dict[str, tuple[Any, ...]] = {
    "add_special_tokens": (False,),
    "chat_template": (None,),
    "padding": (True, "longest"),
    "padding_side": ("left", "right"),
    "return_assistant_tokens_mask": (False, True),
    "return_tensors": ("pt",),
    "truncation": (False, None),
}
"""Options of which only these values make inputs for this model."""

_WITHOUT_EFFECT = ("max_length",)
"""Options that only say something about truncation."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the frames of videos are chosen; see `media.read_frames`."""

    num_frames: int | None = None
    fps: float | None = None
    video_metadata: Sequence[Mapping[str, Any] | None] = ()


AS_TRAINED = Sampling()


@dataclass(frozen=True, slots=True)
class Padding:
    """How the rows of a batch are made equally long.

    Attributes:
        side: left for generating, so that every row ends where its answer begins.
        multiple: L is a multiple of this.
        with_assistant_masks: whether ``assistant_masks`` says which ids an assistant wrote.
    """

    side: Literal["left", "right"] = "left"
    multiple: int = 1
    with_assistant_masks: bool = False


def read_options(options: dict[str, Any]) -> tuple[Sampling, Padding]:
    """The sampling and the padding among a caller's options; the others are checked.

    Raises:
        InputError: an option is not known, or its value makes no inputs for this model.
    """
    for name, possible in FIXED_OPTIONS.items():
        value = options.get(name, possible[0])
        if value not in possible:
            reason = "would cut video tokens" if name == "truncation" else "makes no inputs"
            raise InputError(f"{name}={value!r} {reason} for this model; leave it out")
    multiple = options.get("pad_to_multiple_of") or 1
    if not isinstance(multiple, int) or multiple < 1:
        raise InputError(f"pad_to_multiple_of={multiple!r} is not a number of at least 1")
    known = {*FIXED_OPTIONS, *_WITHOUT_EFFECT, "pad_to_multiple_of"}
    sampling = {name: value for name, value in options.items() if name not in known}
    unknown = sorted(set(sampling) - set(Sampling.__dataclass_fields__))
    if unknown:
        raise InputError(f"no option of the processor is called {unknown[0]!r}; check its name")
    padding = Padding(
        options.get("padding_side", "left"),
        multiple,
        bool(options.get("return_assistant_tokens_mask")),
    )
    return Sampling(**sampling), padding
