"""Reading checkpoints in the layout of the official release (lmms-lab/LLaVA-Video-7B-Qwen2).

The only place that knows upstream's names. Their config.json says ``model_type: llava``, carries
``mm_*`` keys of which any may be absent, and says nothing of the vision encoder but its name.
"""

from __future__ import annotations

import re
from typing import Any, cast

from llava_video.checkpoints.config_values import read_rope
from llava_video.checkpoints.released_defaults import value_of
from llava_video.errors import CheckpointError
from llava_video.model.configuration import SO400M_384, LlavaVideoConfig
from llava_video.representation import VideoRepresentation
from llava_video.representation.image_layout import RELEASED_TILE_GRIDS, TileGrid
from llava_video.representation.video_representation import Newline, Pooling

ARCHITECTURE = "LlavaQwenForCausalLM"
"""What a released config.json calls the model."""

NATIVE_ARCHITECTURE = "LlavaVideoForConditionalGeneration"
"""What ours calls it."""


NEWLINES: dict[str, Newline] = {
    "grid": "grid",
    "frame": "frame",
    "one_token": "end",
    "no_token": "none",
}
"""Our name of each ``mm_newline_position``."""

ENCODER_KEY = "mm_vision_tower"
"""The key that names the vision encoder."""

WHICH_WORK = (
    "Checkpoints of Qwen2 with SigLIP work, such as lmms-lab/LLaVA-Video-7B-Qwen2 and "
    "lmms-lab/llava-onevision-qwen2-7b-ov"
)
"""Ends messages about other networks."""

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

WINDOW_KEYS = ("use_sliding_window", "sliding_window", "max_window_layers")
"""What it says of attention to a window of positions; without effect unless the first is true."""


def is_released_layout(values: dict[str, Any]) -> bool:
    """Whether a config.json is one of the official code, of whatever language model."""
    return ARCHITECTURE in (values.get("architectures") or ()) or "mm_vision_tower" in values


def refuse_other_language_models(values: dict[str, Any], where: str) -> None:
    """Refuse the official code's models of Llama, Mistral, Gemma and others.

    Raises:
        CheckpointError: it is one of them.
    """
    named = values.get("architectures") or [values.get("model_type")]
    if ARCHITECTURE in named or named[0] in (None, "llava", "llava_qwen", "qwen2"):
        return
    tower = values.get("mm_vision_tower")
    encoder = f" and the vision encoder {tower}" if tower else ""
    raise CheckpointError(
        f"{where}/config.json describes {named[0]}{encoder}: another language model than Qwen2. "
        f"{WHICH_WORK}"
    )


def implied_weight_names(values: dict[str, Any]) -> set[str]:
    """The learned vectors that a config.json implies, where the tensors are not at hand."""
    names = {"model.image_newline"} if _has_newlines(values) else set()
    return names | ({"model.faster_token"} if value_of(values, "add_faster_video") else set())


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
    if values.get("quantization_config"):
        raise CheckpointError(
            f"{where}/config.json says quantization_config, so the checkpoint is quantized; take "
            "the one that it was made from, and quantize it while loading (docs/transformers.md)"
        )
    missing = [
        key for key in ("hidden_size", "num_hidden_layers", "vocab_size") if key not in values
    ]
    if missing:
        raise CheckpointError(f"{where}/config.json has no {missing[0]!r}; the file is incomplete")
    _refuse_other_networks(values, weight_names, where)
    text = {key: values[key] for key in TEXT_KEYS if values.get(key) is not None}
    if value_of(values, "use_sliding_window"):
        text |= {key: values[key] for key in WINDOW_KEYS if values.get(key) is not None}
    theta = value_of(values, "rope_theta")
    text["rope_parameters"] = read_rope(values, theta, f"{where}/config.json")
    has_newline = "model.image_newline" in weight_names
    has_separator = "model.faster_token" in weight_names
    vision = _vision_config(values, where)
    return LlavaVideoConfig(
        vision_config=vision,
        text_config=text,
        video_token_id=value_of(values, "image_token_index"),
        video_representation=translate_representation(
            values, vision["image_size"] // vision["patch_size"], has_newline, where
        ).to_dict(),
        image_representation=translate_image_representation(
            values, vision["image_size"], has_newline, where
        ),
        has_newline=has_newline,
        has_separator=has_separator,
        add_time_instruction=bool(value_of(values, "add_time_instruction")),
        tie_word_embeddings=bool(value_of(values, "tie_word_embeddings")),
        dtype=values.get("dtype") or value_of(values, "torch_dtype"),
        architectures=[NATIVE_ARCHITECTURE],  # engines choose the model by it
    )


def _refuse_other_networks(values: dict[str, Any], weight_names: set[str], where: str) -> None:
    """Refuse what the official code can put between the parts, and this model does not have."""
    # Tensors outrank a default: the official one would not fit these.
    told = "linear" if "model.mm_projector.weight" in weight_names else "mlp2x_gelu"
    projector = values.get("mm_projector_type") or told
    if projector != "mlp2x_gelu":
        raise CheckpointError(
            f"{where}/config.json asks for the projector {projector!r}; only mlp2x_gelu exists here"
        )
    for key in ("mm_resampler_type", "mm_use_im_start_end", "s2"):
        if value_of(values, key):
            raise CheckpointError(
                f"{where}/config.json asks for {key} = {values[key]!r}, which does not exist here; "
                "LLaVA-Video and LLaVA-OneVision have none"
            )
    if _has_newlines(values) and "model.image_newline" not in weight_names:
        raise CheckpointError(
            f"{where} lacks the tensor model.image_newline, which mm_patch_merge_type "
            f"{values.get('mm_patch_merge_type')!r} in config.json needs; weights and config.json "
            "are not of one model"
        )


def translate_representation(
    values: dict[str, Any], grid_side: int, has_newline: bool, where: str
) -> VideoRepresentation:
    """The video representation that a released config.json describes.

    Absent keys are the official code's defaults; see `released_defaults`.

    Raises:
        CheckpointError: a value that upstream does not know.
    """
    pooling = value_of(values, "mm_spatial_pool_mode")
    position = value_of(values, "mm_newline_position")
    if pooling not in ("average", "max", "bilinear"):
        raise CheckpointError(
            f"{where}/config.json: mm_spatial_pool_mode {pooling!r} is not average, max or bilinear"
        )
    if position not in NEWLINES:
        raise CheckpointError(
            f"{where}/config.json: mm_newline_position {position!r} is not one of "
            f"{', '.join(NEWLINES)}"
        )
    slowfast = bool(value_of(values, "add_faster_video"))
    stride = value_of(values, "faster_token_stride")
    return VideoRepresentation(
        grid_side=grid_side,
        slow_stride=stride if slowfast else 1,
        pool_stride=value_of(values, "mm_spatial_pool_stride"),
        pooling=cast(Pooling, pooling),
        newline=NEWLINES[position] if has_newline and _has_newlines(values) else "none",
        separator=slowfast,
    )


def translate_image_representation(
    values: dict[str, Any], tile_size: int, has_newline: bool, where: str
) -> dict[str, Any]:
    """What a released config.json says of images, as values of an `ImageRepresentation`.

    Tiles come with newlines (``spatial_unpad``). Other ways to cut and merge images do not exist
    here; a checkpoint of one of them is for videos alone.

    Raises:
        CheckpointError: tiles of impossible sizes.
    """
    aspect = value_of(values, "image_aspect_ratio")
    merge_type = value_of(values, "mm_patch_merge_type")
    newline = has_newline and _has_newlines(values)
    if aspect == "pad":
        return {"newline": newline}
    match = re.fullmatch(r"anyres(?:_max_(\d+))?", str(aspect))
    if match is None or merge_type != "spatial_unpad":
        key, value = ("image_aspect_ratio", aspect)
        if match is not None:
            key, value = ("mm_patch_merge_type", merge_type)
        return {
            "newline": newline,
            "unsupported": f"config.json says {key} = {value!r}, and only images of pad, and of "
            "anyres and anyres_max_N with mm_patch_merge_type = 'spatial_unpad', can be shown here",
        }
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


def _has_newlines(values: dict[str, Any]) -> bool:
    """Upstream, only merge types of that name have the learned vector."""
    return "unpad" in value_of(values, "mm_patch_merge_type")


def _vision_config(values: dict[str, Any], where: str) -> dict[str, Any]:
    """The vision encoder's configuration: given in the file, or implied by its name."""
    given = values.get("vision_config")
    if given:
        return {key: value for key, value in given.items() if key != "comment"}
    name = str(values.get("mm_vision_tower") or values.get("vision_tower") or "")
    if "siglip-so400m-patch14-384" in name:
        return dict(SO400M_384)
    if "siglip" not in name.lower():
        raise CheckpointError(
            f"{where}/config.json names the vision encoder {name!r}; only SigLIP exists here. "
            f"{WHICH_WORK}"
        )
    raise CheckpointError(
        f"{where}/config.json names the vision encoder {name!r}, whose sizes are not known here; "
        "give them under 'vision_config': hidden_size, intermediate_size, num_hidden_layers "
        "(without the last layer, which the official code drops), num_attention_heads, image_size "
        "and patch_size"
    )
