"""Answers that are there already: appended to a file at once, found again by their content.

inspect_ai's log can lose the samples that it had not flushed when a process is killed. Here answers
are in the file before they are used, and those of a batch in one write: a batch is there as a whole
or not at all, so that a resumed run computes the same batches as a run in one piece.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from llava_video.errors import InputError
from llava_video.records.json_lines import append_line, read_lines


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """An answer of the model.

    Attributes:
        text: what it said.
        details: how: videos as they were seen, seconds, tokens.
    """

    text: str
    details: Mapping[str, Any] = field(default_factory=dict)


def key_of(*content: str) -> str:
    """A hash of everything that an answer depends on."""
    return hashlib.sha256("\0".join(content).encode()).hexdigest()[:32]


class KeptAnswers:
    """The answers in a file; one process writes it.

    Args:
        path: JSON lines, one batch of answers a line; begun if it is missing.

    Attributes:
        error: why the file could not be written; nothing is asked from then on.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.error: InputError | None = None
        self._unwritten: dict[str, dict[str, KeptAnswer]] = defaultdict(dict)
        self._num_skipped: Counter[str] = Counter()
        self._kept = {
            key: KeptAnswer(**answer)
            for line in read_lines(path)
            for key, answer in line.get("answers", {}).items()
        }

    def __len__(self) -> int:
        return len(self._kept)

    def find(self, key: str) -> KeptAnswer | None:
        """An answer that is in the file.

        Raises:
            InputError: the file could not be written before.
        """
        if self.error is not None:
            raise self.error
        return self._kept.get(key)

    def add(self, key: str, answer: KeptAnswer, batch: str, size: int) -> None:
        """Keep an answer; it is written with the last one of its batch.

        Raises:
            InputError: the file cannot be written.
        """
        self._unwritten[batch][key] = answer
        self._write_if_whole(batch, size)

    def skip(self, batch: str, size: int) -> None:
        """Note that a question of a batch has no new answer: it has one, or it failed."""
        self._num_skipped[batch] += 1
        self._write_if_whole(batch, size)

    def _write_if_whole(self, batch: str, size: int) -> None:
        if len(self._unwritten[batch]) + self._num_skipped[batch] >= size:
            self._write(batch)

    def _write(self, batch: str) -> None:
        answers = self._unwritten.pop(batch)
        del self._num_skipped[batch]
        if not answers:
            return
        record = {"batch": batch, "answers": {k: asdict(a) for k, a in answers.items()}}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            append_line(self.path, record)
        except OSError as error:
            self.error = InputError(
                f"{self.path}: cannot be written ({error.strerror}); make room and run again"
            )
            raise self.error from error
        self._kept |= answers
