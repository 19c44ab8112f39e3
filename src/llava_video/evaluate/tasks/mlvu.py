"""MLVU (Zhou et al., 2024), multiple choice; its score is the mean over the types.

Rows: the files ``1_plotQA.json`` ... of JUNJIE99/MLVU in a folder (2,175 questions of seven types),
or the hub's sy1998/MLVU_dev and MLVU_Test, whose questions have the options inside.
"""

from __future__ import annotations

from llava_video.evaluate.annotations.question import Question
from llava_video.evaluate.annotations.rows import Form, Row
from llava_video.evaluate.extraction import lmms_eval, vlmevalkit
from llava_video.evaluate.tasks.benchmark import Benchmark, Reference, split_options

_ONLY = "Only give the best option."
_SYSTEM = (
    "Carefully watch this video and pay attention to every detail. Based on your observations, "
    "select the best option that accurately addresses the question."
)
_SOURCE = "model card; lmms-eval"


def _parse_original(row: Row) -> Question:
    options = row.texts("candidates")
    return Question(
        id=f"{row.text('question_type')}_{row.number}",
        video=row.text("video"),
        text=row.text("question"),
        options=options,
        answer=row.letter_of(row.text("answer"), options),
        type=row.text("question_type"),
    )


def _parse_hub(row: Row) -> Question:
    written = row.text("question")
    text, options = split_options(written)
    if not options:
        raise row.error("no lines (A), (B) ... of options in 'question'; correct it")
    return Question(
        id=row.text("question_id", f"{row.file.stem}_{row.number}"),
        video=row.text("video_name"),
        text=text,
        options=options,
        answer=row.letter_of(row.text("answer"), options),
        type=row.text("task_type", ""),
        written=written,
    )


def _lmms_eval(question: Question) -> str:
    written = question.written or question.with_options(form="bracketed")
    return f"{written}\n{_ONLY}\nBest option: ("


def _listed(question: Question) -> str:
    listed = question.listed_options("bracketed")
    return f"{_SYSTEM}Question: {question.text}\nOptions:\n{listed}"


MLVU = Benchmark(
    name="mlvu",
    title="MLVU, multiple choice",
    forms=(
        Form(
            "JUNJIE99/MLVU",
            ("video", "question", "candidates", "answer", "question_type"),
            _parse_original,
        ),
        Form("sy1998/MLVU", ("video_name", "question", "answer"), _parse_hub),
    ),
    prompts={
        "lmms-eval": _lmms_eval,
        "vlmevalkit": lambda question: f"{_listed(question)}\n{_ONLY}",
        "official": lambda question: f"{_listed(question)}\n{_ONLY}\nBest Option: (",
    },
    compatible={
        "lmms-eval": lmms_eval.best_ranked,
        "vlmevalkit": vlmevalkit.before_bracket,
    },
    mean_over_types=True,
    references=(
        Reference("LLaVA-Video-7B", 70.8, f"{_SOURCE}; rerun in LLaVA-NeXT#432: 67.0 to 68.6"),
        Reference("LLaVA-Video-7B-Video-Only", 69.8, _SOURCE),
        Reference("LLaVA-Video-72B", 74.4, _SOURCE),
    ),
)
