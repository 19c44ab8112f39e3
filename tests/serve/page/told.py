"""A served model that says what it is told to, at a real model's cost."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

from llava_video.chat.protocol import Answered, AnswerOptions, Conversation, Piece
from tests.serve.server import Gate

SAY = "Say: "


class Told(Gate):
    """Answers ``Say: X`` with X, word by word, and everything else as the model inside does.

    Attributes:
        asked: conversations, with their media, in order.
        options: of each.
    """

    asked: list[Conversation]
    options: list[AnswerOptions]

    def answer(
        self,
        conversations: Sequence[Conversation],
        options: AnswerOptions,
        *,
        leaving: Collection[int] = (),
    ) -> Iterator[Piece | Answered]:
        self.asked = [*getattr(self, "asked", []), *conversations]
        self.options = [*getattr(self, "options", []), *[options] * len(conversations)]
        (conversation,) = conversations
        told = text_of(conversation).partition(SAY)[2]
        words = re.findall(r"\s*\S+", told)
        yield from (Piece(0, word) for word in words)  # also while the gate is shut
        for event in super().answer(conversations, options, leaving=leaving):
            if not told:
                yield event
            elif isinstance(event, Answered):
                yield replace(event, text="".join(words))


def text_of(conversation: Conversation) -> str:
    """The text of the last message."""
    content = conversation[-1]["content"]
    if isinstance(content, str):
        return content
    return "".join(part["text"] for part in content if part["type"] == "text")


def frames_of(told: Told) -> list[float]:
    """Times of the frames that the last question showed."""
    (video,) = [
        part["video"]
        for message in told.asked[-1]
        if not isinstance(message["content"], str)
        for part in message["content"]
        if part["type"] == "video"
    ]
    return [round(float(moment), 3) for moment in video.timestamps_seconds]
