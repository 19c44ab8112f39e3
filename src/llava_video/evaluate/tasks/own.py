"""``own``: questions about videos of one's own, to run any comparison on them.

CSV, TSV, JSON, JSON lines or Parquet with the columns ``video``, ``question``, ``answer``, and
options as ``options`` (a list), as ``a0, a1, ...`` or as ``A, B, ...``; ``id`` and ``type`` are
optional. Or a file in the LLaVA format: each human turn about the video is a question, with options
where its last lines are ``A. ...``, and the turn after it is the answer. Its wording is kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from llava_video.errors import InputError
from llava_video.evaluate.annotations.question import Question
from llava_video.evaluate.annotations.rows import Form, Row, read_rows
from llava_video.evaluate.tasks.benchmark import LETTER, Benchmark, Prompt, split_options
from llava_video.records.llava_format import Shown, read_turns
from llava_video.records.options import LETTER_ENDING, LETTERS, OPTION_ENDING, chosen_letter

_NUMBERED = tuple(f"a{number}" for number in range(26))


def _parse(row: Row) -> Question:
    options = _options_of(row)
    answer = row.text("answer")
    return Question(
        id=row.text("id", f"{row.file.stem}_{row.number}"),
        video=row.text("video"),
        text=row.text("question"),
        options=options,
        answer=row.letter_of(answer, options) if options else answer,
        type=row.text("type", ""),
        written=row.text("written", ""),
    )


def _options_of(row: Row) -> tuple[str, ...]:
    if row.values.get("options"):
        return row.texts("options")
    for names in (_NUMBERED, LETTERS):
        options = tuple(option for name in names if (option := row.text(name, "")))
        if options:
            return options
    return ()


def _read(path: Path) -> Iterator[Row]:
    """Rows; each question of a conversation becomes one."""
    number = 0
    for row in read_rows(path):
        if "conversations" not in row.values:
            yield row
            continue
        for values in _of_conversation(row):
            number += 1
            yield replace(row, number=number, values=values)


def _of_conversation(row: Row) -> Iterator[dict[str, object]]:
    try:
        turns = read_turns(dict(row.values))
    except InputError as error:
        raise row.error(str(error)) from error
    videos = [part.name for turn in turns for part in turn.parts if isinstance(part, Shown)]
    if len(videos) != 1:
        raise row.error(f"it shows {len(videos)} files; questions are asked about one video")
    for number, (asked, answered) in enumerate(zip(turns[::2], turns[1::2], strict=True)):
        written = "\n".join(part for part in asked.parts if isinstance(part, str)).strip()
        shown = written
        for ending in (LETTER_ENDING, OPTION_ENDING, LETTER):
            shown = shown.removesuffix(ending).rstrip()
        text, options = split_options(shown)
        answer = str(answered.parts[0]).strip()
        yield {
            "id": f"{row.text('id', str(row.number))}_{number}",
            "video": videos[0],
            "question": text,
            "options": list(options),
            "answer": (chosen_letter(answer, options) if options else answer) or "",
            "written": written,
        }


def _prompt(ending: str) -> Prompt:
    return lambda question: (
        question.written or (question.with_options(ending) if question.options else question.text)
    )


OWN = Benchmark(
    name="own",
    title="Own questions",
    forms=(Form("own", ("video", "question", "answer"), _parse),),
    prompts={"official": _prompt(LETTER_ENDING), "lmms-eval": _prompt(LETTER)},
    max_new_tokens=64,
    read=_read,
)
