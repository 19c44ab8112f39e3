"""Our configuration and tensor names in other layouts, as `convert` writes them.

The official release's layout is the inverse of `model.released`, which stays the only place that
knows its tensor names. `LlavaOnevisionForConditionalGeneration` of transformers is the same network
for one representation only.
"""

from __future__ import annotations

import re
from typing import Any

from transformers import LlavaOnevisionConfig

from llava_video.checkpoints.released import (
    NEWLINES,
    TEXT_KEYS,
    WINDOW_KEYS,
    translate_config,
)
from llava_video.errors import CheckpointError
from llava_video.model.configuration import SO400M_384, LlavaVideoConfig
from llava_video.model.weight_names import ONEVISION_NAMES, WEIGHT_NAMES
from llava_video.representation.image_layout import RELEASED_TILE_GRIDS

_VISION_KEYS = (*SO400M_384, "hidden_act", "layer_norm_eps")

_RELEASED_CONSTANTS: dict[str, Any] = {
    "architectures": ["LlavaQwenForCausalLM"],
    "model_type": "llava",
    "mm_vision_tower": "google/siglip-so400m-patch14-384",
    "mm_projector_type": "mlp2x_gelu",
    "mm_resampler_type": None,
    "mm_vision_select_layer": -2,
    "mm_vision_select_feature": "patch",
    "mm_use_im_start_end": False,
    "mm_use_im_patch_token": False,
    "use_mm_proj": True,
    "force_sample": True,
    "use_sliding_window": False,
}
"""Constants of the released config.json that our configuration does not vary."""

_WITHOUT_MEANING = {
    "_name_or_path",
    "architectures",
    "dtype",
    "pad_token_id",  # the tokenizer and generation_config.json say it
    "transformers_version",
}

_ONEVISION_NAMES = {
    "model.vision_encoder.": "model.vision_tower.",
    "model.projector.": "model.multi_modal_projector.",
    "model.newline": "model.image_newline",
}


def native_name(released_name: str) -> str:
    """Our name of a tensor of the released layout, or of LlavaOnevision's."""
    for pattern, ours in {**WEIGHT_NAMES, **ONEVISION_NAMES}.items():
        released_name = re.sub(pattern, ours, released_name)
    return released_name


def released_name(name: str) -> str:
    """The released layout's name of one of our tensors: the inverse of `native_name`."""
    for pattern, ours in WEIGHT_NAMES.items():
        theirs = pattern.removeprefix("^").removesuffix("$").replace("\\.", ".")
        if name.startswith(ours):
            return theirs + name.removeprefix(ours)
    return name


def onevision_name(name: str) -> str:
    """The name of one of our tensors in transformers' LlavaOnevision."""
    for ours, theirs in _ONEVISION_NAMES.items():
        if name.startswith(ours):
            return theirs + name.removeprefix(ours)
    return name


def released_values(
    config: LlavaVideoConfig, weight_names: set[str], original: dict[str, Any], where: str
) -> dict[str, Any]:
    """The released config.json that is equivalent to our configuration.

    Args:
        config: ours.
        weight_names: names of the tensors in the released layout.
        original: the released config.json that the checkpoint once had, or nothing; what it says
            beyond our configuration is kept.
        where: the directory, for messages.

    Raises:
        CheckpointError: the released layout has no words for something in the configuration.
    """
    text: dict[str, Any] = config.text.to_dict()
    vision: dict[str, Any] = config.vision.to_dict()
    representation = config.representation
    rope = dict(text["rope_parameters"])
    theta = rope.pop("rope_theta")
    values = {
        **_RELEASED_CONSTANTS,
        **original,
        **{key: text[key] for key in TEXT_KEYS},
        "rope_theta": theta,
        "rope_scaling": None if rope == {"rope_type": "default"} else rope,
        "tie_word_embeddings": config.tie_word_embeddings,
        "torch_dtype": str(config.dtype or "float32").removeprefix("torch."),
        "image_token_index": config.video_token_id,
        "mm_hidden_size": vision["hidden_size"],
        "mm_patch_merge_type": _merge_type(config, original),
        "mm_newline_position": {ours: theirs for theirs, ours in NEWLINES.items()}[
            representation.newline
        ],
        "mm_spatial_pool_mode": representation.pooling,
        "mm_spatial_pool_stride": representation.pool_stride,
        "add_faster_video": representation.separator,
        "faster_token_stride": representation.slow_stride,
        "add_time_instruction": config.add_time_instruction,
        **_released_image_values(config, original),
    }
    if text["use_sliding_window"]:
        values |= {key: text[key] for key in WINDOW_KEYS}
    sizes = {key: vision[key] for key in _VISION_KEYS}
    if {key: sizes[key] for key in SO400M_384} != SO400M_384:
        values["vision_config"] = {**original.get("vision_config", {}), **sizes}
    if representation.slow_stride == 1 and "faster_token_stride" in original:
        values["faster_token_stride"] = original["faster_token_stride"]  # not in force, but said
    _check_equal(config, values, weight_names, where)
    return values


def _merge_type(config: LlavaVideoConfig, original: dict[str, Any]) -> str:
    """``mm_patch_merge_type``: the original one, unless it says otherwise of newlines."""
    newlines = config.representation.newline != "none" or config.images.newline
    before = str(original.get("mm_patch_merge_type") or "")
    if before and ("unpad" in before) == newlines:
        return before
    return "spatial_unpad" if newlines else "flat"


def _released_image_values(config: LlavaVideoConfig, original: dict[str, Any]) -> dict[str, Any]:
    """Image settings of the released layout; its grids are (width, height) in pixels."""
    images = config.images
    if images.unsupported:
        return {"image_aspect_ratio": original.get("image_aspect_ratio")}
    if not images.tile_grids:
        return {"image_aspect_ratio": "pad"}
    size = images.tile_size
    return {
        "image_aspect_ratio": "anyres" if images.max_tiles is None else _anyres(images.max_tiles),
        "image_grid_pinpoints": [[size * c, size * r] for r, c in images.tile_grids],
    }


def _anyres(max_tiles: int) -> str:
    return f"anyres_max_{max_tiles}"


def _check_equal(
    config: LlavaVideoConfig, values: dict[str, Any], weight_names: set[str], where: str
) -> None:
    """Read the released configuration back, and refuse where it came out different."""
    representation = config.representation
    if representation.pooling not in ("average", "bilinear", "max"):
        raise CheckpointError(
            f"{where}: the released layout has no pooling {representation.pooling!r}; it knows "
            "average, bilinear and max"
        )
    wanted = _plain(config)
    got = _plain(translate_config(values, weight_names, where))
    for key, value in wanted.items():
        if got.get(key) != value:
            raise CheckpointError(
                f"{where}: the released layout cannot say {key} = {value!r} (it would be read as "
                f"{got.get(key)!r}); keep this checkpoint in our own layout"
            )


def _plain(config: LlavaVideoConfig) -> dict[str, Any]:
    """A configuration, flat, without settings that do not affect the model's outputs."""
    parts: dict[str, dict[str, Any]] = {
        "text": config.text.to_dict(),
        "vision": config.vision.to_dict(),
        "representation": config.representation.to_dict(),
        "image": config.images.to_dict(),
        "model": {
            "video_token_id": config.video_token_id,
            "has_newline": config.has_newline,
            "has_separator": config.has_separator,
            "add_time_instruction": config.add_time_instruction,
            "tie_word_embeddings": config.tie_word_embeddings,
        },
    }
    # The released layout leaves T to the caller that samples the frames.
    del parts["representation"]["max_frames"]
    return {
        f"{part}.{key}": value
        for part, values in parts.items()
        for key, value in values.items()
        if key not in _WITHOUT_MEANING
    }


def why_not_onevision(config: LlavaVideoConfig) -> str | None:
    """Why transformers' LlavaOnevision would compute something else, or None if it would not.

    It pools bilinearly with stride 2, puts one newline behind the whole video, and has neither
    fast frames nor a separator (modeling_llava_onevision.py: apply_pooling, get_video_features).
    """
    representation = config.representation
    if representation.has_fast_frames:
        return "it has no slow and fast frames (this checkpoint: " + str(representation) + ")"
    if representation.newline != "end":
        return (
            f"it puts one newline at the end of a video, this checkpoint has "
            f"newline={representation.newline!r}; 64 frames of 14 x 14 tokens are 12,545 tokens "
            "there and 13,440 with a newline after each row"
        )
    if representation.pooling != "bilinear" or representation.pool_stride != 2:
        return (
            f"it pools bilinearly with stride 2, this checkpoint pools by "
            f"{representation.pooling} with stride {representation.pool_stride}"
        )
    if representation.separator or config.has_separator:
        return "it has no place for a separator vector"
    if representation.selection != "all":
        return f"it keeps all video tokens, this checkpoint a share ({representation})"
    return None


def onevision_config(
    config: LlavaVideoConfig, image_token_id: int, video_token_id: int
) -> LlavaOnevisionConfig:
    """The configuration of transformers' LlavaOnevision for the same network.

    Args:
        config: ours; `why_not_onevision` has nothing against it.
        image_token_id: the placeholder for image tokens.
        video_token_id: the placeholder for video tokens.
    """
    images = config.images
    size = images.tile_size
    grids = images.tile_grids or RELEASED_TILE_GRIDS
    return LlavaOnevisionConfig(
        architectures=["LlavaOnevisionForConditionalGeneration"],
        vision_config=config.vision.to_dict(),
        text_config=config.text.to_dict(),
        image_token_index=image_token_id,
        video_token_index=video_token_id,
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        image_grid_pinpoints=[[size * rows, size * columns] for rows, columns in grids],
        vision_aspect_ratio=_anyres(images.max_tiles or len(grids)),
        tie_word_embeddings=config.tie_word_embeddings,
        dtype=config.dtype,
    )


def onevision_processor_files(
    config: LlavaVideoConfig, onevision: LlavaOnevisionConfig
) -> dict[str, dict[str, Any]]:
    """The files from which transformers makes LlavaOnevision's processors, by name.

    They are written out because its video processor can only be made where torchvision is.
    """
    vision = config.vision
    pixels = {
        "size": {"height": vision.image_size, "width": vision.image_size},
        "resample": 3,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
        "rescale_factor": 1 / 255,
        "do_convert_rgb": True,
        "do_resize": True,
        "do_rescale": True,
        "do_normalize": True,
    }
    return {
        "preprocessor_config.json": {
            "image_processor_type": "LlavaOnevisionImageProcessor",
            "processor_class": "LlavaOnevisionProcessor",
            "image_grid_pinpoints": onevision.image_grid_pinpoints,
            "do_pad": True,
            **pixels,
        },
        "video_preprocessor_config.json": {
            "video_processor_type": "LlavaOnevisionVideoProcessor",
            "processor_class": "LlavaOnevisionProcessor",
            **pixels,
        },
        "processor_config.json": {
            "processor_class": "LlavaOnevisionProcessor",
            "num_image_tokens": config.grid_side**2,
            "vision_feature_select_strategy": "full",
            "vision_aspect_ratio": onevision.vision_aspect_ratio,
            "image_token": "<image>",
            "video_token": "<video>",
        },
    }
