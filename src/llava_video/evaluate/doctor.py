"""What is wrong with annotations and videos, before any model is loaded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from llava_video.errors import VideoError
from llava_video.evaluate.source import Source
from llava_video.evaluate.tasks.benchmark import Benchmark


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The state of a benchmark's files.

    Attributes:
        task: its name.
        num_questions: that can be read.
        num_expected: of the whole set; None where that is not known.
        num_videos: that the questions are about.
        broken_rows: one line each.
        missing: videos without a file, one line each.
        unreadable: files of which no frame decodes, one line each.
        unused: video files that no question is about.
        num_lost: questions about videos that are missing or unreadable.
    """

    task: str
    num_questions: int
    num_expected: int | None
    num_videos: int
    broken_rows: tuple[str, ...]
    missing: tuple[str, ...]
    unreadable: tuple[str, ...]
    unused: tuple[str, ...]
    num_lost: int

    @property
    def is_well(self) -> bool:
        """Whether every question can be asked."""
        return not (self.broken_rows or self.missing or self.unreadable)


def examine(
    benchmark: Benchmark,
    source: Source,
    *,
    look: Callable[[Path], object],
    notice: Callable[[], None] = lambda: None,
) -> Diagnosis:
    """Look at every question and every video.

    Args:
        benchmark: whose.
        source: its questions and the folder of its videos.
        look: reads a file; raises `VideoError` where it cannot be read as a video.
        notice: called after each video.
    """
    missing, unreadable, used = [], [], set()
    lost = set()
    for name in dict.fromkeys(question.video for question in source.questions):
        try:
            path = source.folder.find(name)
        except VideoError as error:
            missing.append(str(error))
            lost.add(name)
        else:
            used.add(path)
            try:
                look(path)
            except VideoError as error:
                unreadable.append(str(error))
                lost.add(name)
        notice()
    unused = [path for path in source.folder.files if path not in used]
    return Diagnosis(
        task=benchmark.name,
        num_questions=len(source.questions),
        num_expected=benchmark.num_questions,
        num_videos=len({question.video for question in source.questions}),
        broken_rows=tuple(source.problems),
        missing=tuple(missing),
        unreadable=tuple(unreadable),
        unused=tuple(map(str, unused)),
        num_lost=sum(question.video in lost for question in source.questions),
    )
