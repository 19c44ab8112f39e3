"""What the engine needs of a model, and a checkpoint that has it."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

from llava_video.budget.devices import free_memory_bytes
from llava_video.budget.planner import Planner, planner_of, spare_bytes
from llava_video.chat.local_model import LocalModel
from llava_video.chat.protocol import (
    Answered,
    AnswerOptions,
    Conversation,
    Influence,
    Piece,
)
from llava_video.checkpoints.load import find_checkpoint, fit_representation
from llava_video.errors import InputError
from llava_video.model.configuration import LlavaVideoConfig
from llava_video.processing.media import media_of, show_tiles
from llava_video.processing.processor import LlavaVideoProcessor
from llava_video.processing.prompt import ImageSlot, Slot, VideoSlot
from llava_video.representation import VideoRepresentation, make_layout
from llava_video.representation.image_layout import ImageRepresentation

TIME_TOKENS_PER_FRAME = 12
"""At most, of the time instruction: ``12345.67s,`` in bytes, of which a token has one or more."""

COPIES = 3
"""Of the keys and values of a row while it is decoded: held, in the batch, and as it grows."""

UNKNOWN_ROWS = 4
"""Of the longest answers, where the system does not say what memory is free."""

TIME_TOKENS = 256
"""At most, of the rest of the time instruction."""


class Answers(Protocol):
    """What a `ServedModel` hands conversations to: a `LocalModel`, or vLLM's counterpart."""

    def count_tokens(self, conversation: Conversation, options: AnswerOptions) -> int:
        """The tokens of a prompt."""
        ...

    def answer(
        self,
        conversations: Sequence[Conversation],
        options: AnswerOptions,
        *,
        leaving: Collection[int] = (),
    ) -> Iterator[Piece | Answered]:
        """Answer as `ChatModel.answer` does; rows that come into ``leaving`` end early."""
        ...

    def influence(
        self,
        conversation: Conversation,
        answer: str,
        options: AnswerOptions | None = None,
        *,
        span_frames: int = 1,
    ) -> Influence:
        """See `CheckpointModel.influence`."""
        ...


class ServedModel:
    """A checkpoint that can say beforehand what an answer will take.

    Conversations hold `Frames` under ``"video"`` and (H, W, 3) arrays under ``"image"``.

    Args:
        checkpoint: what it was loaded by; see `llava_video.load`.
        name: what clients call it.
        config: of the model; its representation is the default.
        processor: of the checkpoint.
        planner: knows the memory that is free before it is loaded.
        batch_tokens: the most tokens, prompts and answers together, that memory has room for at a
            time.
        num_batches_at_once: how many batches may be answered at a time, each by a thread of its
            own.
    """

    def __init__(
        self,
        checkpoint: str,
        name: str,
        config: LlavaVideoConfig,
        processor: LlavaVideoProcessor,
        planner: Planner,
        *,
        batch_tokens: int,
        num_batches_at_once: int = 1,
    ) -> None:
        self.checkpoint = checkpoint
        self.name = name
        self.config = config
        self.processor = processor
        self.batch_tokens = batch_tokens
        self.num_batches_at_once = num_batches_at_once
        self._fit = lru_cache(maxsize=256)(planner.fit_video_tokens)

    @property
    def model(self) -> Answers:
        """Which answers."""
        raise NotImplementedError

    def load(self) -> None:
        """Load the weights."""
        raise NotImplementedError

    def close(self) -> None:
        """Give up what `load` has taken, where that outlives the object."""

    @property
    def is_alive(self) -> bool:
        """Whether it can still answer."""
        return True

    @property
    def can_measure_influence(self) -> bool:
        """Whether `influence` is there."""
        return True

    @property
    def representation(self) -> VideoRepresentation:
        """How frames become tokens unless a request says otherwise."""
        return self.config.representation

    @property
    def frame_side(self) -> int:
        """Height and width of the frames that it takes, in pixels."""
        return int(self.processor.image_size)

    @property
    def num_positions(self) -> int:
        """The longest prompt and answer together, in tokens."""
        return int(self.processor.max_positions)

    def fit_representation(self, wanted: str) -> VideoRepresentation:
        """What ``"T,M,s,p"`` or the name of a preset means for it."""
        return fit_representation(wanted, self.config)

    def fit_video_tokens(self, max_video_tokens: int) -> VideoRepresentation:
        """The representation that `ask --max-video-tokens` would choose."""
        representation, _ = self._fit(max_video_tokens)
        return representation

    def predict_tokens(
        self, conversation: Conversation, representation: VideoRepresentation, num_frames: int
    ) -> int:
        """The most tokens that a prompt can have, its media not yet read (any value stands).

        Raises:
            InputError: its text alone is longer than the model takes.
        """
        return predict_tokens(self.processor, conversation, representation, num_frames)

    def count_tokens(self, conversation: Conversation, options: AnswerOptions) -> int:
        """The tokens of a prompt."""
        return self.model.count_tokens(conversation, options)

    def answer(
        self,
        conversations: Sequence[Conversation],
        options: AnswerOptions,
        *,
        leaving: Collection[int] = (),
    ) -> Iterator[Piece | Answered]:
        """See `Answers`."""
        return self.model.answer(conversations, options, leaving=leaving)

    def influence(
        self,
        conversation: Conversation,
        answer: str,
        options: AnswerOptions | None = None,
        *,
        span_frames: int = 1,
    ) -> Influence:
        """See `CheckpointModel.influence`."""
        return self.model.influence(conversation, answer, options, span_frames=span_frames)


class ServedCheckpoint(ServedModel):
    """A checkpoint that our own engine runs; made by `load_served`."""

    def __init__(self, model: LocalModel, name: str, planner: Planner, batch_tokens: int) -> None:
        super().__init__(
            model.name, name, model.config, model.processor, planner, batch_tokens=batch_tokens
        )
        self._model = model

    @property
    def model(self) -> LocalModel:
        """Which answers."""
        return self._model

    def load(self) -> None:
        """Load the weights."""
        _ = self._model.network


def predict_tokens(
    processor: LlavaVideoProcessor,
    conversation: Conversation,
    representation: VideoRepresentation,
    num_frames: int,
) -> int:
    """See `ServedModel.predict_tokens`."""
    media = media_of(conversation)
    slots: list[Slot] = [
        ImageSlot(0) if medium.kind == "image" else VideoSlot(0) for medium in media
    ]
    prompt = processor.renderer.render(conversation, slots)
    processor.check_lengths([prompt], [slots])
    num_text = len(prompt.input_ids)
    num_videos = sum(medium.kind == "video" for medium in media)
    num_images = len(media) - num_videos
    per_video = make_layout(representation, num_frames).num_tokens
    if processor.add_time_instruction:
        per_video += TIME_TOKENS + TIME_TOKENS_PER_FRAME * num_frames
    per_image = _most_image_tokens(processor.images, tiled=show_tiles(media))
    return num_text + num_videos * per_video + num_images * per_image


def _most_image_tokens(images: ImageRepresentation, *, tiled: bool) -> int:
    per_tile = images.grid_side * (images.grid_side + 1)
    num_tiles = max((rows * columns for rows, columns in images.tile_grids), default=0)
    return int(per_tile * (1 + num_tiles if tiled else 1))


def name_for_clients(name: str, alias: str | None = None) -> str:
    """What clients call a model: the alias, or its own name without its directory.

    Raises:
        InputError: nothing is left of it.
    """
    given = alias or (Path(name).name if "/" in name and Path(name).exists() else name)
    if not given:
        raise InputError("a model needs a name; give --name")
    return given


def load_served(name: str, *, alias: str | None = None, **options: Any) -> ServedCheckpoint:
    """A checkpoint, without its weights, which `ServedCheckpoint.load` loads.

    Args:
        name: see `llava_video.load`.
        alias: what clients call it; by default its name.
        options: of `LocalModel.load`.

    Raises:
        LlavaVideoError: it cannot be used.
    """
    directory = find_checkpoint(name)
    model = LocalModel.load(directory, **options)
    model.name = name
    free_bytes = free_memory_bytes(model.device) or sys.maxsize
    planner = planner_of(model.config, directory, model.device, free_bytes, int8=model.int8)
    return ServedCheckpoint(
        model, name_for_clients(name, alias), planner, count_batch_tokens(model, directory)
    )


def count_batch_tokens(model: LocalModel, directory: Path) -> int:
    """Tokens that fit into the memory that weights, caches and the runtime leave.

    At least one answer with all frames of the model's representation, for which `LocalModel.load`
    has found room.
    """
    most = int(model.processor.max_positions)
    spare = spare_bytes(model.config, directory, model.device, int8=model.int8)
    if spare is None:
        return most * UNKNOWN_ROWS
    planner = planner_of(model.config, directory, model.device, spare, int8=model.int8)
    memory, text = planner.model, model.config.text
    width = memory.dtype.itemsize
    activations = (3 * text.intermediate_size + 4 * text.hidden_size) * width
    per_token = COPIES * memory.key_value_bytes_per_token + activations
    limits = model.limits
    kept = limits.keys_values_bytes
    if model.device.type == "cpu":
        kept += limits.frames_bytes + limits.features_bytes
    own = planner.judge(model.representation)
    one = min(own.num_prompt_tokens + planner.num_new_tokens, most)
    return int(one + max(0, spare - kept) // per_token)
