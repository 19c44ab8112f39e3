"""LongVideoBench, validation (Wu et al., 2024), frames without subtitles.

Rows: ``lvb_val.json`` (with a list ``candidates``) or the hub's validation split (with ``option0``
to ``option4``, "N/A" where there is none).
"""

from __future__ import annotations

from llava_video.evaluate.annotations.question import Question
from llava_video.evaluate.annotations.rows import Form, Row
from llava_video.evaluate.extraction import lmms_eval, vlmevalkit
from llava_video.evaluate.tasks.benchmark import LETTER, Benchmark, Reference, dotted

_NAMES = tuple(f"option{number}" for number in range(5))
_COLUMNS = ("id", "video_path", "question", "correct_choice")
_SOURCE = "card of LLaVA-Video-7B-Qwen2-TPO; lmms-eval"


def _parse(row: Row) -> Question:
    if row.has("candidates"):
        options = row.texts("candidates")
    else:
        given = (row.text(name, "N/A") for name in _NAMES)
        options = tuple(option for option in given if option != "N/A")
    return Question(
        id=row.text("id"),
        video=row.text("video_path"),
        text=row.text("question"),
        options=options,
        answer=row.letter(row.integer("correct_choice"), options, "correct_choice"),
        type=row.text("question_category", ""),
        duration=row.text("duration_group", ""),
        subtitles=row.text("subtitle_path", ""),
    )


LONGVIDEOBENCH = Benchmark(
    name="longvideobench",
    title="LongVideoBench, validation",
    forms=(
        Form("LongVideoBench", (*_COLUMNS, "candidates"), _parse),
        Form("longvideobench/LongVideoBench", (*_COLUMNS, *_NAMES), _parse),
    ),
    prompts={"lmms-eval": dotted(f"{LETTER}\n"), "vlmevalkit": dotted(LETTER)},
    max_new_tokens=32,
    compatible={
        "lmms-eval": lmms_eval.first_capital,
        "vlmevalkit": vlmevalkit.first_of_five,
    },
    num_questions=1337,
    references=(
        Reference("LLaVA-Video-7B", 58.2, _SOURCE),
        Reference("LLaVA-Video-7B-Video-Only", 57.3, "model card; lmms-eval"),
        Reference("LLaVA-Video-72B", 61.9, "model card; lmms-eval"),
    ),
)
