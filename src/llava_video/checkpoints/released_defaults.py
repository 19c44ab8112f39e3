"""What an absent key of a released config.json means: what it means to the official code.

As data, so that every default can be read beside its source and checked one by one. Sources are
files of the official repository (LLaVA-VL/LLaVA-NeXT, ``df17966``); a key that is ``null`` counts
as absent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class ReleasedDefault:
    """The value of an absent key.

    Attributes:
        value: what the official code takes.
        source: where it says so.
    """

    value: Any
    source: str


RELEASED_DEFAULTS: dict[str, ReleasedDefault] = {
    "add_faster_video": ReleasedDefault(False, "llava_arch.py, train.py ModelArguments"),
    "add_time_instruction": ReleasedDefault(False, "train.py DataArguments, video_demo.py"),
    "faster_token_stride": ReleasedDefault(10, "train.py ModelArguments"),
    "image_aspect_ratio": ReleasedDefault("square", "llava_arch.py, train.py DataArguments"),
    "image_token_index": ReleasedDefault(151646, "the tokenizer's <image>; the code uses -200"),
    "mm_newline_position": ReleasedDefault("one_token", "llava_arch.py"),
    "mm_patch_merge_type": ReleasedDefault("flat", "llava_arch.py, train.py ModelArguments"),
    "mm_projector_type": ReleasedDefault("linear", "multimodal_projector/builder.py"),
    "mm_resampler_type": ReleasedDefault(None, "train.py ModelArguments"),
    "mm_spatial_pool_mode": ReleasedDefault("bilinear", "train.py ModelArguments"),
    "mm_spatial_pool_stride": ReleasedDefault(2, "llava_arch.py get_2dPool"),
    "mm_use_im_start_end": ReleasedDefault(False, "train.py ModelArguments"),
    "rope_scaling": ReleasedDefault(None, "transformers' Qwen2Config"),
    "rope_theta": ReleasedDefault(10_000.0, "transformers' Qwen2Config"),
    "s2": ReleasedDefault(False, "multimodal_encoder/builder.py"),
    "tie_word_embeddings": ReleasedDefault(False, "transformers' Qwen2Config"),
    "torch_dtype": ReleasedDefault("bfloat16", "the model card; builder.py takes float16"),
    "use_sliding_window": ReleasedDefault(False, "transformers' Qwen2Config"),
}
"""By key. ``force_sample`` is not among them: here frames are spread over the whole video, as with
``force_sample: true``, unless a caller asks for a rate."""


def value_of(values: dict[str, Any], key: str) -> Any:
    """The value of a key in a released config.json, or its default."""
    value = values.get(key)
    return RELEASED_DEFAULTS[key].value if value is None else value
