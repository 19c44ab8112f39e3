"""ActivityNet-QA, test (Yu et al., 2019): 8,000 questions with short answers, scored by a judge.

Rows: ``test_q.json`` of MILVLG/activitynet-qa with ``test_a.json`` beside it, or
lmms-eval/ActivityNetQA. Published scores depend on the judge: gpt-3.5-turbo-0613 in 2024.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from llava_video.errors import InputError
from llava_video.evaluate.annotations.question import Question
from llava_video.evaluate.annotations.rows import Form, Row, read_json, read_rows
from llava_video.evaluate.tasks.benchmark import Benchmark, Reference

_SOURCE = "model card; lmms-eval, judge gpt-3.5-turbo-0613"


def _parse(row: Row) -> Question:
    return Question(
        id=row.text("question_id"),
        video=f"v_{row.text('video_name')}",
        text=row.text("question"),
        answer=row.text("answer"),
        type=row.text("type", ""),
    )


def _read(path: Path) -> Iterator[Row]:
    """Rows, with the answers of the file beside: ``test_a.json`` of ``test_q.json``."""
    files = sorted(path.glob("*_q.json")) if path.is_dir() else [path]
    for file in files or [path]:
        answers = {}
        if file.name.endswith("_q.json"):
            beside = file.with_name(file.name.replace("_q.json", "_a.json"))
            if not beside.is_file():
                raise InputError(f"{beside}: missing; it has the answers to {file.name}")
            answers = {each["question_id"]: each for each in read_json(beside)}
        for row in read_rows(file):
            more = answers.get(row.values.get("question_id"), {})
            yield replace(row, values={**row.values, **more})


ACTIVITYNETQA = Benchmark(
    name="activitynetqa",
    title="ActivityNet-QA, test",
    forms=(Form("ActivityNet-QA", ("video_name", "question", "question_id", "answer"), _parse),),
    prompts={
        "lmms-eval": lambda question: (
            f"{question.text.capitalize()}? Answer the question using a single word or phrase."
        ),
        "official": lambda question: question.text,
    },
    max_new_tokens=64,
    read=_read,
    open_metric="yes_no_judge",
    num_questions=8000,
    references=(
        Reference("LLaVA-Video-7B", 56.5, _SOURCE),
        Reference("LLaVA-Video-7B-Video-Only", 58.2, _SOURCE),
        Reference("LLaVA-Video-72B", 63.4, _SOURCE),
    ),
)
