"""What was said and shown in a conversation, as values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llava_video.chat.media_files import MediaKind, is_address, kind_of, stamp_of
from llava_video.chat.protocol import Answered, AnswerOptions, Usage
from llava_video.errors import InputError


@dataclass(frozen=True, slots=True)
class ShownFile:
    """A video or an image that a turn shows.

    Attributes:
        name: its path or address.
        kind: what it shows.
        stamp: size in bytes and time of change (ns) of the file when it was shown; None for an
            address.
    """

    name: str
    kind: MediaKind
    stamp: tuple[int, int] | None = None

    @classmethod
    def of(cls, name: str) -> ShownFile:
        """As it is now.

        Raises:
            InputError: there is no such file.
        """
        return cls(name, kind_of(name), None if is_address(name) else stamp_of(Path(name)))

    def check_unchanged(self) -> None:
        """Check that the file is what it was when it was shown.

        Raises:
            InputError: it is gone, or was written to.
        """
        if self.stamp is not None and stamp_of(Path(self.name)) != self.stamp:
            raise InputError(
                f"{self.name}: has changed since it was asked about; put the old file back"
            )


@dataclass(frozen=True, slots=True)
class Turn:
    """A question and its answer.

    Attributes:
        question: plain text.
        files: videos and images that were shown with it.
        answer: with what it took and the videos of the whole conversation as the model saw them.
        options: how it was asked.
    """

    question: str
    files: tuple[ShownFile, ...]
    answer: Answered
    options: AnswerOptions


@dataclass(frozen=True, slots=True)
class Transcript:
    """A conversation up to now.

    Attributes:
        model: name of the model.
        system: the system prompt; None for the model's own.
        options: how the next question is answered.
        turns: in order.
        next_files: shown with the next question.
    """

    model: str
    system: str | None
    options: AnswerOptions
    turns: tuple[Turn, ...]
    next_files: tuple[ShownFile, ...] = ()

    @property
    def files(self) -> list[ShownFile]:
        """Videos and images of all turns, and those that the next question will show."""
        return [file for turn in self.turns for file in turn.files] + list(self.next_files)


def user_message(files: Sequence[ShownFile], question: str) -> dict[str, Any]:
    """The message of a user: videos and images first, then the text."""
    parts: list[dict[str, Any]] = [{"type": file.kind, file.kind: file.name} for file in files]
    return {"role": "user", "content": [*parts, {"type": "text", "text": question}]}


def describe_usage(usage: Usage) -> str:
    """What an answer took: ``0 frames decoded, 0 encoded, 12 of 3,412 tokens prefilled``."""
    return (
        f"{usage.num_frames_decoded:,} frames decoded, {usage.num_frames_encoded:,} encoded, "
        f"{usage.num_tokens_prefilled:,} of {usage.num_prompt_tokens:,} tokens prefilled"
    )
