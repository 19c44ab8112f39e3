"""TempCompass (Liu et al., 2024): action, direction, speed, order and change of attributes.

Rows: the files of llyx97/TempCompass by question type (``multi-choice.json``, ``yes_no.json``,
``caption_matching.json``, one or a folder of them), or the hub's configurations.

``tempcompass-captioning`` is scored by a judge, who answers a multiple-choice question about the
video from the caption alone. Rows: ``captioning.json`` with ``multi-choice.json`` beside it, whose
first question about the same video and dimension is the judge's, or the hub's ``captioning``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from llava_video.errors import InputError
from llava_video.evaluate.annotations.question import Question
from llava_video.evaluate.annotations.rows import Form, Row, read_json, read_rows
from llava_video.evaluate.extraction import OWN, extract_own, lmms_eval, vlmevalkit
from llava_video.evaluate.tasks.benchmark import Benchmark, split_options

_BEST = "\nPlease directly give the best option:"
_YES_NO = "\nPlease answer yes or no:"
_KINDS = ("multi-choice", "yes_no", "caption_matching", "captioning")
_LABEL = re.compile(r"^((?:Sentence|Caption|Option) (?:[A-Z]|\d)): ")
_SENTENCE = re.compile(r"^(?:Sentence|Caption|Option) (?:[A-Z]|\d): (.*)$")


def _parse(row: Row) -> Question:
    written, answer = row.text("question"), row.text("answer")
    text, options = _options_of(written, answer)
    if not options:
        raise row.error("no lines of options in 'question', and no yes or no for an answer")
    if answer in ("yes", "no"):
        letter = row.letter_of(answer, options)
    else:
        letter = row.letter_of(_SENTENCE.sub(r"\1", re.sub(r"^[A-Z]\. ", "", answer)), options)
    video = row.text("video_id")
    return Question(
        id=f"{row.text('kind', row.file.stem)}_{video}_{row.number}",
        video=video,
        text=text,
        options=options,
        answer=letter,
        type=row.text("dim", ""),
        written=str(row.values["question"]),
    )


def _options_of(written: str, answer: str) -> tuple[str, tuple[str, ...]]:
    if answer in ("yes", "no"):
        return written, ("yes", "no")
    lines = written.split("\n")
    sentences = [_SENTENCE.match(line) for line in lines[1:]]
    if len(sentences) > 1 and all(sentences):
        return lines[0], tuple(match[1].strip() for match in sentences if match)
    return split_options(written)


def _read(path: Path) -> Iterator[Row]:
    """Rows of files that are objects by video and dimension, or of plain rows."""
    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    for file in files:
        found = read_json(file) if file.suffix == ".json" else None
        if not isinstance(found, dict):
            yield from (row for row in read_rows(file) if file.stem != "captioning")
            continue
        rows = (
            {"kind": kind, "video_id": video, "dim": dim, **question}
            for video, inner in found.items()
            for kind, dims in _by_kind(inner, file.stem)
            for dim, questions in dims.items()
            for question in questions
        )
        for number, values in enumerate(rows, 1):
            yield Row(file, number, values)


def _by_kind(inner: dict[str, object], file_kind: str) -> Iterator[tuple[str, dict]]:  # type: ignore[type-arg]
    """``(kind, questions by dimension)``; a file holds one kind, or all of them by name."""
    found = inner if set(inner) <= set(_KINDS) else {file_kind: inner}
    yield from (
        (k, dims) for k, dims in found.items() if k != "captioning" and isinstance(dims, dict)
    )


def _read_captioning(path: Path) -> Iterator[Row]:
    """Rows of captioning, with the questions that a judge answers."""
    file = path / "captioning.json" if path.is_dir() else path
    found = read_json(file) if file.suffix == ".json" else None
    if not isinstance(found, dict):
        yield from read_rows(path)
        return
    whole = {video: inner.get("captioning", inner) for video, inner in found.items()}
    asked = {video: inner.get("multi-choice") for video, inner in found.items()}
    if not all(asked.values()):
        beside = file.with_name("multi-choice.json")
        if not beside.is_file():
            raise InputError(f"{beside}: missing; a judge answers its questions from captions")
        asked = read_json(beside)
    number = 0
    for video, dims in whole.items():
        for dim, captions in dims.items():
            first = asked.get(video, {}).get(dim, [{}])[0]
            judged = {"mc_question": first.get("question"), "mc_answer": first.get("answer")}
            for caption in captions:
                number += 1
                yield Row(file, number, {"video_id": video, "dim": dim, **caption, **judged})


def _parse_captioning(row: Row) -> Question:
    video, answer = row.text("video_id"), row.text("mc_answer")
    if not re.match(r"[A-Z]\. ", answer):
        raise row.error(f"'mc_answer' is {answer!r}, not a letter and an option; correct it")
    return Question(
        id=f"captioning_{video}_{row.number}",
        video=video,
        text=row.text("question"),
        answer=answer,
        type=row.text("dim", ""),
        judged_by=row.text("mc_question"),
    )


def _prompt(question: Question) -> str:
    is_yes_no = question.options == ("yes", "no")
    return question.written + (_YES_NO if is_yes_no else _BEST)


def _own_rule(text: str, question: Question) -> str | None:
    """This project's rules, which also know ``Option 2`` and ``2`` where options are so called."""
    labels = [
        match[1] for line in question.written.split("\n")[1:] if (match := _LABEL.match(line))
    ]
    if len(labels) == len(question.options):
        said = text.strip().rstrip(".").casefold()
        for letter, label in zip(question.letters, labels, strict=True):
            if said in (label.casefold(), label.split()[1].casefold()):
                return letter
        named = [
            letter
            for letter, label in zip(question.letters, labels, strict=True)
            if re.search(rf"\b{label}\b", text, re.IGNORECASE)
        ]
        if len(named) == 1:
            return named[0]
    return extract_own(text, question)


def _lmms_eval_rule(text: str, question: Question) -> str | None:
    if question.options == ("yes", "no"):
        return lmms_eval.yes_or_no(text, question)
    if any(map(_LABEL.match, question.written.split("\n"))):
        return lmms_eval.listed_sentence(text, question)
    return lmms_eval.tempcompass_letter(text, question)


TEMPCOMPASS = Benchmark(
    name="tempcompass",
    title="TempCompass",
    forms=(Form("TempCompass", ("video_id", "question", "answer"), _parse),),
    prompts={"lmms-eval": _prompt, "vlmevalkit": _prompt, "official": _prompt},
    max_new_tokens=1024,
    compatible={
        OWN: _own_rule,
        "lmms-eval": _lmms_eval_rule,
        "vlmevalkit": vlmevalkit.infer,
    },
    read=_read,
)

TEMPCOMPASS_CAPTIONING = replace(
    TEMPCOMPASS,
    name="tempcompass-captioning",
    title="TempCompass, captioning",
    forms=(
        Form(
            "TempCompass, captioning",
            ("video_id", "question", "mc_question", "mc_answer"),
            _parse_captioning,
        ),
    ),
    prompts=dict.fromkeys(("lmms-eval", "official"), lambda question: question.text),
    compatible={},
    read=_read_captioning,
    open_metric="caption_judge",
    num_questions=2004,
)
