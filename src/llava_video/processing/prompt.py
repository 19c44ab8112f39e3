"""The one renderer of prompts, for chat, serving, training and evaluation.

A conversation is a list of messages in the form that transformers uses::

    [{"role": "user",
      "content": [{"type": "video", "video": frames}, {"type": "text", "text": "What?"}]}]

It becomes control tokens, text and slots for the tokens of videos and images. Control tokens come
from the renderer only: text of a user is tokenized so that it cannot become a control token. Slots
come from the position of a video or image part, never from a string in the text.

The format is ChatML with the system prompt of Qwen2 (``qwen_1_5`` in the official code).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llava_video.errors import InputError
from llava_video.model.token_types import IMAGE, TEXT, VIDEO
from llava_video.types import Frames

SYSTEM_PROMPT = "You are a helpful assistant."
ROLES = ("system", "user", "assistant")
START, END = "<|im_start|>", "<|im_end|>"
"""The control tokens around a message."""

Message = Mapping[str, Any]
"""``{"role": ..., "content": text or list of parts}``."""


@dataclass(frozen=True, slots=True)
class VideoSlot:
    """A video in a prompt: ``num_tokens`` placeholders and the time instruction."""

    num_tokens: int
    time_instruction: str = ""


@dataclass(frozen=True, slots=True)
class ImageSlot:
    """An image in a prompt: ``num_tokens`` placeholders."""

    num_tokens: int


Slot = VideoSlot | ImageSlot
"""A video or image part in a prompt."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """A rendered conversation.

    Attributes:
        input_ids: token ids, one placeholder per video or image token.
        supervised: for each id, whether it has a loss in training: the assistant's text and the end
            of its turn.
        token_types: for each id, ``TEXT``, ``IMAGE`` or ``VIDEO``.
    """

    input_ids: list[int]
    supervised: list[bool]
    token_types: list[int]


def describe_sampling(frames: Frames) -> str:
    """The time instruction: the duration of the video and the times of its frames.

    As in the official code (train.py and the model card), without a space after the last full stop.
    """
    times = ",".join(f"{seconds:.2f}s" for seconds in frames.timestamps_seconds)
    return (
        f"The video lasts for {frames.duration_seconds:.2f} seconds, and {len(frames)} frames are "
        f"uniformly sampled from it. These frames are located at {times}."
        "Please answer the following questions related to this video."
    )


class PromptRenderer:
    """Turns conversations into token ids for one tokenizer.

    Args:
        tokenizer: a fast tokenizer with the control tokens of Qwen2.
        video_token_id: the placeholder for one video or image token.

    Raises:
        InputError: the tokenizer has no ``<|im_start|>`` and ``<|im_end|>``.
    """

    def __init__(self, tokenizer: Any, video_token_id: int) -> None:
        self._tokenizer = tokenizer
        self._video_token_id = video_token_id
        added = {text: token_id for token_id, text in self._added_tokens()}
        if START not in added or END not in added:
            raise InputError(
                "the tokenizer has no <|im_start|> and <|im_end|> tokens, so it is not one of "
                "Qwen2; put the tokenizer files of the checkpoint into its directory"
            )
        self._start, self._end = added[START], added[END]
        longest_first = sorted(added, key=len, reverse=True)
        self._control = re.compile("|".join(map(re.escape, longest_first)))

    def _added_tokens(self) -> list[tuple[int, str]]:
        return [(i, str(token)) for i, token in self._tokenizer.added_tokens_decoder.items()]

    def render(
        self,
        messages: Sequence[Message],
        slots: Sequence[Slot] = (),
        *,
        add_generation_prompt: bool = True,
        continue_final_message: bool = False,
    ) -> Prompt:
        """Render a conversation.

        Args:
            messages: roles ``system`` (first, optional), ``user`` and ``assistant``.
            slots: one per video or image part, in order.
            add_generation_prompt: whether to open the assistant's turn.
            continue_final_message: leave the last message open, for the model to continue it.

        Raises:
            InputError: an unknown role or part, or parts and slots that do not match.
        """
        if not messages:
            raise InputError("a conversation needs at least one message")
        if add_generation_prompt and continue_final_message:
            raise InputError("either add_generation_prompt or continue_final_message, not both")
        if messages[0].get("role") != "system":
            messages = [{"role": "system", "content": SYSTEM_PROMPT}, *messages]
        builder = _Builder(self.encode_text)
        remaining = iter(slots)
        for message in messages:
            is_open = continue_final_message and message is messages[-1]
            self._add_message(builder, message, remaining, is_open=is_open)
        if next(remaining, None) is not None:
            raise InputError(
                f"{len(slots)} videos and images were given, the conversation shows fewer"
            )
        if add_generation_prompt:
            builder.control(self._start)
            builder.text("assistant\n")
        return builder.prompt()

    def _add_message(
        self, builder: _Builder, message: Message, slots: Iterator[Slot], *, is_open: bool
    ) -> None:
        role = message.get("role")
        if role not in ROLES:
            raise InputError(f"a message has role {role!r}; use one of {', '.join(ROLES)}")
        is_assistant = role == "assistant"
        builder.control(self._start)
        builder.text(f"{role}\n")
        for part in _parts_of(message):
            if part["type"] == "text":
                builder.text(part["text"], supervised=is_assistant)
            else:
                self._add_slot(builder, part["type"], next(slots, None))
        if not is_open:
            builder.control(self._end, supervised=is_assistant)
            builder.text("\n")

    def _add_slot(self, builder: _Builder, kind: str, slot: Slot | None) -> None:
        if slot is None:
            raise InputError("the conversation shows more videos and images than were given")
        if isinstance(slot, VideoSlot) != (kind == "video"):
            raise InputError(
                "videos and images are given in another order than the parts show them"
            )
        token_type = VIDEO if kind == "video" else IMAGE
        for _ in range(slot.num_tokens):
            builder.control(self._video_token_id, token_type=token_type)
        said = slot.time_instruction if isinstance(slot, VideoSlot) else ""
        builder.text(f"\n{said}\n" if said else "\n")

    def encode_text(self, text: str) -> list[int]:
        """Tokenize text as text: the spelling of a control token is cut in two first."""
        ids: list[int] = []
        start = 0
        while match := self._control.search(text, start):
            cut = match.start() + 1
            ids += self._encode_piece(text[start:cut])
            start = cut
        return ids + self._encode_piece(text[start:])

    def _encode_piece(self, piece: str) -> list[int]:
        return list(self._tokenizer.encode(piece, add_special_tokens=False)) if piece else []


class _Builder:
    """Collects a prompt; neighbouring texts are tokenized as one, as the official code does."""

    def __init__(self, encode: Any) -> None:
        self._encode = encode
        self._ids: list[int] = []
        self._supervised: list[bool] = []
        self._token_types: list[int] = []
        self._pending = ""
        self._pending_supervised = False

    def control(self, token_id: int, *, supervised: bool = False, token_type: int = TEXT) -> None:
        self._flush()
        self._ids.append(token_id)
        self._supervised.append(supervised)
        self._token_types.append(token_type)

    def text(self, text: str, *, supervised: bool = False) -> None:
        if supervised != self._pending_supervised:
            self._flush()
        self._pending += text
        self._pending_supervised = supervised

    def prompt(self) -> Prompt:
        self._flush()
        return Prompt(self._ids, self._supervised, self._token_types)

    def _flush(self) -> None:
        if not self._pending:
            return
        ids = self._encode(self._pending)
        self._ids += ids
        self._supervised += [self._pending_supervised] * len(ids)
        self._token_types += [TEXT] * len(ids)
        self._pending = ""


def _parts_of(message: Message) -> list[Mapping[str, Any]]:
    """The parts of a message; a single video or image comes before the text, as in training."""
    content = message.get("content")
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    if not isinstance(content, Sequence):
        raise InputError("the content of a message is text or a list of parts")
    parts = list(content)
    for part in parts:
        kind = part.get("type") if isinstance(part, Mapping) else None
        if kind not in ("text", "image", "video"):
            raise InputError(
                f"a part of a message has type {kind!r}; use 'text', 'image' or 'video'"
            )
        if kind == "text" and not isinstance(part.get("text"), str):
            raise InputError("a part of type 'text' needs a string under 'text'")
    media = [part for part in parts if part["type"] != "text"]
    if len(media) == 1:
        return media + [part for part in parts if part["type"] == "text"]
    return parts
