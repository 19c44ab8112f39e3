"""NExT-QA: causal, temporal and descriptive questions (Xiao et al., 2021).

Multiple choice: ``test.csv`` (8,564 questions) and ``val.csv`` of doc-doc/NExT-QA, or the ``MC``
configuration of lmms-eval/NExTQA, which have the same columns. lmms-eval adds no ending.

Open-ended (``nextqa-oe``, scored by WUPS): ``test.csv`` (9,178 questions) and ``val.csv`` of
doc-doc/NExT-OE, whose ``add_reference_answer_test.json`` beside the first holds further right
answers, or the ``OE`` configuration of lmms-eval/NExTQA.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from llava_video.evaluate.annotations.question import Question
from llava_video.evaluate.annotations.rows import Form, Row, read_json, read_rows
from llava_video.evaluate.extraction.lmms_eval import last_marked
from llava_video.evaluate.tasks.benchmark import LETTER, Benchmark, Reference, dotted

_OPTIONS = tuple(f"a{number}" for number in range(5))
_CARD = "model card; lmms-eval"


def _parse(row: Row) -> Question:
    options = tuple(row.text(name) for name in _OPTIONS)
    return Question(
        id=f"{row.text('video')}_{row.text('qid')}",
        video=row.text("video"),
        text=row.text("question"),
        options=options,
        answer=row.letter(row.integer("answer"), options),
        type=row.text("type"),
    )


def _parse_open(row: Row) -> Question:
    if row.has(*_OPTIONS):
        raise row.error("it has options; the multiple-choice questions are the task nextqa")
    further = row.text("additional_ref_answer", "")
    kind = row.text("type")
    return Question(
        id=f"{row.text('video')}_{row.text('qid')}",
        video=row.text("video"),
        text=row.text("question"),
        answer=row.text("answer"),
        also=(further,) if further else (),
        type="TN" if kind == "TP" else kind,  # as its authors count them
    )


def _read_open(path: Path) -> Iterator[Row]:
    """Rows, with the further answers of the file beside."""
    further: dict[Path, dict[str, dict[str, str]]] = {}
    for row in read_rows(path):
        if row.file not in further:
            beside = row.file.with_name(f"add_reference_answer_{row.file.stem}.json")
            further[row.file] = read_json(beside) if beside.is_file() else {}
        known = further[row.file].get(str(row.values.get("video")), {})
        answer = known.get(str(row.values.get("qid")))
        yield (
            replace(row, values={**row.values, "additional_ref_answer": answer}) if answer else row
        )


NEXTQA = Benchmark(
    name="nextqa",
    title="NExT-QA, multiple choice",
    forms=(Form("NExT-QA", ("video", "question", "answer", "qid", "type", *_OPTIONS), _parse),),
    prompts={"lmms-eval": dotted(""), "official": dotted(LETTER)},
    max_new_tokens=1024,
    compatible={"lmms-eval": last_marked},
    references=(
        Reference("LLaVA-Video-7B", 83.2, f"{_CARD}; rerun in LLaVA-NeXT#408: 80.46"),
        Reference("LLaVA-Video-7B-Video-Only", 82.2, _CARD),
        Reference("LLaVA-Video-72B", 85.4, _CARD),
    ),
)

NEXTQA_OPEN = Benchmark(
    name="nextqa-oe",
    title="NExT-QA, open-ended",
    forms=(Form("NExT-OE", ("video", "question", "answer", "qid", "type"), _parse_open),),
    prompts={
        "lmms-eval": lambda question: (
            f"{question.text}\nAnswer a question using a short phrase or sentence."
        ),
        "official": lambda question: question.text,
    },
    max_new_tokens=1024,
    read=_read_open,
    open_metric="wups",
    references=(
        Reference("HGA", 25.18, "paper of NExT-QA, test; trained on it"),
        Reference("Flamingo, 32 shots", 33.5, "its paper, test"),
    ),
)
