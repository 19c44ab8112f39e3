"""Reading checkpoints in the layout of transformers' LlavaOnevision (``llava-hf/...``).

It is the network of this package for one representation: bilinear pooling with stride 2, and one
newline at the end of a video. Its tensors have two spellings, before and since transformers 4.52.
"""

from __future__ import annotations

import re
from typing import Any

from llava_video.checkpoints.config_values import read_rope
from llava_video.checkpoints.released import WHICH_WORK
from llava_video.checkpoints.released_defaults import RELEASED_DEFAULTS
from llava_video.errors import CheckpointError
from llava_video.model.configuration import SO400M_384, LlavaVideoConfig
from llava_video.representation import VideoRepresentation
from llava_video.representation.image_layout import RELEASED_TILE_GRIDS

MODEL_TYPE = "llava_onevision"

_FIXED: dict[str, tuple[Any, ...]] = {
    "vision_feature_select_strategy": ("full",),
    "projector_hidden_act": ("gelu",),
    "multimodal_projector_bias": (True,),
    "use_image_newline_parameter": (True,),
}
"""Keys of which one value is this network; it is also transformers' default."""


def is_onevision_layout(values: dict[str, Any]) -> bool:
    """Whether a config.json is one of transformers' LlavaOnevision."""
    return values.get("model_type") == MODEL_TYPE


def translate_onevision(values: dict[str, Any], where: str) -> LlavaVideoConfig:
    """Make our configuration from LlavaOnevision's.

    T is not among its values; it is that of the released layout, 64. There is no time instruction.

    Args:
        values: the content of config.json.
        where: the directory, for messages.

    Raises:
        CheckpointError: it is another network.
    """
    file = f"{where}/config.json"
    text = dict(values.get("text_config") or {})
    vision = {**SO400M_384, **(values.get("vision_config") or {})}
    _refuse_other_networks(values, text, vision, file)
    theta = RELEASED_DEFAULTS["rope_theta"].value
    text["rope_parameters"] = read_rope(text, theta, file)
    for name in ("rope_scaling", "rope_theta"):
        text.pop(name, None)
    size = int(vision["image_size"])
    grid_side = size // int(vision["patch_size"])
    dtype = next((v[k] for v in (values, text) for k in ("dtype", "torch_dtype") if v.get(k)), None)
    return LlavaVideoConfig(
        vision_config=vision,
        text_config=text,
        video_token_id=values.get("image_token_index")
        or values.get("image_token_id")
        or RELEASED_DEFAULTS["image_token_index"].value,
        video_representation=VideoRepresentation(
            grid_side=grid_side, pooling="bilinear", newline="end"
        ).to_dict(),
        image_representation=_images(values, size, file),
        has_newline=True,
        add_time_instruction=False,
        tie_word_embeddings=bool(
            values.get("tie_word_embeddings") or text.get("tie_word_embeddings")
        ),
        dtype=dtype or RELEASED_DEFAULTS["torch_dtype"].value,
    )


def _refuse_other_networks(
    values: dict[str, Any], text: dict[str, Any], vision: dict[str, Any], file: str
) -> None:
    language_model = text.get("model_type", "qwen2")
    encoder = vision.get("model_type", "siglip_vision_model")
    if (language_model, encoder) != ("qwen2", "siglip_vision_model"):
        raise CheckpointError(
            f"{file} describes the language model {language_model!r} and the vision encoder "
            f"{encoder!r}. {WHICH_WORK}"
        )
    if values.get("quantization_config"):
        raise CheckpointError(
            f"{file} says quantization_config, so the checkpoint is quantized; take the one that "
            "it was made from, and quantize it while loading (docs/transformers.md)"
        )
    num_layers = vision["num_hidden_layers"]
    possible = {**_FIXED, "vision_feature_layer": (-1, num_layers)}
    for key, known in possible.items():
        value = values.get(key)
        if value is not None and value not in known:
            raise CheckpointError(
                f"{file}: {key} = {value!r} is another network than LLaVA-OneVision's, whose value "
                f"is {known[0]!r}"
            )


def _images(values: dict[str, Any], size: int, file: str) -> dict[str, Any]:
    """How images are shown, as values of an `ImageRepresentation`; grids are (height, width)."""
    aspect = values.get("vision_aspect_ratio") or "anyres_max_9"
    match = re.fullmatch(r"anyres_max_(\d+)", aspect)
    if match is None:
        return {
            "unsupported": f"config.json says vision_aspect_ratio = {aspect!r}, and only "
            "anyres_max_N can be shown here"
        }
    pinpoints = values.get("image_grid_pinpoints")
    grids = RELEASED_TILE_GRIDS
    if pinpoints:
        if any(len(pair) != 2 or any(side % size for side in pair) for pair in pinpoints):
            raise CheckpointError(
                f"{file}: image_grid_pinpoints are not multiples of the vision encoder's {size} "
                f"pixels: {pinpoints}"
            )
        grids = tuple((height // size, width // size) for height, width in pinpoints)
    return {"tile_grids": grids, "max_tiles": int(match[1])}
