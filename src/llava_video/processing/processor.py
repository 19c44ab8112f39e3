"""From videos, images and conversations to the inputs of the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import AutoConfig, BatchFeature
from transformers.processing_utils import ProcessorMixin

from llava_video.errors import InputError
from llava_video.model.configuration import LlavaVideoConfig
from llava_video.model.pixels import normalise
from llava_video.processing.media import (
    Medium,
    Picture,
    Video,
    media_of,
    name_of,
    read_frames,
    read_picture,
    show_tiles,
)
from llava_video.processing.options import AS_TRAINED, Padding, Sampling, read_options
from llava_video.processing.prompt import (
    END,
    ImageSlot,
    Message,
    Prompt,
    PromptRenderer,
    Slot,
    VideoSlot,
    describe_sampling,
)
from llava_video.processing.tiles import cut_tiles
from llava_video.representation import VideoRepresentation, make_layout
from llava_video.representation.image_layout import (
    ImageRepresentation,
    complete_image_values,
    make_image_layout,
)
from llava_video.types import Frames
from llava_video.video.resize import resize


@dataclass(slots=True)
class LoadedMedia:
    """Frames and tiles of the conversations of a batch.

    Attributes:
        frames: of each video.
        tiles: of each image, (N, S, S, 3).
        image_sizes: height and width of each image, in pixels.
    """

    frames: list[Frames] = field(default_factory=list)
    tiles: list[NDArray[np.uint8]] = field(default_factory=list)
    image_sizes: list[tuple[int, int]] = field(default_factory=list)


class LlavaVideoProcessor(ProcessorMixin):
    """Makes model inputs: samples and resizes frames, renders the prompt, counts the placeholders.

    Args:
        tokenizer: a tokenizer with the control tokens of Qwen2.
        image_size: side of the square that frames are resized to, in pixels.
        video_token_id: the placeholder for one video or image token.
        video_representation: values of a `VideoRepresentation`.
        image_representation: values of an `ImageRepresentation`; by default an image is one square.
        add_time_instruction: whether the prompt says how long the video is and when its frames are.
        max_positions: the longest prompt that the model takes, in tokens.
        chat_template: not used; conversations are rendered by `PromptRenderer`.
    """

    def __init__(
        self,
        tokenizer: Any,
        image_size: int = 384,
        video_token_id: int = 151646,
        video_representation: dict[str, Any] | None = None,
        image_representation: dict[str, Any] | None = None,
        add_time_instruction: bool = True,
        max_positions: int = 32768,
        chat_template: str | None = None,
    ) -> None:
        super().__init__(tokenizer, chat_template=chat_template)
        if tokenizer.pad_token_id is None:  # padding is masked: any token will do
            tokenizer.pad_token = tokenizer.eos_token or END
        self.image_size = image_size
        self.video_token_id = video_token_id
        self.video_representation = dict(video_representation or {})
        self.image_representation = complete_image_values(
            image_representation, image_size, self.representation
        )
        self.add_time_instruction = add_time_instruction
        self.max_positions = max_positions

    @classmethod
    def get_processor_dict(
        cls, pretrained_model_name_or_path: Any, **kwargs: Any
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Arguments of the processor; for the official release, from its config.json."""
        values, rest = super().get_processor_dict(pretrained_model_name_or_path, **kwargs)
        if "video_representation" not in values:
            config = AutoConfig.from_pretrained(pretrained_model_name_or_path)
            values = {**values, **processor_values(config)}
        return values, rest

    @property
    def renderer(self) -> PromptRenderer:
        """The renderer of prompts for this tokenizer."""
        return PromptRenderer(self.tokenizer, self.video_token_id)

    @property
    def representation(self) -> VideoRepresentation:
        """How frames become video tokens; the model's configuration owns it."""
        return VideoRepresentation.from_dict(self.video_representation)

    def with_representation(self, representation: VideoRepresentation) -> LlavaVideoProcessor:
        """A processor like this one, for a model of another representation."""
        other = copy(self)
        other.video_representation = representation.to_dict()
        return other

    @property
    def images(self) -> ImageRepresentation:
        """How images become tiles and tokens; the model must have the same."""
        return ImageRepresentation.from_dict(self.image_representation)

    def __call__(
        self,
        text: str | Sequence[str],
        videos: Video | Sequence[Video | None] | None = None,
        images: Picture | Sequence[Picture | Sequence[Picture] | None] | None = None,
        **options: Any,
    ) -> BatchFeature:
        """Inputs for one question per video or image, each a conversation of one turn.

        Args:
            text: a question, or one per row.
            videos: a video, or one per row; None for a row without one.
            images: an image, or one (or a list of several) per row; None for a row without one.
            **options: see `apply_chat_template`.

        Returns:
            What `apply_chat_template` returns.
        """
        if "add_special_tokens" in options:
            raise InputError(
                "text is a question here, not a rendered prompt; give messages to "
                "apply_chat_template"
            )
        if isinstance(text, str) and isinstance(images, list | tuple):
            images = [images]
        texts = [text] if isinstance(text, str) else list(text)
        conversations = []
        for question, video, image in zip(
            texts,
            _per_row("videos", videos, len(texts)),
            _per_row("images", images, len(texts)),
            strict=True,
        ):
            parts: list[dict[str, Any]] = [{"type": "text", "text": question}]
            if video is not None:
                parts.insert(0, {"type": "video", "video": video})
            several = image if isinstance(image, list | tuple) else [image]
            parts[:0] = [{"type": "image", "image": one} for one in several if one is not None]
            conversations.append([{"role": "user", "content": parts}])
        return self.apply_chat_template(conversations, **options)

    def apply_chat_template(
        self,
        conversation: Sequence[Message] | Sequence[Sequence[Message]],
        *,
        add_generation_prompt: bool | None = None,
        continue_final_message: bool = False,
        tokenize: bool = True,
        return_dict: bool = True,
        processor_kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Any:
        """Inputs for conversations, by the conventions of transformers.

        Defaults are what the model needs, which differs from transformers' own: tensors of all
        inputs, and a prompt for the assistant's turn.

        Args:
            conversation: messages, or a list of conversations for a batch; see `model.prompt`. A
                video part holds a `media.Video` under ``"video"``, ``"path"`` or ``"url"``, an
                image part a `media.Picture` under ``"image"``, ``"path"`` or ``"url"``.
            add_generation_prompt: whether to open the assistant's turn; by default yes, unless the
                final message is the assistant's or is to be continued.
            continue_final_message: leave the final message open, for the model to continue it.
            tokenize: return ids; if False, text with one placeholder per video or image.
            return_dict: return all inputs rather than ``input_ids`` alone.
            processor_kwargs: more options, as one mapping.
            **options: ``num_frames`` to sample from each file, by default the ``max_frames`` of the
                representation, or ``fps`` to sample at, up to that many; ``video_metadata``:
                transformers' `VideoMetadata` or None for each video, in order; ``padding_side``,
                ``pad_to_multiple_of`` and ``return_assistant_tokens_mask``; `FIXED_OPTIONS`.

        Returns:
            ``input_ids`` and ``attention_mask`` (B, L), padded on the left; with videos also
            ``pixel_values_videos`` (N, 3, S, S) float32 and ``num_frames_per_video``; with images
            ``pixel_values`` (N, 3, S, S) float32 of all tiles, ``num_tiles_per_image``,
            ``image_sizes`` (height and width of each) and ``mm_token_type_ids`` (B, L).

        Raises:
            InputError: parts that do not fit, or a prompt that is longer than the model's context.
            VideoError: a file cannot be read.
        """
        given = {**options, **(processor_kwargs or {})}
        sampling, padding = read_options(given, self.representation.max_frames)
        conversations = _as_batch(conversation)
        opens = [
            not continue_final_message and row[-1].get("role") != "assistant"
            if add_generation_prompt is None
            else add_generation_prompt
            for row in conversations
        ]
        loaded = LoadedMedia()
        slots = [self.load_media(media_of(row), loaded, sampling) for row in conversations]
        if not tokenize:
            slots = [[replace(slot, num_tokens=1) for slot in row] for row in slots]
        renderer = self.renderer
        prompts = [
            renderer.render(
                row,
                row_slots,
                add_generation_prompt=opened,
                continue_final_message=continue_final_message,
            )
            for row, row_slots, opened in zip(conversations, slots, opens, strict=True)
        ]
        if not tokenize:
            texts = [str(self.tokenizer.decode(prompt.input_ids)) for prompt in prompts]
            return texts if conversations is conversation else texts[0]
        self.check_lengths(prompts, slots)
        inputs = BatchFeature({**self._pad(prompts, loaded, padding), **self.pixels(loaded)})
        return inputs if return_dict else inputs["input_ids"]

    def sample_frames(
        self,
        video: Video,
        *,
        num_frames: int | None = None,
        fps: float | None = None,
        start_seconds: float = 0.0,
        end_seconds: float | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Frames:
        """Frames of a video for the size of the vision encoder, at most ``max_frames``.

        See `media.read_frames`; without a number, ``max_frames`` are sampled from a file.
        """
        most = self.representation.max_frames
        if num_frames is not None and isinstance(video, str | Path):  # before it is decoded
            self._check_num_frames(name_of(video), num_frames)
        frames = read_frames(
            video,
            num_frames=num_frames,
            fps=fps,
            max_frames=most,
            size=(self.image_size, self.image_size),
            start_seconds=start_seconds,
            end_seconds=end_seconds,
            metadata=metadata,
        )
        self._check_num_frames(frames.source, len(frames))
        return frames

    def preprocess(self, frames: Frames) -> Tensor:
        """Pixels for the vision encoder: (T, H, W, 3) uint8 -> (T, 3, S, S) float32.

        Direct resize to a square with PIL's bicubic filter, then from 0..255 to -1..1
        (siglip_encoder.py).
        """
        return normalise(self._squares(frames))

    def decode_answer(self, output_ids: Tensor, num_prompt_tokens: int) -> str:
        """The text that follows a prompt: (L,) ids -> answer."""
        answer = self.tokenizer.decode(output_ids[num_prompt_tokens:], skip_special_tokens=True)
        return str(answer).strip()

    def slot_of(self, frames: Frames) -> VideoSlot:
        """The slot of a video in a prompt: its number of tokens, and the time instruction."""
        num_tokens = make_layout(self.representation, len(frames)).num_tokens
        return VideoSlot(num_tokens, describe_sampling(frames) if self.add_time_instruction else "")

    def load_media(
        self, media: Sequence[Medium], loaded: LoadedMedia, sampling: Sampling = AS_TRAINED
    ) -> list[Slot]:
        """Load the videos and images of one conversation; returns their slots in the prompt.

        Args:
            media: videos and images in order; see `media.media_of`.
            loaded: of the batch; frames and tiles are appended to it.
            sampling: how the frames of files are chosen.
        """
        tiled = show_tiles(media)
        slots: list[Slot] = []
        for medium in media:
            if medium.kind == "video":
                metadata = sampling.video_metadata[len(loaded.frames) : len(loaded.frames) + 1]
                frames = self.sample_frames(
                    medium.source,
                    num_frames=sampling.num_frames,
                    fps=sampling.fps,
                    metadata=metadata[0] if metadata else None,
                )
                loaded.frames.append(frames)
                slots.append(self.slot_of(frames))
            else:
                picture = read_picture(medium.source)
                height, width, _ = picture.shape
                layout = make_image_layout(self.images, height, width, tiled=tiled)
                loaded.tiles.append(cut_tiles(picture, layout))
                loaded.image_sizes.append((height, width))
                slots.append(ImageSlot(layout.num_tokens))
        return slots

    def pixels(self, loaded: LoadedMedia, *, as_bytes: bool = False) -> dict[str, Tensor]:
        """Pixels of the loaded media, and how many belong to each.

        Args:
            loaded: of the batch.
            as_bytes: return pixels as uint8, a quarter of the memory; the model normalises them.

        Returns:
            The inputs of media that `apply_chat_template` returns.
        """
        data = {}
        finish = (lambda pixels: pixels) if as_bytes else normalise
        if loaded.frames:
            frames = [self._squares(video) for video in loaded.frames]
            data["pixel_values_videos"] = finish(torch.cat(frames))
            data["num_frames_per_video"] = torch.tensor([len(video) for video in frames])
        if loaded.tiles:
            data["pixel_values"] = finish(torch.cat([_as_tensor(tiles) for tiles in loaded.tiles]))
            data["num_tiles_per_image"] = torch.tensor([len(tiles) for tiles in loaded.tiles])
            data["image_sizes"] = torch.tensor(loaded.image_sizes)
        return data

    def _squares(self, frames: Frames) -> Tensor:
        """Frames at the size of the vision encoder: (T, H, W, 3) -> (T, 3, S, S) uint8."""
        size = (self.image_size, self.image_size)
        pixels = frames.pixels
        if pixels.shape[1:3] != size:
            pixels = np.stack([resize(picture, size, exact=True) for picture in pixels])
        return _as_tensor(pixels)

    def _check_num_frames(self, name: str, num_frames: int) -> None:
        most = self.representation.max_frames
        if num_frames > most:
            raise InputError(
                f"{name}: {num_frames} frames are more than T = {most} of the video "
                "representation; sample fewer frames or pass a representation with a larger T"
            )

    def check_lengths(self, prompts: Sequence[Prompt], slots: Sequence[Sequence[Slot]]) -> None:
        """Raise `InputError` where a prompt leaves no room for an answer in the model's context."""
        for prompt, row in zip(prompts, slots, strict=True):
            num_tokens = len(prompt.input_ids)
            if num_tokens >= self.max_positions:
                num_media = sum(slot.num_tokens for slot in row)
                raise InputError(
                    f"the prompt has {num_tokens} tokens ({num_media} of them video or image), the "
                    f"model takes {self.max_positions}; sample fewer frames, take a representation "
                    "with fewer tokens, or show fewer images"
                )

    def _pad(
        self, prompts: Sequence[Prompt], loaded: LoadedMedia, padding: Padding
    ) -> dict[str, Tensor]:
        """Make the rows of a batch equally long: (B, L) each."""
        longest = max(len(prompt.input_ids) for prompt in prompts)
        length = -(-longest // padding.multiple) * padding.multiple
        ids = torch.full((len(prompts), length), self.tokenizer.pad_token_id, dtype=torch.long)
        mask, types, written = (torch.zeros_like(ids) for _ in range(3))
        for row, prompt in enumerate(prompts):
            first = length - len(prompt.input_ids) if padding.side == "left" else 0
            place = slice(first, first + len(prompt.input_ids))
            ids[row, place] = torch.tensor(prompt.input_ids)
            types[row, place] = torch.tensor(prompt.token_types)
            written[row, place] = torch.tensor(prompt.supervised).long()
            mask[row, place] = 1
        data = {"input_ids": ids, "attention_mask": mask}
        if padding.with_assistant_masks:
            data["assistant_masks"] = written
        return {**data, "mm_token_type_ids": types} if loaded.tiles else data


def processor_values(config: LlavaVideoConfig) -> dict[str, Any]:
    """Arguments of a `LlavaVideoProcessor`, besides its tokenizer, for a model."""
    vision = config.vision
    text = config.text
    return {
        "image_size": vision.image_size,
        "video_token_id": config.video_token_id,
        "video_representation": config.representation.to_dict(),
        "image_representation": config.images.to_dict(),
        "add_time_instruction": config.add_time_instruction,
        "max_positions": text.max_position_embeddings,
    }


def _as_tensor(pixels_NHWC: NDArray[np.uint8]) -> Tensor:
    """(N, H, W, 3) uint8 -> (N, 3, H, W) uint8."""
    # A copy: the arrays of `Frames` are read-only, which tensors cannot be.
    return torch.tensor(pixels_NHWC).permute(0, 3, 1, 2)


def _per_row(name: str, given: Any, num_rows: int) -> list[Any]:
    """One value per question; a value alone is that of the only question."""
    if given is None:
        return [None] * num_rows
    rows = list(given) if isinstance(given, list | tuple) else [given]
    if len(rows) != num_rows:
        raise InputError(
            f"{num_rows} questions need as many {name}, got {len(rows)}; a list holds one for each "
            "question"
        )
    return rows


def _as_batch(
    conversation: Sequence[Message] | Sequence[Sequence[Message]],
) -> Sequence[Sequence[Message]]:
    if not conversation:
        raise InputError("a conversation needs at least one message")
    if isinstance(conversation[0], Sequence):
        return conversation  # type: ignore[return-value]
    return [conversation]  # type: ignore[list-item]
