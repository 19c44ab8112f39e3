"""Decontamination: questions and video ids of test sets that training data must not contain."""

from __future__ import annotations

import csv
import io
import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from llava_video.annotate.steps.similarity import jaccard, shingles, words
from llava_video.errors import InputError

_QUESTION_KEYS = ("question", "Question")
# The first of these that a row has is the video; many files have row numbers as `video_id`,
# too.
_VIDEO_KEYS = ("video_path", "video_name", "video", "videoID", "video_id", "q_uid", "vid")


class DecontaminationSet:
    """Questions and video ids that a dataset must not contain.

    Args:
        questions: their texts.
        videos: ids or file names; compared without folder and suffix.
    """

    def __init__(self, questions: list[str], videos: list[str]) -> None:
        self._questions = list(dict.fromkeys(questions))
        self._shingles = [shingles(question) for question in self._questions]
        self._by_shingle: dict[str, list[int]] = defaultdict(list)
        for number, one in enumerate(self._shingles):
            for shingle in one:
                self._by_shingle[shingle].append(number)
        self._videos = {Path(video).stem for video in videos}

    @classmethod
    def load(cls, paths: tuple[str, ...]) -> DecontaminationSet:
        """Read JSON, JSONL, CSV, Parquet or plain text (one question a line).

        Raises:
            InputError: a file is missing or holds neither questions nor video ids.
        """
        questions: list[str] = []
        videos: list[str] = []
        for path in paths:
            before = len(questions) + len(videos)
            for row in _rows(Path(path)):
                questions += [str(row[key]) for key in _QUESTION_KEYS if row.get(key)]
                videos += [str(row[key]) for key in _VIDEO_KEYS if row.get(key)][:1]
            if len(questions) + len(videos) == before:
                raise InputError(
                    f"{path}: no {' or '.join(_QUESTION_KEYS[:1] + _VIDEO_KEYS[2:3])} in it; "
                    "give a file with such columns"
                )
        return cls(questions, videos)

    def holds_video(self, video_id: str, path: str) -> bool:
        """Whether a video is in one of the test sets."""
        return Path(video_id).name in self._videos or Path(path).stem in self._videos

    def question_like(self, question: str, threshold: float, min_words: int) -> str | None:
        """The first question of a test set at least this similar, or None.

        Questions shorter than ``min_words`` ("What color is it?") are no evidence.
        """
        if len(words(question)) < min_words:
            return None
        one = shingles(question)
        shared: dict[int, int] = defaultdict(int)
        for shingle in one:
            for number in self._by_shingle.get(shingle, ()):
                shared[number] += 1
        for number in sorted(n for n, count in shared.items() if count >= threshold * len(one)):
            if jaccard(one, self._shingles[number]) >= threshold:
                return self._questions[number]
        return None


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    if not path.is_file():
        raise InputError(f"{path}: no such benchmark file; check filters.benchmark_files")
    suffix = path.suffix.lower()
    try:
        if suffix == ".parquet":
            from pyarrow import parquet

            yield from parquet.read_table(path).to_pylist()
            return
        text = path.read_text(encoding="utf-8")
        # Not `splitlines`, which also splits at characters of texts, such as U+2028.
        lines = filter(None, map(str.strip, text.split("\n")))
        if suffix == ".json":
            yield from _dicts_in(json.loads(text))
        elif suffix == ".jsonl":
            for line in lines:
                yield from _dicts_in(json.loads(line))
        elif suffix in (".csv", ".tsv"):
            delimiter = "\t" if suffix == ".tsv" else ","
            yield from csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
        else:
            yield from ({"question": line} for line in lines)
    # Arrow's own errors are ValueErrors, as are those of JSON and of texts that are not UTF-8.
    except (ValueError, RecursionError, csv.Error, OSError) as error:
        reason = " ".join(str(error).split())
        kind = suffix[1:] or "text"
        raise InputError(f"{path}: not readable as {kind} ({reason}); fix the file") from error


def _dicts_in(value: Any) -> Iterator[dict[str, Any]]:
    """Every mapping in a nested value: test sets nest their questions differently."""
    if isinstance(value, dict):
        yield value
        for item in value.values():
            yield from _dicts_in(item)
    elif isinstance(value, list):
        for item in value:
            yield from _dicts_in(item)
