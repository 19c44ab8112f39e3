"""Toyworld: drawn videos whose whole truth is known, so that anything can be asked.

``toyworld`` makes its videos and questions (level ``standard`` has all 16 types of question).
Questions of a folder that ``llava-video toyworld make`` wrote are read from its
``questions.jsonl``.
"""

from __future__ import annotations

from pathlib import Path

from llava_video.evaluate.question import Question
from llava_video.evaluate.rows import Form, Row
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


TOYWORLD = Benchmark(
    name="toyworld",
    title="Toyworld",
    forms=(Form("toyworld", _COLUMNS, _parse),),
    prompts={"official": _prompt(LETTER_ENDING), "lmms-eval": _prompt(LETTER)},
    max_new_tokens=20,
    is_generated=True,
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
