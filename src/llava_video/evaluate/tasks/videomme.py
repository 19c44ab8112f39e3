"""Video-MME (Fu et al., 2024), without subtitles (``videomme``) and with (``videomme-subtitles``).

Rows: the ``test`` split of lmms-eval/Video-MME (Parquet), or the official template, a list of
videos with their questions. Videos are named by their YouTube id; subtitles are
``subtitle/ID.srt`` beside or below them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from llava_video.evaluate.annotations.question import Question
from llava_video.evaluate.annotations.rows import Form, Row, read_rows
from llava_video.evaluate.extraction import lmms_eval, vlmevalkit
from llava_video.evaluate.tasks.benchmark import (
    LETTER,
    Benchmark,
    Prompt,
    Reference,
    without_letter,
)

SUBTITLES = "{subtitles}"
"""Stands in a prompt for the subtitles at the times of frames; see `evaluate.subtitles`."""

_SELECT = "Select the best answer to the following multiple-choice question based on the video"
_ONLY = "Respond with only the letter (A, B, C, or D) of the correct option."
_LISTED = "This video's subtitles are listed below:"
_CARD = "model card; lmms-eval"


def _parse(row: Row) -> Question:
    options = tuple(map(without_letter, row.texts("options")))
    return Question(
        id=row.text("question_id"),
        video=row.text("videoID"),
        text=row.text("question"),
        options=options,
        answer=row.letter_of(row.text("answer"), options),
        type=row.text("task_type", ""),
        duration=row.text("duration", ""),
        subtitles=f"subtitle/{row.text('videoID')}.srt",
    )


def _read(path: Path) -> Iterator[Row]:
    """Rows, one per question also where the file has one per video."""
    for row in read_rows(path):
        questions = row.values.get("questions")
        if not isinstance(questions, list):
            yield row
            continue
        video = {key: value for key, value in row.values.items() if key != "questions"}
        name = str(row.values.get("url", "")).rpartition("v=")[2]
        for question in questions:
            yield replace(row, values={"videoID": name, **video, **question})


def _lmms_eval(ending: str, listed: str = "") -> Prompt:
    return lambda q: f"{listed}{_SELECT} and the subtitles. {_ONLY}\n{q.with_options()}\n{ending}"


def _vlmevalkit(listed: str = "") -> Prompt:
    return lambda q: (
        f"\nThese are the frames of a video. {listed}{_SELECT}. {_ONLY}\n"
        f"Question: {q.with_options()}\nAnswer: "
    )


def _official(basis: str = "", listed: str = "") -> Prompt:
    return lambda q: f"{listed}{_SELECT}{basis}. {_ONLY}\n{q.with_options()}\nThe best answer is:"


VIDEOMME = Benchmark(
    name="videomme",
    title="Video-MME, without subtitles",
    forms=(Form("Video-MME", ("videoID", "question_id", "question", "options", "answer"), _parse),),
    prompts={
        "lmms-eval": _lmms_eval("The best answer is:"),  # as for llava_vid
        "lmms-eval-default": _lmms_eval(f"\n{LETTER}"),
        "vlmevalkit": _vlmevalkit(),
        "official": _official(),
    },
    compatible={
        "lmms-eval": lmms_eval.best_ranked,
        "vlmevalkit": vlmevalkit.first_of_four,
    },
    read=_read,
    num_questions=2700,
    references=(
        Reference("LLaVA-Video-7B", 63.3, _CARD),
        Reference("LLaVA-Video-7B-Video-Only", 63.2, _CARD),
        Reference("LLaVA-Video-72B", 70.5, "paper; third parties print 70.6"),
    ),
)

VIDEOMME_SUBTITLES = replace(
    VIDEOMME,
    name="videomme-subtitles",
    title="Video-MME, with subtitles",
    prompts={
        "lmms-eval": _lmms_eval("The best answer is:", f"{_LISTED} \n{SUBTITLES}\n"),
        "vlmevalkit": _vlmevalkit(f"{_LISTED}\n{SUBTITLES}\n"),
        "official": _official(" and the subtitles", f"{_LISTED}\n{SUBTITLES}\n"),
    },
    references=(
        Reference("LLaVA-Video-7B", 69.7, _CARD),
        Reference("LLaVA-Video-72B", 76.9, _CARD),
    ),
)
