"""From the media of a request to what vLLM schedules: pixels, facts, and a prompt of all tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor
from transformers import BatchFeature
from vllm.multimodal.inputs import MultiModalFieldConfig
from vllm.multimodal.parse import MultiModalDataParser
from vllm.multimodal.processing import (
    BaseDummyInputsBuilder,
    BaseMultiModalProcessor,
    BaseProcessingInfo,
    ProcessorInputs,
    PromptReplacement,
    PromptUpdateDetails,
)
from vllm.multimodal.processing.processor import PlaceholderFeaturesInfo

from llava_video.model.configuration import LlavaVideoConfig
from llava_video.plugins.vllm.metadata import frames_of, metadata_of
from llava_video.plugins.vllm.placement import Kind, Placement
from llava_video.plugins.vllm.representation import (
    TILED,
    from_bytes,
    representation_of,
    to_bytes,
)
from llava_video.processing.media import read_picture
from llava_video.processing.processor import (
    LlavaVideoProcessor,
    LoadedMedia,
    processor_values,
)
from llava_video.processing.prompt import ImageSlot, Slot, VideoSlot
from llava_video.processing.tiles import cut_tiles
from llava_video.representation import VideoRepresentation, make_layout
from llava_video.representation.image_layout import ImageRepresentation, make_image_layout
from llava_video.types import Frames

KINDS: tuple[Kind, ...] = ("video", "image")


@dataclass
class SlotDetails(PromptUpdateDetails):
    """What takes the place of a placeholder, which vLLM keeps with the pixels.

    Attributes:
        slot: the tokens of the medium, and the time instruction behind them.
    """

    slot: Slot = field(default_factory=lambda: VideoSlot(0))


class VideoParser(MultiModalDataParser):
    """Takes videos with their metadata, and arrays of frames without."""

    def _get_video_with_metadata(self, video: Any) -> tuple[Any, dict[str, Any]]:
        pixels, metadata = super()._get_video_with_metadata(video)
        return pixels, metadata or {}


class LlavaVideoInfo(BaseProcessingInfo):
    """What vLLM asks about a model before there is a request."""

    def get_hf_config(self) -> LlavaVideoConfig:
        config: LlavaVideoConfig = self.ctx.get_hf_config(LlavaVideoConfig)
        return config

    @cached_property
    def processor(self) -> LlavaVideoProcessor:
        """Our processor of the checkpoint, whatever its layout."""
        return LlavaVideoProcessor(self.get_tokenizer(), **processor_values(self.get_hf_config()))

    def get_hf_processor(self, **kwargs: object) -> LlavaVideoProcessor:
        return self.processor

    @property
    def representation(self) -> VideoRepresentation:
        """Of requests that ask for none."""
        return representation_of(self.ctx.get_merged_mm_kwargs({}), self.get_hf_config())

    def get_data_parser(self) -> MultiModalDataParser:
        return VideoParser(
            video_needs_metadata=True, expected_hidden_size=self._get_expected_hidden_size()
        )

    def get_supported_mm_limits(self) -> Mapping[str, int | None]:
        shows_images = not self.get_hf_config().images.unsupported
        return {"video": None, "image": None} if shows_images else {"video": None}

    def get_supported_mm_processor_kwargs(self) -> dict[str, set[str]]:
        return {"text_kwargs": set(), "images_kwargs": set(), "videos_kwargs": set()}

    def get_mm_max_tokens_per_item(
        self, seq_len: int, mm_counts: Mapping[str, int]
    ) -> Mapping[str, int]:
        images = self.get_hf_config().images
        most = {"video": make_layout(self.representation, self.most_frames(seq_len)).num_tokens}
        if not images.unsupported:
            most["image"] = make_image_layout(images, *largest_image(images)).num_tokens
        return {kind: most[kind] for kind in mm_counts if kind in most}

    def most_frames(self, seq_len: int) -> int:
        """T, or fewer frames if a prompt of that length holds no more."""
        representation = self.representation
        counts = range(representation.max_frames, 1, -1)
        return next((n for n in counts if make_layout(representation, n).num_tokens < seq_len), 1)


class LlavaVideoDummyInputs(BaseDummyInputsBuilder[LlavaVideoInfo]):
    """The largest videos and images, for measuring memory."""

    def get_dummy_text(self, mm_counts: Mapping[str, int]) -> str:
        return ""  # not used: the placeholder need not be a text of the tokenizer

    def get_dummy_mm_data(
        self, seq_len: int, mm_counts: Mapping[str, int], mm_options: Any
    ) -> dict[str, Any]:
        side = self.info.get_hf_config().tile_size
        num_frames = self.info.most_frames(seq_len)
        frames = Frames.from_array(np.zeros((num_frames, side, side, 3), np.uint8))
        data: dict[str, Any] = {
            "video": [(frames.pixels, metadata_of(frames))] * mm_counts.get("video", 0)
        }
        if mm_counts.get("image"):
            height, width = largest_image(self.info.get_hf_config().images)
            data["image"] = [Image.new("RGB", (width, height))] * mm_counts["image"]
        return data


class LlavaVideoVllmProcessor(BaseMultiModalProcessor[LlavaVideoInfo]):
    """Our processor behind vLLM's interface."""

    @cached_property
    def placement(self) -> Placement:
        """Reads and writes placeholders."""
        config = self.info.get_hf_config()
        return Placement(self.info.get_tokenizer(), config.video_token_id)

    def apply(self, inputs: ProcessorInputs, timing_ctx: Any) -> Any:
        """As vLLM's own; each of several images is one square, which its cache must know."""
        if inputs.mm_data_items.get_count("image", strict=False) > 1:
            options = {**inputs.hf_processor_mm_kwargs, TILED: False}
            inputs = replace(inputs, hf_processor_mm_kwargs=options)
        return super().apply(inputs, timing_ctx)

    def get_dummy_inputs(
        self, seq_len: int, mm_counts: Mapping[str, int], mm_options: Any
    ) -> ProcessorInputs:
        data = self.dummy_inputs.get_dummy_mm_data(seq_len, mm_counts, mm_options)
        return ProcessorInputs(
            prompt=self.placement.one_each(mm_counts.get("video", 0), mm_counts.get("image", 0)),
            mm_data_items=self.info.parse_mm_data(data, validate=False),
        )

    def _call_hf_processor(
        self, hf_data: Mapping[str, Any], hf_kwargs: Mapping[str, object]
    ) -> BatchFeature:
        """Pixels and facts of videos and images, a list with one tensor for each."""
        options = self.info.ctx.get_merged_mm_kwargs(hf_kwargs)
        config = self.info.get_hf_config()
        processor = self.info.processor.with_representation(representation_of(options, config))
        fields: dict[str, list[Tensor]] = {}
        for pixels, metadata in hf_data.get("videos", ()):
            _add(fields, "video", *_load_video(processor, pixels, metadata))
        for image in hf_data.get("images", ()):
            tiled = bool(options.get(TILED, True))
            _add(fields, "image", *_load_image(processor, image, tiled=tiled))
        return BatchFeature(fields)

    def _get_mm_fields_config(
        self, hf_inputs: BatchFeature, hf_processor_mm_kwargs: Mapping[str, object]
    ) -> Mapping[str, MultiModalFieldConfig]:
        return {
            name: MultiModalFieldConfig.batched(
                name.partition("_")[0], keep_on_cpu=name.endswith("facts")
            )
            for name in hf_inputs
        }

    def _get_prompt_updates(
        self,
        mm_items: Any,
        hf_processor_mm_kwargs: Mapping[str, object],
        out_mm_kwargs: Mapping[str, Any],
    ) -> Sequence[PromptReplacement]:
        placeholder = [self.info.get_hf_config().video_token_id]

        def content(kind: Kind, index: int) -> SlotDetails:
            facts = from_bytes(out_mm_kwargs[kind][index][f"{kind}_facts"].data)
            said = facts.get("time_instruction", "")
            num_tokens = facts["num_tokens"]
            slot = VideoSlot(num_tokens, said) if kind == "video" else ImageSlot(num_tokens)
            return SlotDetails(full=placeholder, slot=slot)

        return [
            PromptReplacement(modality=kind, target=placeholder, replacement=partial(content, kind))
            for kind in KINDS
            if kind in mm_items
        ]

    def _apply_prompt_updates(
        self, token_ids: list[int], mm_prompt_updates: Mapping[str, Any]
    ) -> tuple[list[int], Mapping[str, list[PlaceholderFeaturesInfo]]]:
        """The whole prompt, and where the media are; see `Placement.fill`."""
        slots: dict[Kind, list[Slot]] = {
            kind: [updates[0].content.slot for updates in mm_prompt_updates.get(kind, ())]
            for kind in KINDS
        }
        filled, placed = self.placement.fill(token_ids, slots)
        places: dict[str, list[PlaceholderFeaturesInfo]] = {}
        for each in placed:
            tokens = filled[each.start : each.start + each.num_tokens]
            info = PlaceholderFeaturesInfo(each.kind, each.index, each.start, tokens, None)
            places.setdefault(each.kind, []).append(info)
        return filled, places


def largest_image(images: ImageRepresentation) -> tuple[int, int]:
    """Height and width of the picture that makes the most tokens."""
    sizes = [
        (rows * images.tile_size, columns * images.tile_size) for rows, columns in images.tile_grids
    ]
    square = (images.tile_size, images.tile_size)
    return max([square, *sizes], key=lambda size: make_image_layout(images, *size).num_tokens)


def _load_video(
    processor: LlavaVideoProcessor, pixels: Any, metadata: dict[str, Any]
) -> tuple[Tensor, dict[str, Any]]:
    """(T, 3, S, S) uint8 and the facts."""
    known = frames_of(pixels, metadata)
    frames = processor.sample_frames(pixels if known is None else known, metadata=metadata)
    slot = processor.slot_of(frames)
    facts = {
        "num_tokens": slot.num_tokens,
        "time_instruction": slot.time_instruction,
        "representation": processor.representation.to_dict(),
    }
    loaded = LoadedMedia(frames=[frames])
    return processor.pixels(loaded, as_bytes=True)["pixel_values_videos"], facts


def _load_image(
    processor: LlavaVideoProcessor, image: Any, *, tiled: bool
) -> tuple[Tensor, dict[str, Any]]:
    """(N, 3, S, S) uint8 tiles and the facts."""
    picture = read_picture(image)
    height, width, _ = picture.shape
    layout = make_image_layout(processor.images, height, width, tiled=tiled)
    loaded = LoadedMedia(tiles=[cut_tiles(picture, layout)], image_sizes=[(height, width)])
    facts = {"num_tokens": layout.num_tokens, "height": height, "width": width}
    return processor.pixels(loaded, as_bytes=True)["pixel_values"], facts


def _add(fields: dict[str, list[Tensor]], kind: Kind, pixels: Tensor, facts: Any) -> None:
    fields.setdefault(f"{kind}_pixels", []).append(pixels)
    fields.setdefault(f"{kind}_facts", []).append(to_bytes(facts))
