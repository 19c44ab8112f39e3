"""Collects the questions that wait and answers those of one video together.

inspect_ai asks for one answer at a time, many at once. What belongs together comes with a batch and
its size; a batch is answered when it is complete, so that its questions are computed together in
every run, also in one that resumes.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

import anyio
import anyio.to_thread

from llava_video.chat.protocol import Answered, AnswerOptions, ChatModel, Conversation
from llava_video.errors import LlavaVideoError

PATIENCE_SECONDS = 1.0
"""An incomplete batch is answered when nothing has been added to it for so long."""


@dataclass(eq=False)
class Waiting:
    """A question that waits for its answer.

    Attributes:
        conversation: to answer.
        options: how.
        answered: the answer, or the error, once there is one.
    """

    conversation: Conversation
    options: AnswerOptions
    answered: Answered | LlavaVideoError | None = None


@dataclass(eq=False)
class _Batch:
    size: int
    questions: list[Waiting] = field(default_factory=list)
    added: anyio.Event = field(default_factory=anyio.Event)


class Batcher:
    """Answers batches one after the other, in the order of their first questions.

    Args:
        open_model: gives the model, which is loaded with the first batch, in a thread.
    """

    def __init__(self, open_model: Callable[[], ChatModel]) -> None:
        self._open_model = open_model
        self._waiting: dict[Hashable, _Batch] = {}
        self._turn: anyio.Lock | None = None

    async def ask(
        self, conversation: Conversation, options: AnswerOptions, batch: Hashable, size: int
    ) -> Answered:
        """The answer of a conversation.

        Args:
            conversation: to answer.
            options: the same for a whole batch.
            batch: what tells the batch from others.
            size: how many questions it has.

        Raises:
            LlavaVideoError: this question cannot be answered.
        """
        self._turn = self._turn or anyio.Lock()
        mine = Waiting(conversation, options)
        waiting = self._waiting.setdefault((batch, options), _Batch(size))
        waiting.questions.append(mine)
        waiting.added.set()
        waiting.added = anyio.Event()
        async with self._turn:  # whoever waits longest goes first, and so does its batch
            if mine.answered is None:
                await self._wait_for_others(waiting)
                self._waiting.pop((batch, options), None)
                following = next(iter(self._waiting.values()), None)
                ahead = following.questions[0] if following is not None else None
                await anyio.to_thread.run_sync(self._answer, waiting.questions, ahead)
        if isinstance(mine.answered, Answered):
            return mine.answered
        assert mine.answered is not None
        raise mine.answered

    async def _wait_for_others(self, batch: _Batch) -> None:
        while len(batch.questions) < batch.size:
            with anyio.move_on_after(PATIENCE_SECONDS) as patience:
                await batch.added.wait()
            if patience.cancelled_caught:
                return

    def _answer(self, batch: list[Waiting], ahead: Waiting | None) -> None:
        """Answer a batch; if it fails, one by one, so that only what cannot be answered fails."""
        try:
            model = self._open_model()
        except LlavaVideoError as error:
            for waiting in batch:
                waiting.answered = error
            return
        if ahead is not None and hasattr(model, "load_ahead"):
            model.load_ahead([ahead.conversation], ahead.options)
        try:
            _answer_together(model, batch)
        except (LlavaVideoError, RuntimeError, MemoryError) as error:  # of a GPU that is full, too
            if len(batch) == 1:
                said = " ".join(str(error).split()) or type(error).__name__
                ours = LlavaVideoError(f"{model.name}: {said}")
                batch[0].answered = error if isinstance(error, LlavaVideoError) else ours
                return
            for waiting in batch:
                self._answer([waiting], None)


def _answer_together(model: ChatModel, batch: list[Waiting]) -> None:
    conversations = [waiting.conversation for waiting in batch]
    for piece in model.answer(conversations, batch[0].options):
        if isinstance(piece, Answered):
            batch[piece.row].answered = piece
    missing = [waiting for waiting in batch if waiting.answered is None]
    if missing:
        raise LlavaVideoError(f"{model.name}: {len(missing)} questions got no answer; ask again")
