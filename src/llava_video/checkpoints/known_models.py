"""Released checkpoints that have a short name: what they are, and their shapes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llava_video.model.configuration import LlavaVideoConfig
    from llava_video.representation.video_representation import Newline

_QWEN2_05B: dict[str, Any] = {
    "hidden_size": 896,
    "intermediate_size": 4864,
    "num_hidden_layers": 24,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "vocab_size": 151936,
    "tie_word_embeddings": True,
}
_QWEN2_7B: dict[str, Any] = {
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "vocab_size": 152064,
}
_QWEN2_72B: dict[str, Any] = {
    "hidden_size": 8192,
    "intermediate_size": 29568,
    "num_hidden_layers": 80,
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
    "vocab_size": 152064,
}


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A released checkpoint that has a short name.

    Attributes:
        short_name: what ``--model`` takes.
        hub_name: its name on the hub.
        download_bytes: of its weights in bfloat16, rounded.
        license: as its model card says.
        about: what it is for, in a few words.
        text_values: shapes of its language model; its vision encoder is SigLIP so400m.
        newline: where its video tokens have learned newlines.
    """

    short_name: str
    hub_name: str
    download_bytes: float
    license: str
    about: str
    text_values: dict[str, Any]
    newline: Newline = "grid"

    def config(self) -> LlavaVideoConfig:
        """Its shapes, for estimates; a download brings its real configuration."""
        from llava_video.model.configuration import LlavaVideoConfig  # names need no transformers

        tied = bool(self.text_values.get("tie_word_embeddings"))
        return LlavaVideoConfig(
            text_config={"max_position_embeddings": 32768, **self.text_values},
            video_representation={"pooling": "bilinear", "newline": self.newline},
            dtype="bfloat16",
            tie_word_embeddings=tied,
        )


KNOWN_MODELS = (
    KnownModel(
        "0.5b",
        "lmms-lab/llava-onevision-qwen2-0.5b-ov",
        1.79e9,
        "apache-2.0",
        "OneVision: images and short videos, on a laptop",
        _QWEN2_05B,
        newline="end",
    ),
    KnownModel(
        "7b",
        "lmms-lab/LLaVA-Video-7B-Qwen2",
        16.06e9,
        "apache-2.0",
        "LLaVA-Video, trained on videos and images",
        _QWEN2_7B,
    ),
    KnownModel(
        "7b-video-only",
        "lmms-lab/LLaVA-Video-7B-Qwen2-Video-Only",
        16.06e9,
        "apache-2.0",
        "LLaVA-Video, trained on videos alone",
        _QWEN2_7B,
    ),
    KnownModel(
        "72b",
        "lmms-lab/LLaVA-Video-72B-Qwen2",
        146.4e9,
        "apache-2.0",
        "LLaVA-Video, for several GPUs",
        _QWEN2_72B,
    ),
)


def find_known(name: str) -> KnownModel | None:
    """The known model of that short name or hub name, in any case of letters."""
    wanted = name.lower()
    return next((m for m in KNOWN_MODELS if wanted in (m.short_name, m.hub_name.lower())), None)
