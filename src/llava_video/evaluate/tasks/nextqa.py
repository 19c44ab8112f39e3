"""NExT-QA: causal, temporal and descriptive questions (Xiao et al., 2021).

Multiple choice: ``test.csv`` (8,564 questions) and ``val.csv`` of doc-doc/NExT-QA, or the ``MC``
configuration of lmms-eval/NExTQA, which have the same columns. lmms-eval adds no ending. The
open-ended questions are left out: their metric, WUPS, needs WordNet and a lemmatizer.
"""

from __future__ import annotations

from llava_video.evaluate.annotations.question import Question
from llava_video.evaluate.annotations.rows import Form, Row
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
