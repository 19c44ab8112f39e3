"""Options of transformers' processors, and which of their values make inputs for this model."""

from __future__ import annotations

import warnings
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
    "tools": (None,),
    "truncation": (False, None),
}
"""Options of which only these values make inputs for this model."""

_WITHOUT_EFFECT = ("load_audio_from_video", "max_length")
"""Options about sound, which the model does not hear, and about truncation."""


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


def read_options(options: dict[str, Any], max_frames: int) -> tuple[Sampling, Padding]:
    """The sampling and the padding among a caller's options; the others are checked.

    Args:
        options: of the caller.
        max_frames: T of the representation, which ``num_frames`` of `transformers serve` is cut to:
            32 is that server's own default, and cannot be told from a client's wish.

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
    num_frames = sampling.get("num_frames")
    # Only that server says whether to load sound.
    if "load_audio_from_video" in options and num_frames is not None and num_frames > max_frames:
        sampling["num_frames"] = max_frames
        warnings.warn(
            f"{num_frames} frames are more than T = {max_frames} of the video representation; "
            f'{max_frames} are sampled (chat_template_kwargs={{"num_frames": null}} asks for them)',
            stacklevel=3,
        )
    return Sampling(**sampling), padding
