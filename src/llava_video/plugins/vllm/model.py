"""The model in vLLM: our vision encoder, projector and packing before vLLM's Qwen2."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from transformers import SiglipVisionModel
from vllm.config import VllmConfig
from vllm.model_executor.models.interfaces import SupportsLoRA, SupportsMultiModal, SupportsPP
from vllm.model_executor.models.module_mapping import MultiModelKeys
from vllm.model_executor.models.utils import (
    AutoWeightsLoader,
    WeightsMapper,
    init_vllm_registered_model,
    maybe_prefix,
)
from vllm.multimodal import MULTIMODAL_REGISTRY

from llava_video.model.configuration import LlavaVideoConfig
from llava_video.model.modeling import LlavaVideoModel
from llava_video.model.projector import Projector
from llava_video.model.weight_names import WEIGHT_NAMES
from llava_video.plugins.vllm.processing import (
    LlavaVideoDummyInputs,
    LlavaVideoInfo,
    LlavaVideoVllmProcessor,
)
from llava_video.plugins.vllm.representation import from_bytes
from llava_video.representation import VideoRepresentation

LANGUAGE_MODEL = "Qwen2ForCausalLM"


class VideoEncoder(nn.Module):
    """What makes tokens of videos and images: `LlavaVideoModel` without its language model."""

    encode_frames: ClassVar[Any] = LlavaVideoModel.encode_frames
    tokens_of: ClassVar[Any] = LlavaVideoModel.tokens_of
    get_image_features: ClassVar[Any] = LlavaVideoModel.get_image_features

    def __init__(self, config: LlavaVideoConfig) -> None:
        super().__init__()
        width = config.text.hidden_size
        self.config = config
        self.vision_encoder = SiglipVisionModel._from_config(config.vision)
        self.projector = Projector(config.vision.hidden_size, width)
        self.newline = nn.Parameter(torch.empty(width)) if config.has_newline else None
        self.separator = nn.Parameter(torch.empty(width)) if config.has_separator else None


@MULTIMODAL_REGISTRY.register_processor(
    LlavaVideoVllmProcessor, info=LlavaVideoInfo, dummy_inputs=LlavaVideoDummyInputs
)
class LlavaVideoForVllm(nn.Module, SupportsMultiModal, SupportsLoRA, SupportsPP):
    """LLaVA-Video as vLLM runs it; checkpoints in our layout and in the released one.

    The language model is split over GPUs as vLLM splits Qwen2; each GPU has the whole encoder.
    """

    hf_to_vllm_mapper: ClassVar[WeightsMapper] = WeightsMapper(
        orig_to_new_regex={re.compile(old): new for old, new in WEIGHT_NAMES.items()},
        orig_to_new_prefix={
            "model.language_model.": "language_model.model.",
            "lm_head.": "language_model.lm_head.",
            "model.": "encoder.",
        },
    )
    packed_modules_mapping: ClassVar[dict[str, list[str]]] = {
        "qkv_proj": ["q_proj", "k_proj", "v_proj"],
        "gate_up_proj": ["gate_proj", "up_proj"],
    }

    @classmethod
    def get_placeholder_str(cls, modality: str, i: int) -> str | None:
        return "<image>" if modality in ("video", "image") else None

    def __init__(self, *, vllm_config: VllmConfig, prefix: str = "") -> None:
        super().__init__()
        config: LlavaVideoConfig = vllm_config.model_config.hf_config
        self.config = config
        text = config.text
        text.tie_word_embeddings = config.tie_word_embeddings  # where vLLM's Qwen2 looks
        marks: Any = self  # of SupportsMultiModal
        with marks._mark_tower_model(vllm_config, {"video", "image"}):
            self.encoder = VideoEncoder(config)
        with marks._mark_language_model(vllm_config):
            self.language_model = init_vllm_registered_model(
                vllm_config=vllm_config,
                hf_config=text,
                prefix=maybe_prefix(prefix, "language_model"),
                architectures=[LANGUAGE_MODEL],
            )
        marks.configure_mm_token_handling(text.vocab_size, [config.video_token_id])
        self.make_empty_intermediate_tensors = self.language_model.make_empty_intermediate_tensors

    def embed_multimodal(self, **kwargs: Any) -> list[Tensor]:
        """The tokens of each video and image, (V, D), from the fields of `processing`."""
        tokens: list[Tensor] = []
        videos = _pairs(kwargs.get("video_pixels"), kwargs.get("video_facts"))
        for pixels, facts in videos:
            representation = VideoRepresentation.from_dict(facts["representation"])
            tokens.append(
                self.encoder.tokens_of(self.encoder.encode_frames(pixels), representation)
            )
        images = _pairs(kwargs.get("image_pixels"), kwargs.get("image_facts"))
        if images:
            tiles, facts_of_each = zip(*images, strict=True)
            tokens += self.encoder.get_image_features(
                torch.cat(tiles),
                [(facts["height"], facts["width"]) for facts in facts_of_each],
                [len(pixels) for pixels in tiles],
            )
        return tokens

    def forward(
        self,
        input_ids: Tensor | None,
        positions: Tensor,
        intermediate_tensors: Any = None,
        inputs_embeds: Tensor | None = None,
        **kwargs: Any,
    ) -> Any:
        if intermediate_tensors is not None:
            inputs_embeds = None
        return self.language_model.model(
            input_ids, positions, intermediate_tensors, inputs_embeds=inputs_embeds
        )

    def compute_logits(self, hidden_states: Tensor) -> Tensor | None:
        """Logits, in which the placeholder is impossible: it stands for a video that was given."""
        logits: Tensor | None = self.language_model.compute_logits(hidden_states)
        placeholder = self.config.video_token_id
        if logits is not None and placeholder < logits.shape[-1]:
            logits[..., placeholder] = -torch.inf
        return logits

    def load_weights(self, weights: Iterable[tuple[str, Tensor]]) -> set[str]:
        loader = AutoWeightsLoader(self)
        return loader.load_weights(weights, mapper=self.hf_to_vllm_mapper)  # type: ignore[no-any-return]

    def get_mm_mapping(self) -> MultiModelKeys:
        """Which parts take LoRA adapters: the language model."""
        return MultiModelKeys.from_string_field(
            language_model="language_model",
            connector="encoder.projector",
            tower_model="encoder.vision_encoder",
        )


def _pairs(
    pixels: Sequence[Tensor] | Tensor | None, facts: Sequence[Tensor] | Tensor | None
) -> list[tuple[Tensor, dict[str, Any]]]:
    """Pixels and facts of each medium; vLLM stacks those of equal shapes."""
    if pixels is None or facts is None:
        return []
    return [(own, from_bytes(about)) for own, about in zip(pixels, facts, strict=True)]
