"""MVBench (Li et al., 2024): 20 tasks of 200 questions.

Rows: the 20 JSON files of OpenGVLab/MVBench in a folder (the file's name is the type), or one flat
list as HERMES has it, which does not say the type. Rows with ``start`` and ``end`` are about this
part of their video. Those of lmms-eval's copy are cut already; its folders end in ``_segment``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from llava_video.evaluate.annotations.question import Question
from llava_video.evaluate.annotations.rows import Form, Row, read_rows
from llava_video.evaluate.extraction import lmms_eval, vlmevalkit
from llava_video.evaluate.tasks.benchmark import Benchmark, Reference

_ONLY = "Only give the best option."
_SYSTEM = (
    "Carefully watch the video and pay attention to the cause and sequence of events, the detail "
    "and movement of objects, and the action and pose of persons. Based on your observations, "
    "select the best option that accurately addresses the question.\n"
)


def _parse(row: Row) -> Question:
    options = row.texts("candidates")
    start, end = _part_of(row)
    return Question(
        id=f"{row.file.stem}_{row.number}",
        video=row.text("video"),
        text=row.text("question"),
        options=options,
        answer=row.letter_of(row.text("answer"), options),
        type=row.file.stem,
        start_seconds=start,
        end_seconds=end,
    )


def _part_of(row: Row) -> tuple[float, float | None]:
    """Where the part of the video begins and ends that a row is about, if it says so."""
    if row.text("start", "") == "" or row.text("end", "") == "":
        return 0.0, None
    start, end = row.seconds("start"), row.seconds("end")
    if end <= start:
        raise row.error(f"the part from {start:g} s to {end:g} s is empty; correct it")
    return start, end


def _parse_flat(row: Row) -> Question:
    options = row.texts("choices")
    return Question(
        id=row.text("video_id"),
        video=row.text("video_path"),
        text=row.text("question"),
        options=options,
        answer=row.letter_of(row.text("answer"), options),
    )


def _read(path: Path) -> Iterator[Row]:
    """Rows, those of a flat list without their ``conversations``."""
    for row in read_rows(path):
        inner = row.values.get("conversations")
        is_flat = isinstance(inner, list) and len(inner) == 1 and isinstance(inner[0], dict)
        yield replace(row, values={**row.values, **inner[0]}) if is_flat and inner else row


def _lmms_eval(question: Question) -> str:
    listed = question.listed_options("bracketed")
    return f"Question:{question.text}\nOption:\n{listed}\n{_ONLY}\n"


def _vlmevalkit(question: Question) -> str:
    listed = question.listed_options("bracketed")
    return f"{_SYSTEM}Question: {question.text}\nOptions:\n{listed}\n{_ONLY}Best option:("


MVBENCH = Benchmark(
    name="mvbench",
    title="MVBench",
    forms=(
        Form("OpenGVLab/MVBench", ("video", "question", "candidates", "answer"), _parse),
        Form("flat", ("video_path", "video_id", "question", "choices", "answer"), _parse_flat),
    ),
    prompts={"lmms-eval": _lmms_eval, "vlmevalkit": _vlmevalkit, "official": _vlmevalkit},
    compatible={
        "lmms-eval": lmms_eval.single_letter,
        "vlmevalkit": vlmevalkit.first_word,
    },
    read=_read,
    num_questions=4000,
    references=(
        Reference("LLaVA-Video-7B", 58.6, "model card; lmms-eval"),
        Reference("LLaVA-Video-7B-Video-Only", 58.4, "model card; lmms-eval"),
        Reference("LLaVA-Video-72B", 64.1, "model card; lmms-eval"),
    ),
)
