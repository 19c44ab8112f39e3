"""The value types that flow through the data engine: one record per video, growing step by step.

Records hold only what follows from the videos, the recipe and the answers, so two runs with the
same answers write the same bytes. What differs from run to run (request ids, attempts, dollars)
stays in the ledger, which a record reaches through `Provenance.call_key`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from llava_video.errors import InputError
from llava_video.records.files import write_whole
from llava_video.records.options import letter_of

Kind = Literal["open_ended", "multi_choice"]
KINDS: tuple[Kind, ...] = ("open_ended", "multi_choice")


@dataclass(frozen=True, slots=True)
class Provenance:
    """Provenance of a text.

    Attributes:
        call_key: key of the call in the ledger, which knows request id, tokens and dollars.
        model: the model that was asked.
        prompt: prompt name and content hash, ``level1@0123456789ab``.
        parents: ids of the captions that the prompt held.
        frame_seconds: times of the frames that the prompt held.
        frame_digests: digests of those frames' pixels, in the same order.
    """

    call_key: str
    model: str
    prompt: str
    parents: tuple[str, ...] = ()
    frame_seconds: tuple[float, ...] = ()
    frame_digests: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Caption:
    """A description of one time span; level 1, 2 or 3 (paper section 3.2)."""

    caption_id: str
    level: int
    start_seconds: float
    end_seconds: float
    text: str
    provenance: Provenance


@dataclass(frozen=True, slots=True)
class QA:
    """One question with its answer.

    Attributes:
        qa_id: ``video/oe/type`` or ``video/mc/type``.
        options: the choices in the order shown, empty for open-ended questions. The answer is one
            of them, word for word.
        evidence_start_seconds: the clip whose description is closest to the answer.
        evidence_end_seconds: end of that clip.
        tags: marks that checks leave when the recipe says to tag and not to drop.
    """

    qa_id: str
    kind: Kind
    type: str
    question: str
    answer: str
    provenance: Provenance
    options: tuple[str, ...] = ()
    evidence_start_seconds: float = 0.0
    evidence_end_seconds: float = 0.0
    tags: tuple[str, ...] = ()

    @property
    def letter(self) -> str:
        """Letter of the right choice; empty for open-ended questions."""
        return letter_of(self.answer, self.options)


@dataclass(frozen=True, slots=True)
class Rejection:
    """A video, caption or question that was left out, with the reason.

    Attributes:
        subject_id: id of the video, caption or question.
        stage: the step that rejected it: select, describe, ask, check, filter, review.
        reason: one of a fixed set of words, for counting.
        detail: the numbers or the sentence behind it.
        raw_text: what the model wrote, where that did not parse; or the rejected question.
    """

    subject_id: str
    stage: str
    reason: str
    detail: str = ""
    raw_text: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """Measurements of a video.

    Attributes:
        num_scenes: scenes that PySceneDetect finds; None where the recipe asks for no scenes.
        frame_hash: perceptual hash of evenly spaced frames, hexadecimal; empty when not asked for.
        warnings: what is wrong with the file, one sentence each.
        is_variable_rate: whether its frames are not evenly spaced in time.
    """

    duration_seconds: float
    width: int
    height: int
    average_fps: float
    num_scenes: int | None = None
    frame_hash: str = ""
    warnings: tuple[str, ...] = ()
    is_variable_rate: bool = False


@dataclass(frozen=True, slots=True)
class VideoRecord:
    """One video with the results of the steps so far.

    Attributes:
        video_id: its name in the dataset.
        path: the file.
        source: selects the rules of the recipe for it.
        category: for quotas.
        views: of the source, for choosing within a category.
        facts: measurements; None before selection, or where the file cannot be read.
        captions: in the order they were written.
        qas: questions that are still in.
        rejections: what was left out.
        num_frames_seen: pictures that level 1 was sent.
        warnings: what was wrong with the file, one sentence each.
    """

    video_id: str
    path: str
    source: str = "files"
    category: str = "all"
    views: int = 0
    facts: Facts | None = None
    captions: tuple[Caption, ...] = ()
    qas: tuple[QA, ...] = ()
    rejections: tuple[Rejection, ...] = ()
    num_frames_seen: int = 0
    warnings: tuple[str, ...] = ()

    @property
    def is_rejected(self) -> bool:
        """Whether the video as a whole was left out."""
        return any(r.subject_id == self.video_id for r in self.rejections)

    @property
    def description(self) -> Caption | None:
        """The level-3 caption, once there is one."""
        return next((c for c in self.captions if c.level == 3), None)

    def in_words(self, error: Exception) -> str:
        """What an error about the file says, without its folder: records go elsewhere."""
        return str(error).replace(self.path, Path(self.path).name)

    def rejected(
        self, stage: str, reason: str, detail: str = "", raw_text: str = ""
    ) -> VideoRecord:
        """This record with the video itself left out for a reason."""
        return self.noting(Rejection(self.video_id, stage, reason, detail, raw_text))

    def warned(self, warnings: Iterable[str]) -> VideoRecord:
        """This record with more warnings, each of them once."""
        return dataclasses.replace(self, warnings=tuple(dict.fromkeys((*self.warnings, *warnings))))

    def noting(self, *rejections: Rejection) -> VideoRecord:
        """This record with more rejections."""
        return dataclasses.replace(self, rejections=self.rejections + rejections)


_RECORD = TypeAdapter(VideoRecord)


def to_json(record: VideoRecord) -> str:
    """One line of JSON."""
    return _RECORD.dump_json(record).decode()


def from_json(text: str | bytes) -> VideoRecord:
    """A record from one line of JSON."""
    return _RECORD.validate_json(text)


def write_records(records: Iterable[VideoRecord], path: Path) -> None:
    """Write records as JSON lines, all of them or none."""
    write_whole(path, "".join(to_json(record) + "\n" for record in records))


def read_records(path: Path) -> Iterator[VideoRecord]:
    """Read what `write_records` wrote.

    Raises:
        InputError: the file is missing or a line is not a record.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; `llava-video annotate run` writes it")
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            try:
                yield from_json(line)
            except ValidationError as error:
                first = error.errors()[0]
                raise InputError(f"{path}:{number}: not a record: {first['msg']}") from error
