"""Base of the model's classes: how checkpoints are read and written."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import nn
from transformers import PreTrainedModel

from llava_video.errors import CheckpointError
from llava_video.model.configuration import LlavaVideoConfig
from llava_video.model.outputs import CACHE
from llava_video.model.weight_names import ONEVISION_NAMES, WEIGHT_NAMES

_OUTPUT_LAYER = "lm_head.weight"


class LlavaVideoPreTrainedModel(PreTrainedModel):
    """Base of `LlavaVideoModel` and `LlavaVideoForConditionalGeneration`."""

    config: LlavaVideoConfig
    config_class = LlavaVideoConfig
    base_model_prefix = "model"
    main_input_name = "input_ids"
    input_modalities = ("image", "video", "text")
    supports_gradient_checkpointing = True
    _no_split_modules: ClassVar[list[str]] = ["SiglipEncoderLayer", "Qwen2DecoderLayer"]
    _skip_keys_device_placement: ClassVar[list[str]] = [CACHE]
    _supports_flash_attn = True
    _supports_sdpa = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    _can_compile_fullgraph = True

    @classmethod
    def from_pretrained(cls, *args: Any, **kwargs: Any) -> Any:
        """Load a checkpoint in our layout, the official release's, or LlavaOnevision's.

        Options are those of transformers, which only warns of tensors that are missing, left over
        or of another shape. Here they are an error, unless ``output_loading_info`` or
        ``ignore_mismatched_sizes`` says that the caller looks after them.

        Raises:
            CheckpointError: weights and configuration are not of one model.
        """
        names = {**WEIGHT_NAMES, **ONEVISION_NAMES}
        if "output_loading_info" in kwargs or "ignore_mismatched_sizes" in kwargs:
            return super().from_pretrained(*args, **{"key_mapping": names, **kwargs})
        model, report = super().from_pretrained(
            *args,
            **{"key_mapping": names, **kwargs},
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # reported below, with the names of the tensors
        )
        cls.check_report(report, str(args[0] if args else "the checkpoint"))
        return model

    @classmethod
    def check_report(cls, report: dict[str, Any], where: str) -> None:
        """Refuse weights that are missing, left over, or of another shape.

        Args:
            report: what transformers returns with ``output_loading_info=True``.
            where: the checkpoint, for messages.

        Raises:
            CheckpointError: there are such weights.
        """
        left_over = set(report["unexpected_keys"])
        if not hasattr(cls, "generate"):  # the model without its output layer
            left_over.discard(_OUTPUT_LAYER)
        mismatched = sorted(str(entry[0]) for entry in report["mismatched_keys"])
        for kind, names in (
            ("lacks the tensor", sorted(report["missing_keys"])),
            ("has a tensor that the model does not know:", sorted(left_over)),
            ("has a tensor of another shape than config.json says:", mismatched),
        ):
            if names:
                more = f" and {len(names) - 1} more" if len(names) > 1 else ""
                raise CheckpointError(
                    f"{where} {kind} {names[0]}{more}; weights and config.json are not of one model"
                )

    def save_pretrained(self, *args: Any, **kwargs: Any) -> None:
        """Write a checkpoint in our layout, whatever layout the model was loaded from.

        transformers would restore the old names of weights, but not the configuration that goes
        with them; ``llava-video convert`` writes both.
        """
        super().save_pretrained(*args, **{"save_original_format": False, **kwargs})

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        for name in ("newline", "separator"):
            vector = getattr(module, name, None)
            if isinstance(vector, nn.Parameter):
                nn.init.normal_(vector, std=vector.numel() ** -0.5)
