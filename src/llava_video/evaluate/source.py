"""Where the questions and videos of a run come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from llava_video.errors import InputError
from llava_video.evaluate.annotations.question import Question
from llava_video.evaluate.annotations.videos import VideoFolder
from llava_video.evaluate.tasks.benchmark import Benchmark


@dataclass(frozen=True, slots=True)
class Source:
    """Questions and the folder of their videos.

    Attributes:
        questions: in the order of the file.
        folder: of the videos.
        problems: rows that cannot be used, one line each.
        annotations: the file.
    """

    questions: Sequence[Question]
    folder: VideoFolder
    problems: Sequence[str]
    annotations: Path


def load_questions(
    benchmark: Benchmark,
    *,
    annotations: Path | None,
    videos: Path | None,
    limit: int | None = None,
    made_in: Path,
    num_videos: int = 100,
    level: str = "standard",
) -> Source:
    """The questions of a benchmark, which is made here if it can be and no file is given.

    Args:
        benchmark: whose.
        annotations: file or folder.
        videos: their folder; that of the annotations by default.
        limit: take the first so many.
        made_in: where toyworld is made.
        num_videos: how many of its videos.
        level: of its videos.

    Raises:
        InputError: there is no file, or it holds no question.
    """
    if annotations is None and benchmark.make is not None:
        annotations = benchmark.make(made_in, num_videos, level)
    if annotations is None:
        raise InputError(
            f"{benchmark.name}: give --annotations FILE; docs/evaluation.md says which"
        )
    found = benchmark.load(annotations)
    questions = found.questions[:limit]
    if not questions:
        first = found.problems[0] if found.problems else "no rows"
        raise InputError(f"{annotations}: no question of it can be used: {first}")
    beside = annotations if annotations.is_dir() else annotations.parent
    return Source(questions, VideoFolder(videos or beside), found.problems, annotations)
