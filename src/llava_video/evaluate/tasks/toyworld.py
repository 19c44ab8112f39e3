"""Toyworld: drawn videos whose whole truth is known, so that anything can be asked.

``toyworld`` makes its videos and questions (level ``standard`` has all 16 types of question).
Questions of a folder that ``llava-video toyworld make`` wrote are read from its
``questions.jsonl``. ``toyworld-follow-ups`` asks each question after the one before it, which was
answered correctly; its type says the forms of the two. ``toyworld-noise`` asks questions about
toyworld of clips drawn from noise; right is to say that the video is not of toyworld.

Its prompts have the endings with which benchmarks ask for a letter, so that a model can be tried
with each of them.
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
from llava_video.toyworld.draw.noise_clips import OUT_OF_DOMAIN_ANSWER
from llava_video.toyworld.noise_dataset import make_noise_dataset

WORD_ENDING = "Answer in one word."
FILE = "questions.jsonl"
CHOICE = "choice"
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


ENDINGS = {
    "official": LETTER_ENDING,
    "lmms-eval": LETTER,
    "bare": "",
    "videomme": "The best answer is:",
    "mvbench": "Only give the best option.",
    "tempcompass": "Please directly give the best option:",
}
"""How multiple-choice prompts end: in training; as lmms-eval ends most; as it asks NExT-QA; and as
it asks the benchmarks of these names."""


def _prompt(ending: str) -> Prompt:
    return lambda question: (
        question.with_options(ending) if question.options else f"{question.text}\n{WORD_ENDING}"
    )


def _noise_prompt(ending: str) -> Prompt:
    return lambda question: "\n".join(
        line
        for line in (question.written, ending if question.type == CHOICE else WORD_ENDING)
        if line
    )


def _form(question: Question) -> str:
    return CHOICE if question.options else "open"


def _parse_follow_up(row: Row) -> Question:
    question = _parse(row)
    earlier = _parse(replace(row, values=row.values["before"]))
    right = f"{earlier.answer}." if earlier.options else earlier.answer
    return replace(
        question,
        type=f"{_form(question)} after {_form(earlier)}",
        before=(_prompt(LETTER_ENDING)(earlier), right),
    )


def _parse_noise(row: Row) -> Question:
    asked = _parse(row)
    return Question(
        id=asked.id,
        video=asked.video,
        text=asked.text,
        answer=OUT_OF_DOMAIN_ANSWER,
        type=_form(asked),
        written=asked.with_options(),
    )


def _read_pairs(path: Path) -> Iterator[Row]:
    """Rows with the row before, where both are about one video."""
    for earlier, row in pairwise(read_rows(path)):
        if earlier.values.get("video") == row.values.get("video"):
            yield replace(row, values={**row.values, "before": earlier.values})


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


TOYWORLD = Benchmark(
    name="toyworld",
    title="Toyworld",
    forms=(Form("toyworld", _COLUMNS, _parse),),
    prompts={name: _prompt(ending) for name, ending in ENDINGS.items()},
    max_new_tokens=20,
    make=make,
)

TOYWORLD_FOLLOW_UPS = replace(
    TOYWORLD,
    name="toyworld-follow-ups",
    title="Toyworld, second questions",
    forms=(Form("toyworld", (*_COLUMNS, "before"), _parse_follow_up),),
    read=_read_pairs,
)

TOYWORLD_NOISE = replace(
    TOYWORLD,
    name="toyworld-noise",
    title="Toyworld, questions about clips of noise",
    forms=(Form("toyworld", _COLUMNS, _parse_noise),),
    prompts={name: _noise_prompt(ending) for name, ending in ENDINGS.items()},
    make=make_noise_dataset,
)
