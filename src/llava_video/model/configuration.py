"""Configuration of a LLaVA-Video model: its three parts, and how frames become tokens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from transformers import PreTrainedConfig, Qwen2Config, SiglipVisionConfig

from llava_video.errors import CheckpointError
from llava_video.representation import VideoRepresentation
from llava_video.representation.image_layout import ImageRepresentation, complete_image_values

SO400M_384: dict[str, Any] = {
    "hidden_size": 1152,
    "intermediate_size": 4304,
    "num_hidden_layers": 26,
    "num_attention_heads": 16,
    "image_size": 384,
    "patch_size": 14,
}
"""google/siglip-so400m-patch14-384 as LLaVA-Video uses it: the last of its 27 layers is dropped."""


ON_FIRST_CONFIGURATION: list[Callable[[], None]] = []
"""Called when the first configuration is made, which an Auto class does before it makes the model.
`llava_video.registration` registers the model classes here, because registering them earlier would
import torch, or be a circular import."""


class LlavaVideoConfig(PreTrainedConfig):
    """Configuration of `LlavaVideoForConditionalGeneration`.

    Attributes:
        vision_config: the SigLIP vision encoder; all its layers are used, its head is not.
        text_config: the Qwen2 language model.
        video_token_id: placeholder in ``input_ids`` for each video or image token.
        video_representation: values of a `VideoRepresentation`; ``grid_side`` follows the vision
            encoder.
        image_representation: values of an `ImageRepresentation`; sizes follow the vision encoder,
            and by default an image is one square.
        has_newline: whether there is a learned newline vector.
        has_separator: whether there is a learned separator vector.
        add_time_instruction: whether prompts say how long the video is and when its frames are.
    """

    model_type = "llava_video"
    sub_configs: ClassVar[dict[str, type[PreTrainedConfig]]] = {
        "vision_config": SiglipVisionConfig,
        "text_config": Qwen2Config,
    }

    vision_config: dict[str, Any] | PreTrainedConfig | None = None
    text_config: dict[str, Any] | PreTrainedConfig | None = None
    video_token_id: int = 151646
    video_representation: dict[str, Any] | None = None
    image_representation: dict[str, Any] | None = None
    has_newline: bool = True
    has_separator: bool = False
    add_time_instruction: bool = True
    tie_word_embeddings: bool = False

    def __post_init__(self, **kwargs: Any) -> None:
        if not isinstance(self.vision_config, PreTrainedConfig):
            vision = dict(self.vision_config or SO400M_384)
            vision["vision_use_head"] = False
            self.vision_config = SiglipVisionConfig(**vision)
        if not isinstance(self.text_config, PreTrainedConfig):
            self.text_config = Qwen2Config(**(self.text_config or {}))
        self.representation = VideoRepresentation.from_dict(
            {"grid_side": self.grid_side, **(self.video_representation or {})}
        )
        self.image_representation = complete_image_values(
            self.image_representation, self.tile_size, self.representation
        )
        super().__post_init__(**kwargs)
        while ON_FIRST_CONFIGURATION:
            ON_FIRST_CONFIGURATION.pop()()

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **options: Any) -> Any:
        """A configuration of its values; of another model's, transformers would only warn.

        Raises:
            CheckpointError: they are of another model.
        """
        model_type = config_dict.get("model_type", cls.model_type)
        if model_type != cls.model_type:
            raise CheckpointError(
                f"the configuration is of a {model_type!r} model, not of {cls.model_type!r}; "
                "load the checkpoint with llava_video.load, which reads other layouts"
            )
        return super().from_dict(config_dict, **options)

    @property
    def vision(self) -> SiglipVisionConfig:
        """Configuration of the vision encoder, typed."""
        assert isinstance(self.vision_config, SiglipVisionConfig)
        return self.vision_config

    @property
    def text(self) -> Qwen2Config:
        """Configuration of the language model, typed."""
        assert isinstance(self.text_config, Qwen2Config)
        return self.text_config

    @property
    def grid_side(self) -> int:
        """Side of the square of tokens that the vision encoder makes of a frame."""
        return int(self.vision.image_size) // int(self.vision.patch_size)

    @property
    def tile_size(self) -> int:
        """Side of the square pictures that the vision encoder takes, in pixels."""
        return int(self.vision.image_size)

    @property
    def images(self) -> ImageRepresentation:
        """How images become tiles and tokens."""
        return ImageRepresentation.from_dict(self.image_representation or {})

    @property
    def representation(self) -> VideoRepresentation:
        """How frames become video tokens. Assign to change it; weights do not depend on it.

        The model reads it at every call; a processor copies it when it is made.
        """
        return VideoRepresentation.from_dict(self.video_representation or {})

    @representation.setter
    def representation(self, representation: VideoRepresentation) -> None:
        self.video_representation = representation.to_dict()
