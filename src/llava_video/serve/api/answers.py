"""Answers in OpenAI's types, with what was obeyed and what it took in their usage."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from openai.types import CompletionUsage
from openai.types.chat import ChatCompletion, ChatCompletionChunk, ChatCompletionMessage
from openai.types.chat.chat_completion import Choice
from openai.types.chat.chat_completion_chunk import Choice as ChunkChoice
from openai.types.chat.chat_completion_chunk import ChoiceDelta
from openai.types.completion_usage import PromptTokensDetails

from llava_video.chat.protocol import Answered, ShownVideo
from llava_video.representation import VideoRepresentation, make_layout


class ServedUsage(CompletionUsage):
    """OpenAI's counts, and ours."""

    llava_video: dict[str, Any]


@dataclass(frozen=True)
class Reply:
    """What all parts of one response have in common.

    Attributes:
        model: its name for clients.
        completion_id: of the response.
        created: seconds since 1970.
        with_usage: whether the last chunk says what it took, and the others that they do not.
    """

    model: str
    completion_id: str = field(default_factory=lambda: f"chatcmpl-{secrets.token_hex(12)}")
    created: int = field(default_factory=lambda: int(time.time()))
    with_usage: bool = False

    def whole(self, answers: Sequence[Answered], usage: CompletionUsage) -> ChatCompletion:
        """The response that is not streamed."""
        choices = [
            Choice(
                index=index,
                finish_reason=_finish_reason(answered),
                logprobs=None,
                message=ChatCompletionMessage(
                    role="assistant", content=answered.text, refusal=None
                ),
            )
            for index, answered in enumerate(answers)
        ]
        return ChatCompletion(
            id=self.completion_id,
            object="chat.completion",
            created=self.created,
            model=self.model,
            choices=choices,
            usage=usage,
        )

    def opening(self, num_choices: int) -> list[ChatCompletionChunk]:
        """The chunks before the first piece: whose turn it is."""
        delta = ChoiceDelta(role="assistant", content="")
        return [self._chunk(choice, delta) for choice in range(num_choices)]

    def piece(self, choice: int, text: str) -> ChatCompletionChunk:
        """A piece of an answer."""
        return self._chunk(choice, ChoiceDelta(content=text))

    def end(self, choice: int, answered: Answered) -> ChatCompletionChunk:
        """The end of an answer."""
        return self._chunk(choice, ChoiceDelta(), _finish_reason(answered))

    def usage(self, usage: CompletionUsage) -> ChatCompletionChunk:
        """The last chunk, which has no choice."""
        return ChatCompletionChunk(**self._about(), choices=[], usage=usage)

    def _chunk(
        self,
        choice: int,
        delta: ChoiceDelta,
        reason: Literal["stop", "length"] | None = None,
    ) -> ChatCompletionChunk:
        part = ChunkChoice(index=choice, delta=delta, finish_reason=reason, logprobs=None)
        about = self._about() | ({"usage": None} if self.with_usage else {})
        return ChatCompletionChunk(**about, choices=[part])

    def _about(self) -> dict[str, Any]:
        return {
            "id": self.completion_id,
            "object": "chat.completion.chunk",
            "created": self.created,
            "model": self.model,
        }


def make_usage(
    answers: Sequence[Answered],
    *,
    num_frames_decoded: int,
    seconds: dict[str, float],
    warnings: Sequence[str],
) -> ServedUsage:
    """What a response took.

    Args:
        answers: to one prompt.
        num_frames_decoded: read from files for it.
        seconds: of stages before the model's.
        warnings: what was done otherwise than asked for.
    """
    first, usages = answers[0], [answered.usage for answered in answers]
    num_prompt = first.usage.num_prompt_tokens
    num_prefilled = sum(usage.num_tokens_prefilled for usage in usages)
    num_new = sum(usage.num_new_tokens for usage in usages)
    # Those of the model itself are about this machine, and go to the log.
    said = [*warnings, *(warning for video in first.videos for warning in video.warnings)]
    return ServedUsage(
        prompt_tokens=num_prompt,
        completion_tokens=num_new,
        total_tokens=num_prompt + num_new,
        prompt_tokens_details=PromptTokensDetails(
            cached_tokens=max(0, num_prompt - first.usage.num_tokens_prefilled)
        ),
        llava_video={
            "frames_decoded": num_frames_decoded,
            "frames_encoded": sum(usage.num_frames_encoded for usage in usages),
            "tokens_prefilled": num_prefilled,
            "seconds": {**seconds, **first.seconds},
            "warnings": said,
            "videos": [describe_video(video) for video in first.videos],
        },
    )


def describe_video(video: ShownVideo) -> dict[str, Any]:
    """A video as the model saw it."""
    representation = VideoRepresentation.from_text(video.representation)
    return {
        "source": video.source,
        "duration_seconds": video.duration_seconds,
        "timestamps_seconds": [round(moment, 4) for moment in video.timestamps_seconds],
        "num_tokens": video.num_tokens,
        "representation": video.representation,
        **describe_layout(representation, len(video.timestamps_seconds)),
    }


def describe_layout(representation: VideoRepresentation, num_frames: int) -> dict[str, Any]:
    """The tokens of each frame, and whether it is a slow one."""
    tokens, slow = [0] * num_frames, [False] * num_frames
    for block in make_layout(representation, num_frames).blocks():
        tokens[block.frame] += block.num_tokens
        slow[block.frame] |= block.slow
    return {"frame_tokens": tokens, "slow": slow}


def _finish_reason(answered: Answered) -> Literal["stop", "length"]:
    return "length" if answered.finish_reason == "length" else "stop"
