"""Where videos and images stand in a prompt. Integers and texts only; needs no vLLM.

A prompt comes with one placeholder for each video or image, and leaves with one for each token.
Videos and images share the placeholder. Where a prompt has both, ``<|im_start|>`` directly behind
the placeholder says that it is an image; `PromptRenderer` writes a line break there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from llava_video.errors import InputError
from llava_video.model.token_types import IMAGE
from llava_video.processing.prompt import (
    START,
    ImageSlot,
    Message,
    PromptRenderer,
    Slot,
    VideoSlot,
)

Kind = Literal["video", "image"]


@dataclass(frozen=True, slots=True)
class Placed:
    """The tokens of a video or image in a prompt.

    Attributes:
        kind: what it is.
        index: among those of its kind.
        start: position of its first token.
        num_tokens: how many follow one another.
    """

    kind: Kind
    index: int
    start: int
    num_tokens: int


class Placement:
    """Writes and reads placeholders for one tokenizer.

    Args:
        tokenizer: of the checkpoint.
        video_token_id: the placeholder.
    """

    def __init__(self, tokenizer: Any, video_token_id: int) -> None:
        self._tokenizer = tokenizer
        self._renderer = PromptRenderer(tokenizer, video_token_id)
        self._video_token_id = video_token_id
        added = tokenizer.added_tokens_decoder
        self._control_ids = {*map(int, added), video_token_id}
        self._start = next(int(i) for i, token in added.items() if str(token) == START)

    def render(self, messages: Sequence[Message], **options: Any) -> list[int]:
        """The prompt of a conversation with one placeholder per video or image.

        Args:
            messages: whose parts may lack their medium.
            **options: of `PromptRenderer.render`.

        Raises:
            InputError: it is no conversation that this model takes.
        """
        slots: list[Slot] = [
            VideoSlot(1) if part["type"] == "video" else ImageSlot(1)
            for message in messages
            for part in _parts(message)
            if part.get("type") in ("video", "image")
        ]
        prompt = self._renderer.render(messages, slots, **options)
        kinds = {type(slot) for slot in slots}
        ids: list[int] = []
        for token_id, token_type in zip(prompt.input_ids, prompt.token_types, strict=True):
            ids.append(token_id)
            if token_type == IMAGE and len(kinds) > 1:
                ids.append(self._start)
        return ids

    def one_each(self, num_videos: int, num_images: int) -> list[int]:
        """The shortest prompt of so many videos and images."""
        image = [self._video_token_id] + ([self._start] if num_videos else [])
        return [self._video_token_id] * num_videos + image * num_images

    def fill(
        self, token_ids: Sequence[int], slots: Mapping[Kind, Sequence[Slot]]
    ) -> tuple[list[int], list[Placed]]:
        """Give each placeholder the tokens of its medium, and videos their time instruction.

        Args:
            token_ids: with one placeholder per video or image.
            slots: of each kind, in order.

        Raises:
            InputError: the prompt shows more or fewer.
        """
        remaining = {kind: list(values) for kind, values in slots.items() if values}
        counts = dict.fromkeys(remaining, 0)
        filled: list[int] = []
        placed: list[Placed] = []
        position = 0
        while position < len(token_ids):
            token_id = token_ids[position]
            position += 1
            if token_id != self._video_token_id:
                filled.append(token_id)
                continue
            kind: Kind = next(iter(remaining), "video")
            if len(remaining) > 1:
                is_image = token_ids[position : position + 1] == [self._start]
                kind, position = ("image", position + 1) if is_image else ("video", position)
            index = counts.get(kind, 0)
            if index >= len(remaining.get(kind, ())):
                raise InputError(f"the prompt shows more than {index} {kind}s, which were given")
            counts[kind] = index + 1
            slot = remaining[kind][index]
            placed.append(Placed(kind, index, len(filled), slot.num_tokens))
            filled += [self._video_token_id] * slot.num_tokens
            end = self._end_of_text(token_ids, position)
            said = slot.time_instruction if isinstance(slot, VideoSlot) else ""
            filled += self._after_video(said, list(token_ids[position:end]))
            position = end
        missing = {kind: len(values) - counts[kind] for kind, values in remaining.items()}
        if any(missing.values()):
            kind, number = next((kind, number) for kind, number in missing.items() if number)
            raise InputError(f"{number} more {kind}s were given than the prompt shows")
        return filled, placed

    def _end_of_text(self, token_ids: Sequence[int], start: int) -> int:
        end = start
        while end < len(token_ids) and token_ids[end] not in self._control_ids:
            end += 1
        return end

    def _after_video(self, said: str, following: list[int]) -> list[int]:
        """The time instruction and the text behind it, tokenized as one, as in training."""
        if not said:
            return following
        text = str(self._tokenizer.decode(following, skip_special_tokens=False))
        encode = self._renderer.encode_text
        if encode(text) == following:
            return encode(f"\n{said}{text}")
        return encode(f"\n{said}") + following  # ids that no text gives


def _parts(message: Message) -> Sequence[Mapping[str, Any]]:
    content = message.get("content")
    return [] if content is None or isinstance(content, str) else content
