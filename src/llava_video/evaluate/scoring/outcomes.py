"""What became of each question: the file that scores, reports and comparisons read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from llava_video.errors import InputError
from llava_video.evaluate.annotations.question import Question
from llava_video.records.files import write_whole
from llava_video.records.json_lines import dump_lines, read_lines

FILE = "outcomes.jsonl"


@dataclass(frozen=True, slots=True)
class Outcome:
    """A question, its answer and its verdict.

    Attributes:
        id: of the question.
        video: name of the video, by which intervals are clustered.
        type: of the question.
        duration: group of the video.
        question: without options.
        options: without letters.
        target: the right letter or words.
        prompt: as it was sent.
        file: the video that was shown; empty for none.
        text: the answer.
        said: the letter or words that were extracted; None where it chooses nothing.
        value: of the verdict; None where there is none.
        failure: why there is none.
        failure_kind: ``video``, ``model`` or ``judge``.
        seen_seconds: when the frames that were seen are shown.
        num_video_tokens: V.
        representation: how frames became tokens.
        others: the value by other metrics, by name.
    """

    id: str
    video: str
    type: str
    duration: str
    question: str
    options: tuple[str, ...]
    target: str
    prompt: str
    file: str
    text: str
    said: str | None
    value: float | None
    failure: str = ""
    failure_kind: str = ""
    seen_seconds: tuple[float, ...] = ()
    num_video_tokens: int = 0
    representation: str = ""
    others: Mapping[str, float] = field(default_factory=dict)

    def as_question(self) -> Question:
        """The question again, to extract the answer anew."""
        return Question(
            self.id,
            self.video,
            self.question,
            self.options,
            self.target,
            type=self.type,
            written=self.prompt,
        )


def shown_of(details: dict[str, Any]) -> dict[str, Any]:
    """The fields of an `Outcome` that say how its video was seen."""
    videos = details.get("videos") or []
    if not videos:
        return {}
    [video, *_] = videos
    return {
        "seen_seconds": tuple(round(seconds, 3) for seconds in video["timestamps_seconds"]),
        "num_video_tokens": video["num_tokens"],
        "representation": video["representation"],
    }


def write_outcomes(folder: Path, outcomes: Sequence[Outcome]) -> None:
    """Write the outcomes of a task.

    Raises:
        InputError: they cannot be written.
    """
    write_whole(folder / FILE, dump_lines(asdict(outcome) for outcome in outcomes))


def read_outcomes(folder: Path) -> list[Outcome]:
    """The outcomes of a task.

    Raises:
        InputError: there are none, or they are of another version.
    """
    path = folder / FILE
    if not path.is_file():
        raise InputError(f"{folder}: no {FILE} in it; run `llava-video eval` to its end first")
    try:
        return [_read(line) for line in read_lines(path)]
    except TypeError as error:
        raise InputError(f"{path}: not written by this version ({error}); run again") from error


def _read(line: dict[str, Any]) -> Outcome:
    listed = {name: tuple(line.get(name, ())) for name in ("options", "seen_seconds")}
    return Outcome(**{**line, **listed})


def task_folders(run: Path) -> list[Path]:
    """The folders of a run's tasks.

    Raises:
        InputError: it is no run.
    """
    folders = sorted(path.parent for path in run.glob(f"*/{FILE}"))
    if not folders:
        raise InputError(f"{run}: no finished task in it; give the --out folder of an evaluation")
    return folders
