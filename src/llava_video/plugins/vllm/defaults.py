"""Settings of vLLM that our models need, so that no flag is."""

from __future__ import annotations

from typing import Any

from llava_video.plugins.vllm.names import NAME
from llava_video.plugins.vllm.representation import representation_of


class LlavaVideoDefaults:
    """Called by vLLM for our architectures; what the user set stays."""

    @staticmethod
    def verify_and_update_model_config(model_config: Any) -> None:
        """The renderer, and how videos and images are loaded.

        Args:
            model_config: vLLM's ``ModelConfig``.
        """
        if model_config.tokenizer_mode == "auto":
            model_config.tokenizer_mode = NAME
        media = model_config.multimodal_config
        config = model_config.hf_config
        representation = representation_of(media.mm_processor_kwargs or {}, config)
        defaults: dict[str, dict[str, Any]] = {
            "video": {
                "video_backend": NAME,
                "num_frames": -1,  # as many as the representation takes
                "max_frames": representation.max_frames,
                "size": config.tile_size,
            },
            "image": {"image_mode": None},  # transparency is dropped, as in training
        }
        for kind, values in defaults.items():
            media.media_io_kwargs[kind] = {**values, **media.media_io_kwargs.get(kind, {})}

    @staticmethod
    def verify_and_update_config(vllm_config: Any) -> None:
        """The repetition penalty, over the answer alone.

        vLLM takes no logits processors with speculative decoding: its own penalty, over the prompt
        too, is what remains there.

        Args:
            vllm_config: vLLM's ``VllmConfig``.
        """
        if vllm_config.speculative_config is not None:
            return
        runner = "Runner2" if vllm_config.use_v2_model_runner else ""
        processor = f"llava_video.plugins.vllm.penalty:AnswerPenalty{runner}"
        model_config = vllm_config.model_config
        others = list(model_config.logits_processors or ())
        if processor not in others:
            model_config.logits_processors = [*others, processor]
