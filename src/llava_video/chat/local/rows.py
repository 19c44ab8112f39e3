"""Conversations as rows of tokens, each with what tells its position from others."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llava_video.chat.local.media import Loaded, LoadedVideo, slot_of
from llava_video.chat.protocol import Conversation
from llava_video.errors import InputError
from llava_video.processing.processor import LlavaVideoProcessor

_TEXT = -1


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """A prompt of L tokens.

    Attributes:
        ids: (L,) token ids, placeholders included.
        keys: (L,) equal at equal tokens: ids, and in place of placeholders what stands for the
            medium and the representation. Rows whose keys begin alike have the same keys and
            values there.
        media: (L,) index of the medium at placeholders, -1 at text.
        offsets: (L,) which token of the medium.
        loaded: the media.
    """

    ids: NDArray[np.int64]
    keys: NDArray[np.int64]
    media: NDArray[np.int64]
    offsets: NDArray[np.int64]
    loaded: tuple[Loaded, ...]

    def __len__(self) -> int:
        return len(self.ids)

    def num_tokens_of(self, medium: int) -> int:
        """Tokens of a medium."""
        return int((self.media == medium).sum())

    def only(self, positions: NDArray[np.int64]) -> Row:
        """The row without its other positions."""
        return Row(
            self.ids[positions],
            self.keys[positions],
            self.media[positions],
            self.offsets[positions],
            self.loaded,
        )

    def followed_by(self, token_ids: Sequence[int]) -> Row:
        """The row with text after it."""
        more = np.asarray(token_ids, np.int64)
        return Row(
            np.concatenate([self.ids, more]),
            np.concatenate([self.keys, more]),
            np.concatenate([self.media, np.full_like(more, _TEXT)]),
            np.concatenate([self.offsets, np.zeros_like(more)]),
            self.loaded,
        )


def make_row(
    conversation: Conversation, loaded: Sequence[Loaded], processor: LlavaVideoProcessor
) -> Row:
    """The prompt of a conversation, up to where its answer begins.

    Args:
        conversation: messages, of which the last is the user's.
        loaded: its media, in order.
        processor: of the representation that is wanted.

    Raises:
        InputError: the messages are not a conversation, or are longer than the model's context.
    """
    if not conversation or conversation[-1].get("role") != "user":
        raise InputError("the last message of a conversation is the user's; ask something")
    slots = [slot_of(medium, processor) for medium in loaded]
    prompt = processor.renderer.render(conversation, slots)
    processor.check_lengths([prompt], [slots])
    ids = np.asarray(prompt.input_ids, np.int64)
    keys, media, offsets = ids.copy(), np.full_like(ids, _TEXT), np.zeros_like(ids)
    places = np.flatnonzero(ids == processor.video_token_id)
    for index, (slot, medium) in enumerate(zip(slots, loaded, strict=True)):
        own, places = places[: slot.num_tokens], places[slot.num_tokens :]
        keys[own] = _key_of(medium, processor)
        media[own] = index
        offsets[own] = np.arange(slot.num_tokens)
    return Row(ids, keys, media, offsets, tuple(loaded))


def answer_ids_of(
    conversation: Conversation, answer: str, prompt: Row, processor: LlavaVideoProcessor
) -> list[int]:
    """The tokens of an answer and of its end, as they would follow a prompt.

    Args:
        conversation: that was asked.
        answer: its text.
        prompt: what `make_row` makes of the conversation.
        processor: with which it was made.
    """
    slots = [slot_of(medium, processor) for medium in prompt.loaded]
    told = [*conversation, {"role": "assistant", "content": answer}]
    rendered = processor.renderer.render(told, slots, add_generation_prompt=False)
    start = len(prompt)
    answered = zip(rendered.input_ids[start:], rendered.supervised[start:], strict=True)
    return [token_id for token_id, is_answer in answered if is_answer]


def common_length(one: NDArray[np.int64], other: NDArray[np.int64]) -> int:
    """How many values two arrays have in common from their start."""
    shorter = min(len(one), len(other))
    differs = np.flatnonzero(one[:shorter] != other[:shorter])
    return int(differs[0]) if len(differs) else shorter


def _key_of(medium: Loaded, processor: LlavaVideoProcessor) -> int:
    """A negative number, which no token id is, for a medium as the language model gets it."""
    shown_as = repr(processor.representation) if isinstance(medium, LoadedVideo) else ""
    digest = hashlib.blake2b(f"{medium.digest} {shown_as}".encode(), digest_size=8).digest()
    return -1 - (int.from_bytes(digest, "big") >> 1)
