"""Reading checkpoints in the layout of the official release (lmms-lab/LLaVA-Video-7B-Qwen2).

The only place that knows upstream's names. Their config.json says ``model_type: llava``, carries
``mm_*`` keys of which any may be absent, and says nothing of the vision encoder but its name.
"""

from __future__ import annotations

import re
from typing import Any, cast

from llava_video.errors import CheckpointError
from llava_video.model.configuration import SO400M_384, LlavaVideoConfig
from llava_video.representation import VideoRepresentation
from llava_video.representation.image_layout import RELEASED_TILE_GRIDS, TileGrid
from llava_video.representation.video_representation import Newline, Pooling

ARCHITECTURE = "LlavaQwenForCausalLM"
"""What a released config.json calls the model."""


RELEASED_PREFIX = "model.vision_tower."
"""How weight names of the released layout, and only those, begin."""

NEWLINES: dict[str, Newline] = {
    "grid": "grid",
    "frame": "frame",
    "one_token": "end",
    "no_token": "none",
}
"""Our name of each ``mm_newline_position``."""

DEFAULT_FASTER_TOKEN_STRIDE = 10
"""The default of upstream's training arguments, for configurations that leave the stride out."""

TEXT_KEYS = (
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "max_position_embeddings",
    "hidden_act",
    "rms_norm_eps",
    "vocab_size",
    "bos_token_id",
    "eos_token_id",
    "attention_dropout",
    "initializer_range",
    "use_cache",
    "tie_word_embeddings",
)
"""What the released config.json says of the language model, in the words of Qwen2's too."""


def is_released_layout(values: dict[str, Any]) -> bool:
    """Whether a config.json is one of the official release."""
    return ARCHITECTURE in (values.get("architectures") or ()) or "mm_vision_tower" in values


def implied_weight_names(values: dict[str, Any]) -> set[str]:
    """The learned vectors that a config.json implies, where the tensors are not at hand."""
    names = {"model.image_newline"} if values.get("mm_newline_position") != "no_token" else set()
    return names | ({"model.faster_token"} if values.get("add_faster_video") else set())


def translate_config(
    values: dict[str, Any], weight_names: set[str], where: str
) -> LlavaVideoConfig:
    """Make our configuration from a released config.json.

    Args:
        values: the file's content.
        weight_names: names of all tensors of the checkpoint; they show which learned vectors exist.
        where: the directory, for messages.

    Raises:
        CheckpointError: a key that cannot be defaulted is missing, or asks for what does not exist.
    """
    missing = [
        key for key in ("hidden_size", "num_hidden_layers", "vocab_size") if key not in values
    ]
    if missing:
        raise CheckpointError(f"{where}/config.json has no {missing[0]!r}; the file is incomplete")
    projector = values.get("mm_projector_type", "mlp2x_gelu")
    if projector != "mlp2x_gelu":
        raise CheckpointError(
            f"{where}/config.json asks for the projector {projector!r}; only mlp2x_gelu exists here"
        )
    text = {key: values[key] for key in TEXT_KEYS if key in values}
    rope = {"rope_type": "default", **(values.get("rope_scaling") or {})}
    text["rope_parameters"] = {**rope, "rope_theta": values.get("rope_theta", 1_000_000.0)}
    has_newline = "model.image_newline" in weight_names
    has_separator = "model.faster_token" in weight_names
    vision = _vision_config(values, where)
    return LlavaVideoConfig(
        vision_config=vision,
        text_config=text,
        video_token_id=values.get("image_token_index", 151646),
        video_representation=translate_representation(
            values, vision["image_size"] // vision["patch_size"], has_newline, where
        ).to_dict(),
        image_representation=translate_image_representation(
            values, vision["image_size"], has_newline, where
        ),
        has_newline=has_newline,
        has_separator=has_separator,
        add_time_instruction=values.get("add_time_instruction", True),
        tie_word_embeddings=values.get("tie_word_embeddings", False),
        dtype=values.get("torch_dtype", values.get("dtype", "bfloat16")),
    )


def translate_representation(
    values: dict[str, Any], grid_side: int, has_newline: bool, where: str
) -> VideoRepresentation:
    """The video representation that a released config.json describes.

    Defaults are those of the official code: bilinear pooling with stride 2, and one newline at the
    end where ``mm_newline_position`` is absent.

    Raises:
        CheckpointError: a value that upstream does not know.
    """
    pooling = values.get("mm_spatial_pool_mode") or "bilinear"
    position = values.get("mm_newline_position") or "one_token"
    if pooling not in ("average", "max", "bilinear"):
        raise CheckpointError(
            f"{where}/config.json: mm_spatial_pool_mode {pooling!r} is not average, max or bilinear"
        )
    if position not in NEWLINES:
        raise CheckpointError(
            f"{where}/config.json: mm_newline_position {position!r} is not one of "
            f"{', '.join(NEWLINES)}"
        )
    slowfast = bool(values.get("add_faster_video", False))
    stride = values.get("faster_token_stride") or DEFAULT_FASTER_TOKEN_STRIDE
    return VideoRepresentation(
        grid_side=grid_side,
        slow_stride=stride if slowfast else 1,
        pool_stride=values.get("mm_spatial_pool_stride") or 2,
        pooling=cast(Pooling, pooling),
        newline=NEWLINES[position] if _has_newlines(values, has_newline) else "none",
        separator=slowfast,
    )


def translate_image_representation(
    values: dict[str, Any], tile_size: int, has_newline: bool, where: str
) -> dict[str, Any]:
    """What a released config.json says of images, as values of an `ImageRepresentation`.

    Where ``image_aspect_ratio`` is absent it is that of the released checkpoints, anyres_max_9.
    Tiles come with newlines (``spatial_unpad``); other ways to merge them do not exist here.

    Raises:
        CheckpointError: a value that does not exist here.
    """
    newline = _has_newlines(values, has_newline)
    aspect = values.get("image_aspect_ratio") or "anyres_max_9"
    if aspect == "pad" or not newline:
        return {"newline": newline}
    match = re.fullmatch(r"anyres(?:_max_(\d+))?", aspect)
    if match is None:
        raise CheckpointError(
            f"{where}/config.json: image_aspect_ratio {aspect!r} is not anyres, anyres_max_N or pad"
        )
    return {
        "tile_grids": _tile_grids(values.get("image_grid_pinpoints"), tile_size, where),
        "max_tiles": int(match[1]) if match[1] else None,
        "newline": newline,
    }


def _tile_grids(pinpoints: Any, tile_size: int, where: str) -> tuple[TileGrid, ...]:
    """Upstream's (width, height) in pixels, or ``"(1x1),...,(6x6)"`` in tiles."""
    if not pinpoints:
        return RELEASED_TILE_GRIDS
    if isinstance(pinpoints, str):
        pairs = [(int(a), int(b)) for a, b in re.findall(r"\((\d+)x(\d+)\)", pinpoints)]
        if "..." in pinpoints and len(pairs) == 2:
            (a, b), (c, d) = pairs
            pairs = [(i, j) for i in range(a, c + 1) for j in range(b, d + 1)]
    elif all(len(pair) == 2 and not any(side % tile_size for side in pair) for pair in pinpoints):
        pairs = [(width // tile_size, height // tile_size) for width, height in pinpoints]
    else:
        pairs = []
    if not pairs:
        raise CheckpointError(
            f"{where}/config.json: image_grid_pinpoints are not multiples of the vision encoder's "
            f"{tile_size} pixels: {pinpoints}"
        )
    return tuple((rows, columns) for columns, rows in pairs)


def _has_newlines(values: dict[str, Any], has_newline: bool) -> bool:
    """Upstream, "flat" turns newlines off; where the key is absent the learned vector tells."""
    return "unpad" in values.get("mm_patch_merge_type", "unpad" if has_newline else "flat")


def _vision_config(values: dict[str, Any], where: str) -> dict[str, Any]:
    """The vision encoder's configuration: given in the file, or implied by its name."""
    given = values.get("vision_config")
    if given:
        return {key: value for key, value in given.items() if key != "comment"}
    name = str(values.get("mm_vision_tower", ""))
    if "siglip-so400m-patch14-384" in name:
        return dict(SO400M_384)
    raise CheckpointError(
        f"{where}/config.json names the vision encoder {name!r}, which is not known here; known is "
        "siglip-so400m-patch14-384. Give its sizes under 'vision_config'"
    )
