"""A checkpoint that vLLM runs, as ``llava-video serve`` needs it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from functools import lru_cache
from typing import Any

from llava_video.budget.planner import fit_video_tokens
from llava_video.chat.protocol import Answered, AnswerOptions, Conversation, Influence, Piece
from llava_video.checkpoints.load import (
    find_checkpoint,
    fit_representation,
    load_config,
    load_processor,
)
from llava_video.errors import InputError
from llava_video.plugins.vllm.chat_model import VllmModel, check_vllm
from llava_video.representation import VideoRepresentation
from llava_video.serve.engine.served import name_for_clients, predict_tokens

UNBOUNDED = 1 << 40
"""vLLM lets requests wait for memory itself."""


class ServedByVllm:
    """See `ServedModel`; vLLM starts with `load`.

    Args:
        name: see `llava_video.load`.
        alias: what clients call it; by default its name.
        num_batches_at_once: requests that join vLLM's batch at a time.
        representation: use this one instead of the checkpoint's.
        options: of `VllmModel.load`.

    Raises:
        LlavaVideoError: vLLM or the checkpoint cannot be used.
    """

    batch_tokens = UNBOUNDED

    def __init__(
        self,
        name: str,
        *,
        alias: str | None = None,
        num_batches_at_once: int = 16,
        representation: VideoRepresentation | str | None = None,
        **options: Any,
    ) -> None:
        check_vllm()
        self.name = name_for_clients(name, alias)
        self.num_batches_at_once = num_batches_at_once
        self._directory = find_checkpoint(name)
        self._config = load_config(self._directory, representation)
        self._processor = load_processor(self._directory, self._config)
        self._options = {**options, "representation": representation}
        self._model: VllmModel | None = None
        self._fit = lru_cache(maxsize=256)(self._fit_video_tokens)

    @property
    def representation(self) -> VideoRepresentation:
        """See `ServedModel`."""
        return self._config.representation

    @property
    def frame_side(self) -> int:
        """See `ServedModel`."""
        return self._config.tile_size

    @property
    def num_positions(self) -> int:
        """See `ServedModel`."""
        return int(self._options.get("max_model_len") or self._processor.max_positions)

    def load(self) -> None:
        """Start vLLM."""
        self._model = VllmModel.load(self._directory, **self._options)

    @property
    def model(self) -> VllmModel:
        """That answers.

        Raises:
            InputError: `load` has not been called.
        """
        if self._model is None:
            raise InputError(f"{self.name}: vLLM is not started yet; ask again")
        return self._model

    def fit_representation(self, wanted: str) -> VideoRepresentation:
        """See `ServedModel`."""
        return fit_representation(wanted, self._config)

    def fit_video_tokens(self, max_video_tokens: int) -> VideoRepresentation:
        """See `ServedModel`."""
        return self._fit(max_video_tokens)

    def _fit_video_tokens(self, max_video_tokens: int) -> VideoRepresentation:
        fitting, _ = fit_video_tokens(
            self._config,
            self._directory,
            self.model.torch_device,
            max_video_tokens,
            held_bytes=UNBOUNDED,  # vLLM has taken the memory, and shares it out
        )
        return fitting

    def predict_tokens(
        self, conversation: Conversation, representation: VideoRepresentation, num_frames: int
    ) -> int:
        """See `ServedModel`."""
        return predict_tokens(self._processor, conversation, representation, num_frames)

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
        """Not there.

        Raises:
            InputError: always.
        """
        raise InputError(
            "which frames an answer rests on is measured by our own engine only; serve without "
            "--engine vllm"
        )
