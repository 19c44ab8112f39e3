"""From the ids of an answer to its text, piece by piece."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_INCOMPLETE = "\N{REPLACEMENT CHARACTER}"
"""What a tokenizer writes for the bytes of a character whose rest is in later tokens."""


class AnswerText:
    """The text of one answer as it grows.

    Its pieces together are ``text``. What may still change is held back: characters that are not
    complete, white space that may turn out to be the last, and the beginning of a stop text.

    Args:
        tokenizer: of bytes, as Qwen2's; the text of two parts is that of both texts together.
        stop: texts before which the answer ends.
    """

    def __init__(self, tokenizer: Any, stop: Sequence[str] = ()) -> None:
        self.text = ""
        self.is_stopped = False
        self.token_ids: list[int] = []
        self._tokenizer = tokenizer
        self._stop = [text for text in stop if text]
        self._decoded = ""  # of the tokens before the window
        self._window_start = 0

    def add(self, token_id: int) -> str:
        """The piece that a token adds; after a stop text, none."""
        if self.is_stopped:
            return ""
        self.token_ids.append(token_id)
        newest = self._decode(self.token_ids[self._window_start :])
        decoded = self._decoded + newest
        if newest and not newest.endswith(_INCOMPLETE):
            self._decoded, self._window_start = decoded, len(self.token_ids)
        return self._grow(decoded.rstrip(_INCOMPLETE), is_last=False)

    def end(self) -> str:
        """The piece that was held back, once no token follows."""
        if self.is_stopped:
            return ""
        rest = self._decode(self.token_ids[self._window_start :])
        return self._grow(self._decoded + rest, is_last=True)

    def _decode(self, token_ids: list[int]) -> str:
        return str(self._tokenizer.decode(token_ids, skip_special_tokens=True))

    def _grow(self, decoded: str, *, is_last: bool) -> str:
        decoded = decoded.lstrip()
        found = [place for stop in self._stop if (place := decoded.find(stop)) >= 0]
        if found:
            decoded, self.is_stopped = decoded[: min(found)], True
        elif not is_last:
            decoded = decoded[: len(decoded) - self._num_held_back(decoded)]
        piece = decoded.rstrip()[len(self.text) :]
        self.text += piece
        return piece

    def _num_held_back(self, decoded: str) -> int:
        """Characters at the end that may be the beginning of a stop text."""
        return max(
            (
                length
                for stop in self._stop
                for length in range(1, len(stop))
                if decoded.endswith(stop[:length])
            ),
            default=0,
        )
