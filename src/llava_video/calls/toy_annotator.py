"""The toy annotator: answers requests about toyworld videos from their scripts.

It takes the requests of an endpoint and answers in the same JSON, without cost or network, so that
the whole pipeline can be run and tested.
"""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from llava_video.calls.messages import Reply, Request, Usage
from llava_video.errors import InputError
from llava_video.records.options import LETTERS
from llava_video.records.question_types import QUESTION_TYPES, find_type
from llava_video.toyworld import (
    Question,
    Script,
    describe,
    make_questions,
    parse_script,
    script_path_of,
)

_FREE_QUESTIONS = 5
_QUESTION_SEEDS = range(6)  # one seed rarely asks every type in both kinds


class ToyAnnotator:
    """Answers from the script beside each video."""

    async def complete(self, request: Request, key: str) -> Reply:
        """The true answer.

        Raises:
            InputError: the video has no script, so it is not of the toy world.
        """
        if not request.subject.video_path:
            raise InputError(
                f"{request.item_id}: not about a video; the toy annotator knows toyworld's only"
            )
        text = _answer(request, load_script(request.subject.video_path))
        return Reply(text, f"toy-{key[:16]}", "stop", Usage())

    async def aclose(self) -> None:
        pass


@lru_cache(maxsize=256)
def load_script(video_path: str) -> Script:
    """The script of a toyworld video, a file beside it."""
    path = Path(script_path_of(video_path))
    if not path.is_file():
        raise InputError(
            f"{video_path}: no script beside it; the toy annotator describes only videos that "
            "`llava-video toyworld make` wrote"
        )
    return parse_script(path.read_text(encoding="utf-8"))


@lru_cache(maxsize=256)
def true_questions(script: Script) -> tuple[Question, ...]:
    """All questions that the toy annotator draws from for a script."""
    return tuple(q for seed in _QUESTION_SEEDS for q in make_questions(script, seed))


def _answer(request: Request, script: Script) -> str:
    subject = request.subject
    if request.stage in ("level1", "level2", "level3"):
        return describe(script, subject.start_seconds, subject.end_seconds, script.seed)
    if request.stage == "faithfulness":
        return json.dumps({"verdicts": [_verdict(claim, script) for claim in subject.claims]})
    if request.stage == "blind":
        # A guess that depends on the question alone.
        place = int(hashlib.sha256("".join(request.texts).encode()).hexdigest(), 16) % max(
            1, len(subject.claims)
        )
        return json.dumps({"answer": LETTERS[place] if subject.claims else "I cannot know."})
    has_options = request.stage == "multi_choice"
    if "free_form" in subject.types:
        fitting = [q for q in true_questions(script) if bool(q.options) == has_options]
        return json.dumps({"pairs": [_pair(q) for q in fitting[:_FREE_QUESTIONS]]})
    chosen: dict[str, dict[str, Any]] = {}
    for question in true_questions(script):
        slug = find_type(question.type)
        if slug in subject.types and slug not in chosen and bool(question.options) == has_options:
            chosen[slug] = _pair(question)
    order = [t.slug for t in QUESTION_TYPES if t.slug in chosen]
    return json.dumps({"pairs": [chosen[slug] for slug in order]})


def _pair(question: Question) -> dict[str, Any]:
    pair: dict[str, Any] = {
        "type": question.type,
        "question": question.question,
        "answer": question.answer,
    }
    if question.options:
        pair["wrong_answers"] = [o for o in question.options if o != question.answer]
    return pair


def _verdict(claim: str, script: Script) -> str:
    """Supported where the script's own words say it, unclear otherwise."""
    known = {f"{q.question} {q.answer}" for q in true_questions(script)}
    whole = describe(script, 0.0, script.duration_seconds, script.seed)
    if claim in known or claim in whole:
        return "supported"
    questions = {q.question for q in true_questions(script)}
    return "contradicted" if any(claim.startswith(q) for q in questions) else "unclear"
