"""EgoSchema (Mangalam et al., 2023): three-minute first-person videos, five options.

``egoschema`` is the full set of 5,031 questions without public answers: a run writes the files of a
submission. ``egoschema-subset`` is scored; its answers are in ``subset_answers.json``, beside the
questions or in their rows.

Rows: ``questions.json`` of egoschema/EgoSchema, the hub's ``GENERATION`` or ``Subset``
configuration, or a CSV with the columns ``video_name, question, answer, a0..a4``, where the answer
is the option's text.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from llava_video.evaluate.annotations.question import Question
from llava_video.evaluate.annotations.rows import Form, Row, read_json, read_rows
from llava_video.evaluate.extraction.lmms_eval import first_marked
from llava_video.evaluate.tasks.benchmark import (
    LETTER,
    Benchmark,
    Reference,
    dotted,
    without_letter,
)

NUM_QUESTIONS = 5031
SUBSET_ANSWERS = "subset_answers.json"
_NAMES = tuple(f"option {number}" for number in range(5))
_OPTIONS = tuple(f"a{number}" for number in range(5))


def _question(row: Row, name: str, options: tuple[str, ...], answer: str) -> Question:
    return Question(name, name, row.text("question"), options, answer)


def _parse_original(row: Row) -> Question:
    options = tuple(row.text(name) for name in _NAMES)
    return _question(row, row.text("q_uid"), options, _number_to_letter(row, options))


def _parse_hub(row: Row) -> Question:
    options = tuple(map(without_letter, row.texts("option")))
    return _question(row, row.text("video_idx"), options, _number_to_letter(row, options))


def _parse_csv(row: Row) -> Question:
    options = tuple(row.text(name) for name in _OPTIONS)
    answer = row.text("answer", "")
    return _question(
        row, row.text("video_name"), options, row.letter_of(answer, options) if answer else ""
    )


def _number_to_letter(row: Row, options: tuple[str, ...]) -> str:
    has_answer = row.text("answer", "") != ""
    return row.letter(row.integer("answer"), options) if has_answer else ""


def _read(path: Path) -> Iterator[Row]:
    """Rows, with the public answers that lie beside them."""
    answers_file = (path if path.is_dir() else path.parent) / SUBSET_ANSWERS
    answers = read_json(answers_file) if answers_file.is_file() else {}
    for row in read_rows(path):
        name = next((row.values[key] for key in _IDS if key in row.values), None)
        known = answers.get(name)
        yield row if known is None else replace(row, values={**row.values, "answer": known})


def _read_subset(path: Path) -> Iterator[Row]:
    """The rows that have a public answer."""
    return (row for row in _read(path) if row.text("answer", ""))


_IDS = ("q_uid", "video_idx", "video_name")
"""Of a question, as each form calls it."""

_FORMS = (
    Form("egoschema/EgoSchema", ("q_uid", "question", *_NAMES), _parse_original),
    Form("lmms-eval/egoschema", ("video_idx", "question", "option"), _parse_hub),
    Form("CSV", ("video_name", "question", *_OPTIONS), _parse_csv),
)

EGOSCHEMA = Benchmark(
    name="egoschema",
    title="EgoSchema, full set",
    forms=_FORMS,
    prompts={"lmms-eval": dotted(LETTER)},
    compatible={"lmms-eval": first_marked},
    read=_read,
    is_answer_public=False,
    num_questions=NUM_QUESTIONS,
    references=(
        Reference("LLaVA-Video-7B", 57.3, "model card; lmms-eval, validation server"),
        Reference("LLaVA-Video-72B", 65.6, "model card; lmms-eval, validation server"),
    ),
)

EGOSCHEMA_SUBSET = replace(
    EGOSCHEMA,
    name="egoschema-subset",
    title="EgoSchema, public subset",
    read=_read_subset,
    is_answer_public=True,
    num_questions=500,
    references=(),
)
