"""What is answered together, in which order, and what a failure takes with it."""

from collections.abc import Sequence

import anyio
import pytest

from llava_video.chat.protocol import Answered, AnswerOptions, Conversation
from llava_video.chat.scripted import ScriptedModel
from llava_video.errors import InputError
from llava_video.evaluate.harness.batcher import Batcher


def says(text: str) -> Conversation:
    return [{"role": "user", "content": text}]


class Counting(ScriptedModel):
    """Repeats what it is asked, counts calls, and is told what comes next."""

    def __init__(self) -> None:
        super().__init__(lambda conversation, options: self._repeat(conversation))
        self.calls: list[list[str]] = []
        self.ahead: list[str] = []

    def _repeat(self, conversation: Conversation) -> str:
        if conversation[-1]["content"] == "bad":
            raise InputError("too long")
        return str(conversation[-1]["content"])

    def answer(self, conversations, options):
        self.calls.append([c[-1]["content"] for c in conversations])
        return super().answer(conversations, options)

    def load_ahead(self, conversations: Sequence[Conversation], options: AnswerOptions) -> None:
        self.ahead += [conversation[-1]["content"] for conversation in conversations]


def ask(*questions: tuple[str, str, int]) -> tuple[Counting, list[str]]:
    """Ask ``(text, batch, size)`` at once; the model, and the answers in order."""
    model = Counting()
    batcher = Batcher(lambda: model)
    found = [""] * len(questions)

    async def one(place: int, text: str, batch: str, size: int) -> None:
        try:
            answered: Answered = await batcher.ask(says(text), AnswerOptions(), batch, size)
            found[place] = answered.text
        except InputError as error:
            found[place] = f"error: {error}"

    async def main() -> None:
        async with anyio.create_task_group() as group:
            for place, question in enumerate(questions):
                group.start_soon(one, place, *question)

    anyio.run(main)
    return model, found


def test_a_batch_is_one_call_in_the_order_of_first_questions() -> None:
    model, found = ask(("a1", "a", 2), ("b1", "b", 1), ("a2", "a", 2))
    assert model.calls == [["a1", "a2"], ["b1"]]
    assert found == ["a1", "b1", "a2"]


def test_the_next_batch_is_loaded_while_one_is_answered() -> None:
    model, _ = ask(("a1", "a", 1), ("b1", "b", 1), ("c1", "c", 1))
    assert model.ahead == ["b1", "c1"]


def test_an_incomplete_batch_is_answered_after_a_while() -> None:
    model, found = ask(("a1", "a", 5), ("b1", "b", 1))
    assert model.calls == [["a1"], ["b1"]]
    assert found == ["a1", "b1"]


def test_one_bad_question_does_not_take_the_others_with_it() -> None:
    _, found = ask(("a1", "a", 3), ("bad", "a", 3), ("a3", "a", 3))
    assert found == ["a1", "error: too long", "a3"]


def test_a_model_that_cannot_be_opened_fails_every_question() -> None:
    def fail() -> ScriptedModel:
        raise InputError("no such model")

    batcher = Batcher(fail)
    for _ in range(2):
        with pytest.raises(InputError, match="no such model"):
            anyio.run(batcher.ask, says("a"), AnswerOptions(), "a", 1)
