"""Vision features of media, kept; and the tokens that are packed from them."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from llava_video.chat.local.byte_cache import ByteCache
from llava_video.chat.local.feature_files import FeatureFiles, digest_of_encoder
from llava_video.chat.local.media import Loaded, LoadedVideo
from llava_video.model.modeling import LlavaVideoForConditionalGeneration
from llava_video.representation import VideoRepresentation, make_layout
from llava_video.representation.dissimilarity import select_tokens
from llava_video.representation.image_packing import pack_image


class VisionFeatures:
    """Features of frames and tiles by the digest of their pixels, in the memory of the CPU.

    Video tokens are not kept: packing them from features takes a fiftieth of what the language
    model takes to read them, and another representation only packs again.

    Args:
        max_bytes: of all features.
        files: keep them in files, too.
    """

    def __init__(self, max_bytes: int, files: FeatureFiles | None = None) -> None:
        self.files = files
        self._encoder = ""
        self.kept: ByteCache[str, Tensor] = ByteCache(max_bytes, lambda features: features.nbytes)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is wrong with the files, one sentence each."""
        return (self.files.warning,) if self.files is not None and self.files.warning else ()

    def of(self, loaded: Loaded, network: LlavaVideoForConditionalGeneration) -> tuple[Tensor, int]:
        """Features of the pictures of a medium, (N, M, C), and how many were encoded for them."""
        encoded: Tensor | None = None

        def encode() -> Tensor:
            nonlocal encoded
            stored = self._read(loaded.digest, network)
            if stored is not None:
                return stored
            pixels = torch.tensor(loaded.pixels).permute(0, 3, 1, 2).to(network.device)
            encoded = network.model.encode_frames(pixels)
            is_kept = encoded.nbytes <= self.kept.max_bytes
            on_cpu = encoded.cpu() if is_kept or self.files is not None else encoded
            if self.files is not None:
                self.files.write(self._encoder, loaded.digest, on_cpu)
            return on_cpu

        features = self.kept.get_or_make(loaded.digest, encode)
        if encoded is None:
            return features.to(network.device), 0
        return encoded, len(encoded)

    def _read(self, digest: str, network: LlavaVideoForConditionalGeneration) -> Tensor | None:
        if self.files is None:
            return None
        if not self._encoder:
            self._encoder = digest_of_encoder(network.model.vision_encoder, network.device)
        return self.files.read(self._encoder, digest)

    def tokens_of(
        self,
        loaded: Loaded,
        network: LlavaVideoForConditionalGeneration,
        representation: VideoRepresentation,
    ) -> tuple[Tensor, int]:
        """The tokens of a medium, (V, D), and how many pictures were encoded for them."""
        features, num_encoded = self.of(loaded, network)
        model = network.model
        if isinstance(loaded, LoadedVideo):
            return model.tokens_of(features, representation), num_encoded
        return pack_image(model.projector(features), loaded.layout, model.newline), num_encoded

    def frames_of(
        self,
        loaded: Loaded,
        network: LlavaVideoForConditionalGeneration,
        representation: VideoRepresentation,
    ) -> NDArray[np.int64]:
        """The frame behind each token of a video, (V,)."""
        layout = make_layout(representation, len(loaded.pixels))
        if layout.num_tokens == layout.num_packed_tokens:
            return layout.frame_of_token()
        features, _ = self.of(loaded, network)
        return select_tokens(features, layout).frame_of_token()
