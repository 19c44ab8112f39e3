"""PerceptionTest, validation (Pătrăucean et al., 2023), three options.

Rows: ``mc_question_val`` of lmms-eval/PerceptionTest_Val (Parquet, or exported as JSON or CSV).
"""

from __future__ import annotations

from llava_video.evaluate.annotations.question import Question
from llava_video.evaluate.annotations.rows import Form, Row
from llava_video.evaluate.extraction.lmms_eval import word_letter
from llava_video.evaluate.tasks.benchmark import LETTER, Benchmark, Reference, dotted

_COLUMNS = ("video_name", "question", "question_id", "options", "answer_id")
_SOURCE = "table of a third party; lmms-eval"


def _parse(row: Row) -> Question:
    options = row.texts("options")
    return Question(
        id=f"{row.text('video_name')}_{row.text('question_id')}",
        video=row.text("video_name"),
        text=row.text("question"),
        options=options,
        answer=row.letter(row.integer("answer_id"), options, "answer_id"),
        type=row.text("area", ""),
    )


PERCEPTIONTEST = Benchmark(
    name="perceptiontest",
    title="PerceptionTest, validation",
    forms=(Form("lmms-eval/PerceptionTest_Val", _COLUMNS, _parse),),
    prompts={"lmms-eval": dotted(LETTER)},
    compatible={"lmms-eval": word_letter},
    max_new_tokens=1024,
    references=(
        Reference("LLaVA-Video-7B", 67.9, _SOURCE),
        Reference("LLaVA-Video-7B-Video-Only", 71.7, "model card; lmms-eval"),
        Reference("LLaVA-Video-72B", 74.3, "model card; lmms-eval"),
    ),
)
