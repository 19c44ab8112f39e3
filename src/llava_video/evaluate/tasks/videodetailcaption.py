"""VideoDetailCaption: 499 descriptions of videos of Video-ChatGPT's test set, scored by a judge.

Rows: lmms-lab/VideoDetailDescription. The judge scores how detailed an answer is, 0 to 5; here a
judge that fails is a failure, in lmms-eval a score of 0.
"""

from __future__ import annotations

from llava_video.evaluate.annotations.question import Question
from llava_video.evaluate.annotations.rows import Form, Row
from llava_video.evaluate.tasks.benchmark import Benchmark, Reference

_SOURCE = "model card; lmms-eval, judge gpt-3.5-turbo-0613"


def _parse(row: Row) -> Question:
    return Question(
        id=row.text("question_id", f"{row.text('video_name')}_{row.number}"),
        video=row.text("video_name"),
        text=row.text("question"),
        answer=row.text("answer"),
    )


VIDEODETAILCAPTION = Benchmark(
    name="videodetailcaption",
    title="VideoDetailCaption",
    forms=(Form("VideoDetailDescription", ("video_name", "question", "answer"), _parse),),
    prompts={"lmms-eval": lambda question: question.text},
    max_new_tokens=1024,
    open_metric="score_judge",
    num_questions=499,
    references=(
        Reference("LLaVA-Video-7B", 3.66, _SOURCE),
        Reference("LLaVA-Video-7B-Video-Only", 3.71, _SOURCE),
        Reference("LLaVA-Video-72B", 3.73, _SOURCE),
    ),
)
