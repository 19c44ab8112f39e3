"""The representation of a request: an option of vLLM's, and bytes on the way to the model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from llava_video.checkpoints.load import fit_representation
from llava_video.errors import InputError
from llava_video.model.configuration import LlavaVideoConfig
from llava_video.representation import VideoRepresentation

OPTION = "representation"
"""The key of ``mm_processor_kwargs`` that says how frames become tokens."""

TILED = "tiled"
"""The key that the plugin sets itself: whether an image may have tiles."""


def representation_of(options: Mapping[str, Any], config: LlavaVideoConfig) -> VideoRepresentation:
    """What ``mm_processor_kwargs`` ask for; the model's own by default.

    Args:
        options: ``representation``: T,M,s,p, the name of a preset, or all fields.
        config: of the model.

    Raises:
        InputError: there is another option.
        RepresentationError: it does not fit the model.
    """
    unknown = sorted(set(options) - {OPTION, TILED})
    if unknown:
        raise InputError(
            f"mm_processor_kwargs has {unknown[0]!r}, which this model does not know; it takes "
            f"{OPTION!r}"
        )
    wanted = options.get(OPTION)
    if wanted is None:
        return config.representation
    if isinstance(wanted, Mapping):
        wanted = VideoRepresentation.from_dict({"grid_side": config.grid_side, **wanted})
    elif not isinstance(wanted, str):
        raise InputError(f"representation is text such as '32,729,3,2' or fields, got {wanted!r}")
    return fit_representation(wanted, config)


def to_bytes(value: Any) -> Tensor:
    """A JSON-compatible value as (n,) uint8, which travels among the inputs of a model."""
    return torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8)


def from_bytes(tensor: Tensor) -> Any:
    """The inverse of `to_bytes`."""
    return json.loads(bytes(tensor.tolist()))
