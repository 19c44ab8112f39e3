"""Toyworld: drawn videos whose whole truth is known, so that anything can be asked.

``toyworld`` makes its videos and questions (level ``standard`` has all 16 types of question).
Questions of a folder that ``llava-video toyworld make`` wrote are read from its
``questions.jsonl``. ``toyworld-follow-ups`` asks each question after the one before it, which was
answered correctly; its type says the forms of the two.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from llava_video.evaluate.annotations.question import Question
from llava_video.evaluate.annotations.rows import Form, Row, read_rows
from llava_video.evaluate.tasks.benchmark import LETTER, Benchmark, Prompt
from llava_video.records.options import LETTER_ENDING

WORD_ENDING = "Answer in one word."
FILE = "questions.jsonl"
_COLUMNS = ("video", "type", "kind", "question", "answer", "options")


def _parse(row: Row) -> Question:
    options = row.texts("options") if row.values["options"] else ()
    answer = row.text("answer")
    return Question(
        id=f"{Path(row.text('video')).stem}_{row.number}",
        video=row.text("video"),
        text=row.text("question"),
        options=options,
        answer=row.letter_of(answer, options) if options else answer,
        type=row.text("type"),
    )


def _prompt(ending: str) -> Prompt:
    return lambda question: (
        question.with_options(ending) if question.options else f"{question.text}\n{WORD_ENDING}"
    )


def _form(question: Question) -> str:
    return "choice" if question.options else "open"


def _parse_follow_up(row: Row) -> Question:
    question = _parse(row)
    earlier = _parse(replace(row, values=row.values["before"]))
    right = f"{earlier.answer}." if earlier.options else earlier.answer
    return replace(
        question,
        type=f"{_form(question)} after {_form(earlier)}",
        before=(_prompt(LETTER_ENDING)(earlier), right),
    )


def _read_pairs(path: Path) -> Iterator[Row]:
    """Rows with the row before, where both are about one video."""
    for earlier, row in pairwise(read_rows(path)):
        if earlier.values.get("video") == row.values.get("video"):
            yield replace(row, values={**row.values, "before": earlier.values})


TOYWORLD = Benchmark(
    name="toyworld",
    title="Toyworld",
    forms=(Form("toyworld", _COLUMNS, _parse),),
    prompts={"official": _prompt(LETTER_ENDING), "lmms-eval": _prompt(LETTER)},
    max_new_tokens=20,
    is_generated=True,
)

TOYWORLD_FOLLOW_UPS = replace(
    TOYWORLD,
    name="toyworld-follow-ups",
    title="Toyworld, second questions",
    forms=(Form("toyworld", (*_COLUMNS, "before"), _parse_follow_up),),
    read=_read_pairs,
)


def make(folder: Path, num_videos: int, level: str, seed: int = 0) -> Path:
    """Make videos and questions, or complete them.

    Args:
        folder: where to.
        num_videos: how many; about ten questions each.
        level: of the scripts.
        seed: of the first; tiny was trained on seeds from 1,000,000 on.

    Returns:
        The file of questions.
    """
    from llava_video.toyworld.dataset import DatasetSettings, make_dataset

    for _ in make_dataset(folder, num_videos, DatasetSettings(seed, level)):
        pass
    return folder / FILE
