"""Vision features of media, kept; and the tokens that are packed from them."""

from __future__ import annotations

import torch
from torch import Tensor

from llava_video.chat.local.byte_cache import ByteCache
from llava_video.chat.local.media import Loaded, LoadedVideo
from llava_video.model.modeling import LlavaVideoForConditionalGeneration
from llava_video.representation import VideoRepresentation
from llava_video.representation.image_packing import pack_image


class VisionFeatures:
    """Features of frames and tiles by the digest of their pixels, in the memory of the CPU.

    Video tokens are not kept: packing them from features takes a hundredth of what the language
    model takes to read them, and another representation only packs again.

    Args:
        max_bytes: of all features.
    """

    def __init__(self, max_bytes: int) -> None:
        self.kept: ByteCache[str, Tensor] = ByteCache(max_bytes, lambda features: features.nbytes)
        self.num_encoded = 0
        self.num_kept = 0

    def of(self, loaded: Loaded, network: LlavaVideoForConditionalGeneration) -> Tensor:
        """Features of the pictures of a medium, (N, M, C), on the device of the model."""
        was_encoded = False

        def encode() -> Tensor:
            nonlocal was_encoded
            was_encoded = True
            pixels = torch.tensor(loaded.pixels).permute(0, 3, 1, 2).to(network.device)
            return network.model.encode_frames(pixels).cpu()

        features = self.kept.get_or_make(loaded.digest, encode)
        if was_encoded:
            self.num_encoded += len(features)
        else:
            self.num_kept += len(features)
        return features.to(network.device)

    def tokens_of(
        self,
        loaded: Loaded,
        network: LlavaVideoForConditionalGeneration,
        representation: VideoRepresentation,
    ) -> Tensor:
        """The tokens of a medium, (V, D)."""
        features = self.of(loaded, network)
        model = network.model
        if isinstance(loaded, LoadedVideo):
            return model.tokens_of(features, representation)
        return pack_image(model.projector(features), loaded.layout, model.newline)
