"""What ``AutoConfig`` makes of the official release's config.json, and of transformers' Llava's.

Both say ``model_type: llava``. The architecture distinguishes them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import PreTrainedConfig

from llava_video.checkpoints.released import ARCHITECTURE, implied_weight_names, translate_config
from llava_video.checkpoints.safetensors_files import read_headers
from llava_video.model.configuration import LlavaVideoConfig


class LlavaQwenConfig(PreTrainedConfig):
    """Stands for ``model_type: llava_qwen``, which checkpoints tuned with the official code say.

    Never becomes an object: what is made of it is a `LlavaVideoConfig`.
    """

    model_type = "llava_qwen"

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **options: Any) -> Any:
        """The `LlavaVideoConfig` that a released config.json describes.

        Raises:
            CheckpointError: it cannot be translated, or the weights beside it are damaged.
        """
        where = str(options.get("name_or_path") or "the checkpoint")
        if any(Path(where).glob("*.safetensors")):
            names = {tensor.name for shard in read_headers(Path(where)) for tensor in shard}
        else:
            names = implied_weight_names(config_dict)
        values = translate_config(config_dict, names, where).to_dict()
        return LlavaVideoConfig.from_dict(values, **options)


class LlavaTypeConfig(LlavaQwenConfig):
    """Stands for ``model_type: llava``: the official release's, or transformers' own Llava."""

    model_type = "llava"
    # As it replaces transformers' own class in the registry, it says that it is one: otherwise
    # checkpoints that bring code of their own would no longer be run with ``trust_remote_code``.
    __module__ = "transformers.models.llava.configuration_llava"

    def __new__(cls, *args: Any, **values: Any) -> Any:
        """One of transformers' own, for those who make it by the registry."""
        from transformers import LlavaConfig

        return LlavaConfig(*args, **values)

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **options: Any) -> Any:
        """A `LlavaVideoConfig` for the released architecture, else transformers' own."""
        if ARCHITECTURE in (config_dict.get("architectures") or ()):
            return super().from_dict(config_dict, **options)
        from transformers import LlavaConfig

        return LlavaConfig.from_dict(config_dict, **options)
