"""The model: frames -> vision encoder -> projector -> video tokens -> language model.

Images take the same path, as tiles. Shapes: N frames of all videos or tiles of all images, M tokens
per frame or tile, C vision width, D language width, V tokens of one video or image, B rows of a
batch, L positions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from transformers import GenerationMixin, Qwen2Model, SiglipVisionModel

from llava_video.errors import InputError, RepresentationError
from llava_video.model.configuration import LlavaVideoConfig
from llava_video.model.generation import AnswerGeneration
from llava_video.model.media_inputs import MEDIA_INPUTS, as_frames
from llava_video.model.outputs import CACHE, LlavaVideoModelOutput, LlavaVideoOutput
from llava_video.model.pixels import normalise
from llava_video.model.pretrained import LlavaVideoPreTrainedModel
from llava_video.model.projector import Projector
from llava_video.model.token_types import IMAGE, VIDEO
from llava_video.representation import LINEAR_POOLINGS, VideoRepresentation, make_layout
from llava_video.representation.image_layout import make_image_layout
from llava_video.representation.image_packing import pack_image
from llava_video.representation.packing import pack_video

FRAMES_PER_VISION_CHUNK = 8
"""Frames that go through the vision encoder at a time, so that memory does not grow with the
video."""


class LlavaVideoModel(LlavaVideoPreTrainedModel):
    """Vision encoder, projector and language model without the output layer."""

    def __init__(self, config: LlavaVideoConfig) -> None:
        super().__init__(config)
        vision = config.vision
        text = config.text
        self.vision_encoder = SiglipVisionModel._from_config(vision)
        self.projector = Projector(vision.hidden_size, text.hidden_size)
        self.language_model = Qwen2Model._from_config(text)
        self.newline = nn.Parameter(torch.empty(text.hidden_size)) if config.has_newline else None
        self.separator = (
            nn.Parameter(torch.empty(text.hidden_size)) if config.has_separator else None
        )
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.language_model.get_input_embeddings()  # type: ignore[no-any-return]

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.language_model.set_input_embeddings(value)

    def encode_frames(self, pixel_values_videos: Tensor) -> Tensor:
        """Vision features of frames, a few at a time: (N, 3, H, W) -> (N, M, C).

        Pixels are from -1 to 1, or bytes, which are normalised here. As in the official code, the
        output is that of the last layer *before* the final layer norm.
        """
        encoder = self.vision_encoder
        chunks = []
        for pixels in pixel_values_videos.split(FRAMES_PER_VISION_CHUNK):
            patches = encoder.embeddings(normalise(pixels).to(encoder.dtype))
            chunks.append(encoder.encoder(inputs_embeds=patches).last_hidden_state)  # (n, M, C)
        return chunks[0] if len(chunks) == 1 else torch.cat(chunks)

    def get_video_features(
        self,
        pixel_values_videos: Tensor,
        num_frames_per_video: Sequence[int] | Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        """Video tokens of each video, arranged as the representation says.

        Args:
            pixel_values_videos: ``(N, 3, S, S)``, the frames of all videos one after the other, or
                ``(videos, T, 3, S, S)``.
            num_frames_per_video: how many of them belong to each video; they add up to N. By
                default ``(N, 3, S, S)`` is one video.

        Returns:
            One ``(V, D)`` tensor per video; V differs between videos of unequal length.

        Raises:
            InputError: the numbers do not add up, or the pixels have another shape.
            RepresentationError: the representation does not fit the vision encoder.
        """
        pixel_values_videos, given = as_frames(
            pixel_values_videos, num_frames_per_video, self.config.tile_size
        )
        counts = [int(count) for count in given]
        if sum(counts) != len(pixel_values_videos):
            raise InputError(
                f"num_frames_per_video adds up to {sum(counts)}, but there are "
                f"{len(pixel_values_videos)} frames"
            )
        representation = self.config.representation
        if representation.grid_side != self.config.grid_side:
            raise RepresentationError(
                f"the representation has M = {representation.tokens_per_frame} tokens per frame, "
                f"the vision encoder makes {self.config.grid_side**2}; write that as M"
            )
        features = self.encode_frames(pixel_values_videos)
        return tuple(self.tokens_of(video) for video in features.split(counts))

    def tokens_of(
        self, features_TMC: Tensor, representation: VideoRepresentation | None = None
    ) -> Tensor:
        """Project and pack the features of one video's frames: (T, M, C) -> (V, D).

        A linear pooling commutes with the last linear layer, so it goes first: that layer then has
        a quarter of the rows or fewer. The configuration's representation is the default.
        """
        representation = representation or self.config.representation
        poolings = {representation.pooling, representation.fast_pooling or representation.pooling}
        early = poolings <= LINEAR_POOLINGS
        return pack_video(
            features_TMC,
            make_layout(representation, len(features_TMC)),
            newline_D=self.newline,
            separator_D=self.separator,
            before_pooling=self.projector.hidden if early else self.projector,
            after_pooling=self.projector.linear_2 if early else None,
        )

    def get_image_features(
        self,
        pixel_values: Tensor,
        image_sizes: Sequence[Sequence[int]] | Tensor,
        num_tiles_per_image: Sequence[int] | Tensor,
    ) -> tuple[Tensor, ...]:
        """Image tokens of each image, arranged as ``config.images`` says.

        Args:
            pixel_values: ``(N, 3, S, S)``, the tiles of all images one after the other.
            image_sizes: height and width of each image, in pixels.
            num_tiles_per_image: how many tiles belong to each; they add up to N.

        Returns:
            One ``(V, D)`` tensor per image.

        Raises:
            InputError: the numbers do not fit each other.
        """
        counts = [int(count) for count in num_tiles_per_image]
        layouts = [
            make_image_layout(self.config.images, int(height), int(width), tiled=count > 1)
            for (height, width), count in zip(image_sizes, counts, strict=True)
        ]
        if sum(counts) != len(pixel_values) or counts != [layout.num_tiles for layout in layouts]:
            raise InputError(
                f"images of these sizes make {[layout.num_tiles for layout in layouts]} tiles, "
                f"but there are {len(pixel_values)}, said to be {counts}; make them with the "
                "model's own processor"
            )
        features = self.projector(self.encode_frames(pixel_values))
        return tuple(
            pack_image(tiles, layout, self.newline)
            for tiles, layout in zip(features.split(counts), layouts, strict=True)
        )

    def embed(
        self,
        input_ids: Tensor,
        video_tokens: Sequence[Tensor] = (),
        image_tokens: Sequence[Tensor] = (),
        mm_token_type_ids: Tensor | None = None,
    ) -> Tensor:
        """Embed text and scatter video and image tokens to their placeholders: (B, L) -> (B, L, D).

        Videos fill the placeholders of videos in order, row by row, and images those of images.

        Args:
            input_ids: ``(B, L)`` with placeholders.
            video_tokens: ``(V, D)`` of each video.
            image_tokens: ``(V, D)`` of each image.
            mm_token_type_ids: ``(B, L)``, 1 at placeholders of images and 2 at those of videos;
                by default all placeholders are of the one kind that was given.

        Raises:
            InputError: there are more or fewer placeholders than tokens.
        """
        is_placeholder = input_ids == self.config.video_token_id
        embeddings = self.get_input_embeddings()(input_ids.masked_fill(is_placeholder, 0))
        if mm_token_type_ids is None:
            if video_tokens and image_tokens:
                raise InputError("videos beside images need mm_token_type_ids")
            mm_token_type_ids = torch.full_like(input_ids, IMAGE if image_tokens else VIDEO)
        media = (("video", VIDEO, video_tokens), ("image", IMAGE, image_tokens))
        for kind, token_type, tokens in media:
            is_kind = is_placeholder & (mm_token_type_ids == token_type)
            positions = is_kind.flatten().nonzero().squeeze(1)
            num_tokens = sum(len(several) for several in tokens)
            if num_tokens != len(positions):
                raise InputError(
                    f"the prompt has {len(positions)} {kind} placeholders, the {kind}s make "
                    f"{num_tokens} tokens; make both with one processor and one representation"
                )
            if num_tokens:
                tokens_VD = torch.cat(tuple(tokens)).to(embeddings)
                flat = embeddings.flatten(0, 1).index_copy(0, positions, tokens_VD)  # (B * L, D)
                embeddings = flat.view_as(embeddings)
        return embeddings  # type: ignore[no-any-return]

    def encode_media(self, **media: Any) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Tokens of all videos and of all images, ``(V, D)`` each, from any of ``MEDIA_INPUTS``."""
        video_tokens: tuple[Tensor, ...] = ()
        image_tokens: tuple[Tensor, ...] = ()
        frames = media.get("pixel_values_videos")
        if frames is not None:
            video_tokens = self.get_video_features(frames, media.get("num_frames_per_video"))
        tiles = media.get("pixel_values")
        if tiles is not None:
            sizes, num_tiles = media.get("image_sizes"), media.get("num_tiles_per_image")
            if sizes is None or num_tiles is None:
                raise InputError("pixel_values need image_sizes and num_tiles_per_image with them")
            image_tokens = self.get_image_features(tiles, sizes, num_tiles)
        return video_tokens, image_tokens

    def forward(
        self,
        input_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        mm_token_type_ids: Tensor | None = None,
        **kwargs: Any,
    ) -> LlavaVideoModelOutput:
        """Run the language model over text, videos and images.

        Arguments are those of `LlavaVideoForConditionalGeneration`.
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise InputError("give input_ids or inputs_embeds, and not both")
        media = {name: kwargs.pop(name) for name in MEDIA_INPUTS if name in kwargs}
        video_tokens, image_tokens = self.encode_media(**media)
        if input_ids is not None:
            if input_ids.shape[1] == 1 and not video_tokens and not image_tokens:
                # Decoding. A search for placeholders would synchronise the GPU at every token.
                inputs_embeds = self.get_input_embeddings()(input_ids)
            else:
                inputs_embeds = self.embed(input_ids, video_tokens, image_tokens, mm_token_type_ids)
        outputs = self.language_model(inputs_embeds=inputs_embeds, **kwargs)
        return LlavaVideoModelOutput(
            **outputs, video_tokens=video_tokens or None, image_tokens=image_tokens or None
        )


class LlavaVideoForConditionalGeneration(
    LlavaVideoPreTrainedModel, AnswerGeneration, GenerationMixin
):
    """LLaVA-Video: answers questions about videos and images.

    Made of transformers' SigLIP vision encoder and Qwen2 language model, a two-layer projector, and
    the video tokens of ``config.representation``.
    """

    model: LlavaVideoModel
    _tied_weights_keys: ClassVar[dict[str, str]] = {
        "lm_head.weight": "model.language_model.embed_tokens.weight"
    }

    def __init__(self, config: LlavaVideoConfig) -> None:
        super().__init__(config)
        text = config.text
        self.model = LlavaVideoModel(config)
        self.lm_head = nn.Linear(text.hidden_size, text.vocab_size, bias=False)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.model.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.model.set_input_embeddings(value)

    def get_video_features(
        self,
        pixel_values_videos: Tensor,
        num_frames_per_video: Sequence[int] | Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        """Video tokens of each video; see `LlavaVideoModel.get_video_features`."""
        return self.model.get_video_features(pixel_values_videos, num_frames_per_video)

    def get_image_features(
        self,
        pixel_values: Tensor,
        image_sizes: Sequence[Sequence[int]] | Tensor,
        num_tiles_per_image: Sequence[int] | Tensor,
    ) -> tuple[Tensor, ...]:
        """Image tokens of each image; see `LlavaVideoModel.get_image_features`."""
        return self.model.get_image_features(pixel_values, image_sizes, num_tiles_per_image)

    def forward(
        self,
        input_ids: Tensor | None = None,
        pixel_values_videos: Tensor | None = None,
        num_frames_per_video: Sequence[int] | Tensor | None = None,
        pixel_values: Tensor | None = None,
        num_tiles_per_image: Sequence[int] | Tensor | None = None,
        image_sizes: Sequence[Sequence[int]] | Tensor | None = None,
        mm_token_type_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        use_cache: bool | None = None,
        labels: Tensor | None = None,
        logits_to_keep: int | Tensor = 0,
        **kwargs: Any,
    ) -> LlavaVideoOutput:
        """Predict the next token at every position.

        Args:
            input_ids: ``(B, L)``, with ``config.video_token_id`` at each place of a video or image
                token.
            pixel_values_videos: ``(N, 3, S, S)`` frames of all videos, one after the other, or as
                transformers' LlavaOnevision takes them, ``(videos, T, 3, S, S)``.
            num_frames_per_video: frames of each video, in the order of their placeholders; by
                default all frames of ``(N, 3, S, S)`` are one video.
            pixel_values: ``(N, 3, S, S)`` tiles of all images, one after the other.
            num_tiles_per_image: tiles of each image.
            image_sizes: height and width of each image, in pixels.
            mm_token_type_ids: ``(B, L)``, needed where there are both; see `LlavaVideoModel.embed`.
            attention_mask: ``(B, L)``, 0 at padding.
            position_ids: ``(B, L)`` positions; counted along each row by default.
            inputs_embeds: ``(B, L, D)`` in place of ``input_ids``.
            use_cache: whether to return keys and values.
            labels: ``(B, L)`` ids to predict, -100 where there is no loss.
            logits_to_keep: compute logits for that many last positions only; 0 means all.
            **kwargs: passed on to the language model, such as keys and values of earlier positions,
                which are called ``cache`` or, before transformers 5.24, ``past_key_values``.

        Returns:
            Logits ``(B, L, vocabulary)``, the loss where labels are given, and the tokens of videos
            and images.
        """
        outputs = self.model(
            input_ids=input_ids,
            pixel_values_videos=pixel_values_videos,
            num_frames_per_video=num_frames_per_video,
            pixel_values=pixel_values,
            num_tiles_per_image=num_tiles_per_image,
            image_sizes=image_sizes,
            mm_token_type_ids=mm_token_type_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            inputs_embeds=inputs_embeds,
            use_cache=use_cache,
            **kwargs,
        )
        hidden = outputs.last_hidden_state
        keep = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        logits = self.lm_head(hidden[:, keep])  # (B, L or logits_to_keep, vocabulary)
        loss = None
        if labels is not None:
            num_ids = self.config.text.vocab_size
            loss = self.loss_function(logits=logits, labels=labels, vocab_size=num_ids, **kwargs)
        return LlavaVideoOutput(
            loss=loss,
            logits=logits,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
            video_tokens=outputs.video_tokens,
            image_tokens=outputs.image_tokens,
            **{CACHE: outputs.get(CACHE)},
        )
