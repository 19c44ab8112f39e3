"""What the engine needs of a model, and a checkpoint that has it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

from llava_video.budget.planner import fit_video_tokens, planner_of, spare_bytes
from llava_video.chat.local_model import LocalModel
from llava_video.chat.protocol import (
    Answered,
    AnswerOptions,
    Conversation,
    Influence,
    Piece,
)
from llava_video.checkpoints.load import find_checkpoint
from llava_video.errors import InputError
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


class ServedModel(Protocol):
    """A `ChatModel` that can say beforehand what an answer will take.

    Conversations hold `Frames` under ``"video"`` and (H, W, 3) arrays under ``"image"``.
    """

    @property
    def name(self) -> str:
        """For clients."""
        ...

    @property
    def representation(self) -> VideoRepresentation:
        """How frames become tokens unless a request says otherwise."""
        ...

    @property
    def frame_side(self) -> int:
        """Height and width of the frames that it takes, in pixels."""
        ...

    @property
    def num_positions(self) -> int:
        """The longest prompt and answer together, in tokens."""
        ...

    @property
    def batch_tokens(self) -> int:
        """The most tokens, prompts and answers together, that memory has room for at a time."""
        ...

    @property
    def num_batches_at_once(self) -> int:
        """How many batches may be answered at a time, each by a thread of its own."""
        ...

    def load(self) -> None:
        """Load the weights."""
        ...

    def fit_representation(self, wanted: str) -> VideoRepresentation:
        """What ``"T,M,s,p"`` or the name of a preset means for it."""
        ...

    def fit_video_tokens(self, max_video_tokens: int) -> VideoRepresentation:
        """The representation to take for at most so many tokens of a video."""
        ...

    def predict_tokens(
        self, conversation: Conversation, representation: VideoRepresentation, num_frames: int
    ) -> int:
        """The most tokens that a prompt can have, its media not yet read (any value stands).

        Raises:
            InputError: its text alone is longer than the model takes.
        """
        ...

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


class ServedCheckpoint:
    """A checkpoint of this machine as the engine needs it.

    Args:
        model: which answers.
        directory: of its files.
        name: for clients.
        batch_tokens: see `ServedModel`.
    """

    num_batches_at_once = 1

    def __init__(self, model: LocalModel, directory: Path, name: str, batch_tokens: int) -> None:
        self.model = model
        self.name = name
        self.batch_tokens = batch_tokens
        self._directory = directory
        self._fit = lru_cache(maxsize=256)(self._fit_video_tokens)

    @property
    def representation(self) -> VideoRepresentation:
        """See `ServedModel`."""
        return self.model.representation

    @property
    def frame_side(self) -> int:
        """See `ServedModel`."""
        return int(self.model.processor.image_size)

    @property
    def num_positions(self) -> int:
        """See `ServedModel`."""
        return int(self.model.processor.max_positions)

    def load(self) -> None:
        """See `ServedModel`."""
        _ = self.model.network

    def fit_representation(self, wanted: str) -> VideoRepresentation:
        """See `ServedModel`."""
        return self.model.fit_representation(wanted)

    def fit_video_tokens(self, max_video_tokens: int) -> VideoRepresentation:
        """See `ServedModel`; as `ask --max-video-tokens` chooses it."""
        return self._fit(max_video_tokens)

    def _fit_video_tokens(self, max_video_tokens: int) -> VideoRepresentation:
        held_bytes = self.model.weights_bytes
        fitting, _ = fit_video_tokens(
            self.model.config,
            self._directory,
            self.model.device,
            max_video_tokens,
            held_bytes=held_bytes,
        )
        return fitting

    def predict_tokens(
        self, conversation: Conversation, representation: VideoRepresentation, num_frames: int
    ) -> int:
        """See `ServedModel`."""
        return predict_tokens(self.model.processor, conversation, representation, num_frames)

    def count_tokens(self, conversation: Conversation, options: AnswerOptions) -> int:
        """See `ServedModel`."""
        return self.model.count_tokens(conversation, options)

    def answer(
        self,
        conversations: Sequence[Conversation],
        options: AnswerOptions,
        *,
        leaving: Collection[int] = (),
    ) -> Iterator[Piece | Answered]:
        """See `ServedModel`."""
        return self.model.answer(conversations, options, leaving=leaving)

    def influence(
        self,
        conversation: Conversation,
        answer: str,
        options: AnswerOptions | None = None,
        *,
        span_frames: int = 1,
    ) -> Influence:
        """See `ServedModel`."""
        return self.model.influence(conversation, answer, options, span_frames=span_frames)


def predict_tokens(
    processor: LlavaVideoProcessor,
    conversation: Conversation,
    representation: VideoRepresentation,
    num_frames: int,
) -> int:
    """The most tokens that a prompt can have; see `ServedModel`."""
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
    batch_tokens = count_batch_tokens(model, directory)
    return ServedCheckpoint(model, directory, name_for_clients(name, alias), batch_tokens)


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
