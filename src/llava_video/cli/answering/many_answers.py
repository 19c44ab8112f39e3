"""Questions about many videos, each alone: to the terminal, or to a file that can be continued."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence, Set
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from llava_video.chat.media_files import FileIdentity
from llava_video.chat.protocol import Answered, AnswerOptions, CheckpointModel, Conversation
from llava_video.chat.questions_file import Question
from llava_video.cli.answering.one_answer import Ask
from llava_video.cli.answering.options import TINY_NOTICE
from llava_video.cli.answering.request import Job
from llava_video.errors import InputError, LlavaVideoError, VideoError
from llava_video.pages.terminal import harmless
from llava_video.records.json_lines import append_line, dump_json, read_lines

MOST_AT_ONCE = 16
"""Questions about one video in a batch."""

Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class AnswersFile:
    """A file of answers, one JSON object a line, that a later run continues.

    Attributes:
        path: of the file.
        settings: how its questions were asked; a file has one kind.

    Raises:
        InputError: it cannot be written, or holds answers that were asked for otherwise.
    """

    path: Path
    settings: Record

    def __post_init__(self) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab"):
                pass
        except OSError as error:
            raise self._unwritable(error) from error
        for record in read_lines(self.path):
            if record.get("settings") != self.settings:
                raise InputError(
                    f"{self.path}: holds answers that were asked for with "
                    f"{_difference(record.get('settings'), self.settings)}; choose another --out"
                )

    def answered(self) -> set[tuple[str, str, str]]:
        """What is answered there: video, id and text of each question."""
        return {
            (str(record.get("video")), str(record.get("id")), str(record.get("question")))
            for record in read_lines(self.path)
        }

    def write(self, record: Record) -> None:
        """Append an answer.

        Raises:
            InputError: there is no room for it; what was written before stays.
        """
        try:
            append_line(self.path, {**record, "settings": self.settings})
        except OSError as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> InputError:
        return InputError(
            f"{self.path}: cannot be written ({error.strerror}); make room or choose another "
            "--out, then run again: what is answered stays"
        )


def answer_jobs(ask: Ask, jobs: Sequence[Job], out: Path | None, *, as_json: bool) -> None:
    """Answer the questions about each video, and write or print every answer as it comes.

    A video that cannot be read is said on standard error, and left out.

    Raises:
        LlavaVideoError: nothing can be asked, or answers cannot be written.
        typer.Exit: with 1, if a question was not answered.
    """
    if ask.subtitles_file is not None and len(jobs) > 1:
        raise InputError(f"--subtitles are those of one video, {len(jobs)} are asked about")
    _ = ask.context  # a file that cannot be read should not wait for a model
    file = None if out is None else AnswersFile(out, settings_of(ask))
    done = set() if file is None else file.answered()
    remaining = [job for job in (_without(job, done) for job in jobs) if job.questions]
    if len(done) and file is not None:
        typer.echo(f"{out}: {len(done)} answers are there already", err=True)
    if not remaining:
        return
    model = ask.open().model
    failed: set[Job] = set()
    console = Console(stderr=True, highlight=False)
    with _progress(console, is_shown=file is not None) as progress:
        total = sum(len(job.names) * len(job.questions) for job in remaining)
        task = progress.add_task("answers", total=total)
        for job, question, answered in answer_each(model, ask, remaining):
            if isinstance(answered, LlavaVideoError):
                if job not in failed:
                    console.print(str(answered), markup=False, soft_wrap=True)
                failed.add(job)
                continue
            for name in job.names:
                if (name, question.question_id, question.text) not in done:
                    record = to_record(job, name, question, answered, model.name)
                    _print(record, as_json=as_json) if file is None else file.write(record)
                progress.advance(task)
    if ask.model == "tiny" and not as_json:
        typer.echo(f"\n{TINY_NOTICE}", err=True)
    if failed:
        names = f"{len(failed)} of {len(jobs)} videos"
        typer.echo(f"{names} could not be asked about; all others are answered", err=True)
        raise typer.Exit(1)


def answer_each(
    model: CheckpointModel, ask: Ask, jobs: Sequence[Job]
) -> Iterator[tuple[Job, Question, Answered | LlavaVideoError]]:
    """Answers in the order they are complete; of a batch that fails, the error once.

    Questions about one video are one batch, and the next batch's video is decoded and encoded
    while this one is answered.
    """
    batches = [
        (job, job.questions[first : first + MOST_AT_ONCE])
        for job in jobs
        for first in range(0, len(job.questions), MOST_AT_ONCE)
    ]
    next_rows = _rows(ask, *batches[0])
    for number, (job, questions) in enumerate(batches):
        rows = next_rows
        if number + 1 < len(batches):
            next_rows = _rows(ask, *batches[number + 1])
            model.load_ahead(next_rows, ask.options, encode=True)
        for row, answered in _answer_batch(model, ask, rows):
            yield job, questions[row], answered


def _answer_batch(
    model: CheckpointModel, ask: Ask, rows: Sequence[Conversation]
) -> Iterator[tuple[int, Answered | LlavaVideoError]]:
    """Answers by row; rows of a batch that fails are asked one by one, as some may be answered.

    A batch may be more than the memory holds, where each of its rows fits.
    """
    waiting = set(range(len(rows)))
    try:
        for piece in model.answer(rows, ask.options):
            if isinstance(piece, Answered):
                waiting.remove(piece.row)
                yield piece.row, piece
    except VideoError as error:  # all ask about the same one
        yield 0, error
    except (LlavaVideoError, RuntimeError) as error:
        if not isinstance(error, LlavaVideoError):
            if "OutOfMemory" not in type(error).__name__:
                raise
            error = LlavaVideoError(f"{model.name}: the memory is full; show fewer frames")
        if len(rows) == 1:
            yield 0, error
            return
        for row in sorted(waiting):
            for _, answered in _answer_batch(model, ask, rows[row : row + 1]):
                yield row, answered


def _rows(ask: Ask, job: Job, questions: Sequence[Question]) -> list[Conversation]:
    return [ask.conversation([job.names[0]], question.text) for question in questions]


def to_record(job: Job, name: str, question: Question, answered: Answered, model: str) -> Record:
    """An answer as a line of JSON."""
    (video,) = answered.videos or (None,)
    seen: Record = {}
    if video is not None:
        seen = {
            "num_frames": len(video.timestamps_seconds),
            "timestamps_seconds": [round(seconds, 4) for seconds in video.timestamps_seconds],
            "num_video_tokens": video.num_tokens,
            "representation": video.representation,
        }
    warnings = [*answered.warnings, *(video.warnings if video else ())]
    if name != job.names[0]:
        warnings.append(f"the same file as {job.names[0]}, which was asked")
    return {
        "video": name,
        "id": question.question_id,
        "question": question.text,
        "answer": answered.text,
        "finish_reason": answered.finish_reason,
        "model": model,
        **seen,
        "usage": asdict(answered.usage),
        "warnings": warnings,
    }


def settings_of(ask: Ask) -> Record:
    """What decides an answer beside the video and the question; defaults are left out."""
    values = asdict(ask.options)
    default = asdict(AnswerOptions())
    chosen = {name: value for name, value in values.items() if value != default[name]}
    chosen |= {
        "model": ask.model,
        "representation": ask.representation,
        "max_video_tokens": ask.max_video_tokens,
        "system": ask.system,
        "dtype": ask.dtype,
        "quantize": "int8" if ask.int8 else None,
        "subtitles": ask.subtitles_file and _described(ask.subtitles_file),
    }
    known: Record = json.loads(json.dumps(chosen))  # tuples are lists, as they are in the file
    return {name: value for name, value in known.items() if value is not None}


def _described(file: Path) -> str:
    """A file by its name and what is in it, which may be edited between two runs."""
    return f"{file} ({FileIdentity.of(file).sha256[:12]})"


def _without(job: Job, done: Set[tuple[str, str, str]]) -> Job:
    """The questions of a job that are still to be asked, of any name of its video."""
    questions = (
        question
        for question in job.questions
        if any((name, question.question_id, question.text) not in done for name in job.names)
    )
    return Job(job.names, tuple(questions))


def _difference(old: Any, new: Record) -> str:
    old = old if isinstance(old, dict) else {}
    names = sorted(name for name in {*old, *new} if old.get(name) != new.get(name))
    none = "not given"
    return ", ".join(f"{name} {old.get(name, none)}, now {new.get(name, none)}" for name in names)


def _print(record: Record, *, as_json: bool) -> None:
    if as_json:
        typer.echo(dump_json(record))
        return
    typer.echo(harmless(f"{record['video']}: {record['question']}\n{record['answer']}\n"))
    for warning in record["warnings"]:
        typer.echo(f"warning: {warning}", err=True)


def _progress(console: Console, *, is_shown: bool) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not (is_shown and console.is_terminal),
        transient=True,
    )
