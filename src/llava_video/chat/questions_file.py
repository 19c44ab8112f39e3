"""Files of questions: one a line, or JSON lines with ids and videos."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llava_video.errors import InputError

_KEYS = ("id", "question", "video")


@dataclass(frozen=True, slots=True)
class Question:
    """A question of a file.

    Attributes:
        question_id: the number of its line, unless the file gives an id.
        text: what is asked.
        video: the one video that it is about, or None for every video.
    """

    question_id: str
    text: str
    video: Path | None = None


def read_questions(file: Path) -> list[Question]:
    """The questions of a file, in order.

    Args:
        file: UTF-8. JSON lines if its first line begins with a brace: ``question``, and where
            wanted ``id`` and ``video`` (relative to the file); else one question a line.

    Raises:
        InputError: naming the line that is empty, not JSON, or lacks a question, and ids that
            repeat.
    """
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror}); check the path") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{file}: is not UTF-8 text ({error.reason}); save it as UTF-8") from error
    if not lines:
        raise InputError(f"{file}: holds no question; write one a line")
    is_json = lines[0].lstrip().startswith("{")
    questions = []
    for number, line in enumerate(lines, 1):
        where = f"{file}: line {number}"
        if not line.strip():
            raise InputError(f"{where} is empty; remove it or write a question there")
        if is_json:
            questions.append(_from_json(line, where, number, file.parent))
        else:
            questions.append(Question(str(number), line.strip()))
    counts = Counter(question.question_id for question in questions)
    repeated = [name for name, count in counts.items() if count > 1]
    if repeated:
        raise InputError(
            f"{file}: the id {repeated[0]!r} belongs to two questions; make ids unique"
        )
    return questions


def _from_json(line: str, where: str, number: int, folder: Path) -> Question:
    try:
        record: Any = json.loads(line)
    except ValueError as error:
        raise InputError(f"{where} is not JSON ({error}); write one object a line") from error
    if not isinstance(record, dict) or not isinstance(record.get("question"), str):
        raise InputError(f'{where} has no question; write {{"question": "..."}}')
    unknown = sorted(set(record) - set(_KEYS))
    if unknown:
        raise InputError(f"{where}: unknown key {unknown[0]!r}; known are {', '.join(_KEYS)}")
    text = record["question"].strip()
    if not text:
        raise InputError(f"{where}: the question is empty; ask something about the video")
    video = record.get("video")
    if not isinstance(video, str | None):
        raise InputError(f"{where}: video {video!r} is not a path; write it as text")
    question_id = str(number) if record.get("id") is None else str(record["id"])
    return Question(question_id, text, None if video is None else folder / video)
