"""`ScriptedModel`: answers that are known beforehand, for tests of what stands above a model."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from threading import Lock

from llava_video.chat.protocol import Answered, AnswerOptions, Conversation, Piece, Usage
from llava_video.errors import InputError

Script = Callable[[Conversation, AnswerOptions], str] | Sequence[str]
"""What to answer: a function of the conversation and the options, or the answers in order."""


class ScriptedModel:
    """A `ChatModel` without a model. It streams words, and keeps what it was asked.

    An answer ends before a stop text, and after ``max_new_tokens`` words.

    Args:
        script: what it answers.
        name: its name.
    """

    def __init__(self, script: Script, name: str = "scripted") -> None:
        self.name = name
        self.asked: list[tuple[Conversation, AnswerOptions]] = []
        self._script = script if callable(script) else _in_order(script)
        self._lock = Lock()

    def answer(
        self, conversations: Sequence[Conversation], options: AnswerOptions
    ) -> Iterator[Piece | Answered]:
        """Answer each conversation by the script; see `ChatModel.answer`.

        Raises:
            InputError: the list of answers is at its end.
        """
        with self._lock:
            answers = [self._script(conversation, options) for conversation in conversations]
            self.asked += [(conversation, options) for conversation in conversations]
        for row, (conversation, answer) in enumerate(zip(conversations, answers, strict=True)):
            places = [place for stop in options.stop if (place := answer.find(stop)) >= 0]
            words = re.findall(r"\s*\S+", answer[: min(places, default=None)].strip())
            said = words[: options.max_new_tokens]
            for word in said:
                yield Piece(row, word)
            yield Answered(
                row=row,
                text="".join(said),
                finish_reason="stop" if len(said) == len(words) else "length",
                usage=Usage(len(str(conversation).split()), len(said)),
            )


def _in_order(answers: Sequence[str]) -> Callable[[Conversation, AnswerOptions], str]:
    remaining = iter(answers)

    def script(conversation: Conversation, options: AnswerOptions) -> str:
        answer = next(remaining, None)
        if answer is None:
            raise InputError(f"the script has {len(answers)} answers; add one")
        return answer

    return script
