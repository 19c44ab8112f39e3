"""Names of weights in the layouts of the official release and of transformers' LlavaOnevision."""

from __future__ import annotations

WEIGHT_NAMES = {
    r"^model\.vision_tower\.vision_tower\.vision_model\.": "model.vision_encoder.",
    r"^model\.mm_projector\.0\.": "model.projector.linear_1.",
    r"^model\.mm_projector\.2\.": "model.projector.linear_2.",
    r"^model\.image_newline$": "model.newline",
    r"^model\.faster_token$": "model.separator",
    r"^model\.embed_tokens\.": "model.language_model.embed_tokens.",
    r"^model\.layers\.": "model.language_model.layers.",
    r"^model\.norm\.": "model.language_model.norm.",
}
"""Patterns of released weight names and what replaces them."""

ONEVISION_NAMES = {
    r"^(model\.)?vision_tower\.(?!vision_tower\.)(vision_model\.)?": "model.vision_encoder.",
    r"^(model\.)?multi_modal_projector\.": "model.projector.",
    r"^image_newline$": "model.newline",
    r"^language_model\.model\.": "model.language_model.",
    r"^language_model\.lm_head\.": "lm_head.",
}
"""Patterns of LlavaOnevision's names, older and newer ones, where they are neither ours nor the
released layout's."""
