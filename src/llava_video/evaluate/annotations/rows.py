"""Rows of annotation files: CSV, JSON, JSON lines and Parquet, and errors that name the row."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llava_video.errors import InputError
from llava_video.evaluate.annotations.question import Question
from llava_video.records.options import LETTERS

SUFFIXES = (".csv", ".tsv", ".json", ".jsonl", ".parquet")


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a file.

    Attributes:
        file: where it is from.
        number: its place there, from 1.
        values: columns by name.
    """

    file: Path
    number: int
    values: Mapping[str, Any]

    def error(self, message: str) -> InputError:
        """An error about this row."""
        return InputError(f"{self.file}, row {self.number}: {message}")

    def has(self, *names: str) -> bool:
        """Whether all these columns are there."""
        return all(name in self.values for name in names)

    def text(self, name: str, default: str | None = None) -> str:
        """A column as text, without white space around it.

        Raises:
            InputError: it is missing or empty, and there is no default.
        """
        value = self.values.get(name)
        found = "" if value is None else str(value).strip()
        if not found and default is None:
            raise self.error(f"{name!r} is missing or empty; complete the row or remove it")
        return found or (default or "")

    def integer(self, name: str) -> int:
        """A column as a whole number from 0, also where it is text.

        Raises:
            InputError: it is not one.
        """
        text = self.text(name)
        if not text.isdecimal():
            raise self.error(f"{name!r} is {text!r}, not a whole number; correct it")
        return int(text)

    def seconds(self, name: str) -> float:
        """A column as a time from the start of the video.

        Raises:
            InputError: it is not one.
        """
        text = self.text(name)
        try:
            found = float(text)
        except ValueError:
            found = math.nan
        if not 0 <= found < math.inf:
            raise self.error(f"{name!r} is {text!r}, not a time in seconds; correct it")
        return found

    def texts(self, name: str) -> tuple[str, ...]:
        """A column that is a list of texts.

        Raises:
            InputError: it is something else.
        """
        value = self.values.get(name)
        if not isinstance(value, Sequence) or isinstance(value, str) or not value:
            raise self.error(f"{name!r} is not a list of texts; correct it")
        return tuple(str(item).strip() for item in value)

    def letter(self, number: int, options: Sequence[str], name: str = "answer") -> str:
        """The letter of the option with this number, from 0.

        Raises:
            InputError: there is no such option.
        """
        if not 0 <= number < len(options):
            raise self.error(f"{name!r} is {number}, but there are {len(options)} options")
        return LETTERS[number]

    def letter_of(self, answer: str, options: Sequence[str]) -> str:
        """The letter of the option that is the answer, word for word, or is named by its letter.

        Raises:
            InputError: it is none of them.
        """
        if answer in options:
            return LETTERS[options.index(answer)]
        letter = answer.rstrip(".").upper()
        if len(letter) == 1 and letter in LETTERS[: len(options)]:
            return letter
        raise self.error(f"the answer {answer!r} is none of the options {list(options)}")


@dataclass(frozen=True, slots=True)
class Form:
    """One form of a benchmark's annotations.

    Attributes:
        name: whose form it is, for messages.
        columns: that a row of it has.
        parse: from a row to its question.
    """

    name: str
    columns: tuple[str, ...]
    parse: Callable[[Row], Question]


@dataclass(frozen=True, slots=True)
class Annotations:
    """What a file of annotations holds.

    Attributes:
        questions: of all rows that can be read.
        problems: the other rows, one line each.
    """

    questions: tuple[Question, ...]
    problems: tuple[str, ...] = ()


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of a file, or of all files below a folder in the order of their names.

    An object of lists becomes the rows of the lists, with their key as the column ``key``.

    Raises:
        InputError: there is none, or one cannot be read.
    """
    if path.is_dir():
        files = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES)
        if not files:
            raise InputError(
                f"{path}: no {', '.join(SUFFIXES)} file in it; give --annotations FILE"
            )
        for file in files:
            yield from read_rows(file)
        return
    for number, values in enumerate(_values(path), 1):
        if not isinstance(values, Mapping):
            raise InputError(f"{path}, row {number}: not an object with named columns")
        yield Row(path, number, values)


def read_json(path: Path) -> Any:
    """A JSON file.

    Raises:
        InputError: it cannot be read, or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise InputError(f"{path}: not valid JSON ({error}); download it again") from error


def _values(path: Path) -> Iterable[Any]:
    if not path.exists():
        raise InputError(f"{path}: there is no such file; give --annotations FILE")
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        return _parquet(path)
    if suffix == ".json":
        found = read_json(path)
        if isinstance(found, Mapping):
            lists = [(key, value) for key, value in found.items() if isinstance(value, list)]
            return [{"key": key, **row} for key, rows in lists for row in rows]
        return found if isinstance(found, list) else [found]
    if suffix in (".csv", ".tsv", ".jsonl"):
        try:
            text = path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: cannot be read as text ({error})") from error
        if suffix == ".jsonl":
            return [_json_line(path, number, line) for number, line in _lines(text)]
        return csv.DictReader(
            text.splitlines(keepends=True), delimiter="\t" if suffix == ".tsv" else ","
        )
    raise InputError(f"{path}: not one of {', '.join(SUFFIXES)}; convert it")


def _lines(text: str) -> Iterator[tuple[int, str]]:
    yield from ((n, line) for n, line in enumerate(text.splitlines(), 1) if line.strip())


def _json_line(path: Path, number: int, line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError as error:
        raise InputError(f"{path}, line {number}: not valid JSON ({error})") from error


def _parquet(path: Path) -> Iterator[dict[str, Any]]:
    import pyarrow
    from pyarrow import parquet

    try:
        file = parquet.ParquetFile(path)
        for batch in file.iter_batches():
            yield from batch.to_pylist()
    except (OSError, pyarrow.ArrowException) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: cannot be read as Parquet ({reason})") from error


def parse_rows(rows: Iterable[Row], forms: Sequence[Form], title: str) -> Annotations:
    """Questions of rows, each by the first form whose columns it has.

    Raises:
        InputError: the first row has the columns of no form, or there is no row.
    """
    questions: dict[str, Question] = {}
    problems: list[str] = []
    num_rows = 0
    for row in rows:
        num_rows += 1
        form = next((form for form in forms if row.has(*form.columns)), None)
        if form is None:
            message = (
                f"not a row of {title}: it has the columns {', '.join(map(str, row.values))}; "
                f"expected {' or '.join(', '.join(form.columns) for form in forms)}"
            )
            if num_rows == 1:
                raise InputError(f"{row.file}: {message}")
            problems.append(str(row.error(message)))
            continue
        try:
            question = form.parse(row)
        except InputError as error:
            problems.append(str(error))
            continue
        if question.id in questions:
            problems.append(str(row.error(f"the id {question.id!r} is there twice; remove one")))
            continue
        questions[question.id] = question
    if not num_rows:
        raise InputError(f"no rows of {title} were found; give --annotations FILE")
    return Annotations(tuple(questions.values()), tuple(problems))
