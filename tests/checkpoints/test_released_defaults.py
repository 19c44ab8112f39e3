"""Absent keys of a released config.json: each means what its default says when written out."""

import json
from pathlib import Path
from typing import Any

import pytest

from llava_video.checkpoints.released import implied_weight_names, translate_config
from llava_video.checkpoints.released_defaults import RELEASED_DEFAULTS
from llava_video.errors import CheckpointError
from tests.model.released import CONFIG

NAMES = {"model.image_newline", "model.faster_token", "model.mm_projector.0.weight"}

OFFICIAL = {
    "add_faster_video": False,
    "add_time_instruction": False,
    "faster_token_stride": 10,
    "image_aspect_ratio": "square",
    "image_token_index": 151646,
    "mm_newline_position": "one_token",
    "mm_patch_merge_type": "flat",
    "mm_projector_type": "linear",
    "mm_resampler_type": None,
    "mm_spatial_pool_mode": "bilinear",
    "mm_spatial_pool_stride": 2,
    "mm_use_im_start_end": False,
    "rope_scaling": None,
    "rope_theta": 10_000.0,
    "s2": False,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "use_sliding_window": False,
}
"""Copied by hand from llava/train/train.py, llava_arch.py and the builders."""

ELSEWHERE = {"mm_projector_type"}
"""The tensors outrank this one: linear does not exist here."""


def translated(values: dict[str, Any]) -> dict[str, Any]:
    return translate_config(values, NAMES, "there").to_dict()


def test_the_table_is_the_official_one() -> None:
    assert {key: default.value for key, default in RELEASED_DEFAULTS.items()} == OFFICIAL


@pytest.mark.parametrize("is_fast", [False, True])
@pytest.mark.parametrize("key", sorted(set(RELEASED_DEFAULTS) - ELSEWHERE))
def test_an_absent_key_is_its_default(key: str, is_fast: bool) -> None:
    values = {**CONFIG, "add_faster_video": is_fast}
    written = translated({**values, key: RELEASED_DEFAULTS[key].value})
    values.pop(key, None)
    assert translated(values) == written
    assert translated({**values, key: None}) == written


def test_what_is_absent_from_a_released_onevision() -> None:
    """llava-onevision-qwen2-0.5b-ov says neither of these."""
    absent = ("mm_newline_position", "add_time_instruction", "mm_spatial_pool_stride")
    config = translate_config({k: v for k, v in CONFIG.items() if k not in absent}, NAMES, "there")
    assert (config.representation.newline, config.add_time_instruction) == ("end", False)
    assert config.images.tile_grids


def test_tensors_tell_of_the_projector() -> None:
    values = {key: value for key, value in CONFIG.items() if key != "mm_projector_type"}
    assert translate_config(values, NAMES, "there").has_newline
    with pytest.raises(CheckpointError, match="projector 'linear'"):
        translate_config(values, {*NAMES, "model.mm_projector.weight"}, "there")


def test_a_newline_exists_where_the_merge_type_has_one() -> None:
    assert implied_weight_names({"mm_newline_position": "grid"}) == set()
    assert implied_weight_names({"mm_patch_merge_type": "spatial_unpad"}) == {"model.image_newline"}
    with pytest.raises(CheckpointError, match=r"lacks the tensor model\.image_newline"):
        translate_config(CONFIG, set(), "there")


def test_the_documentation_has_the_table() -> None:
    text = (Path(__file__).parents[2] / "docs" / "checkpoints.md").read_text()
    for key, default in RELEASED_DEFAULTS.items():
        value = json.dumps(default.value).strip('"')
        assert f"| `{key}` | `{value}` | {default.source} |" in text
