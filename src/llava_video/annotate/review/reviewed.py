"""What a reviewer sees of a run, and the decisions that are taken about it."""

from __future__ import annotations

import dataclasses
import threading
from pathlib import Path
from typing import Any

from llava_video.annotate.decisions import (
    Decision,
    Decisions,
    add_decision,
    agreements,
    check_reviewer,
    decisions_about,
    parse_decision,
    read_decisions,
)
from llava_video.annotate.records import QA, Caption, VideoRecord
from llava_video.annotate.run_folder import Run
from llava_video.annotate.steps.prompts import titles
from llava_video.annotate.views.explain import explain
from llava_video.errors import InputError
from llava_video.pages.pictures import jpeg
from llava_video.video import read_video


class Reviewed:
    """The records of one run for one reviewer. Threads may share it.

    Args:
        run: that is reviewed.
        reviewer: whose decisions are taken.

    Attributes:
        run: as given.
        reviewer: as given.
        records: its annotated videos, by id.
        items: their questions and descriptions, by id.

    Raises:
        InputError: the reviewer's name is not a file name.
    """

    def __init__(self, run: Run, reviewer: str) -> None:
        self.run = run
        self.reviewer = check_reviewer(reviewer)
        self.records: dict[str, VideoRecord] = {
            record.video_id: record
            for record in run.records
            if record.description is not None and not record.is_rejected
        }
        self.items: dict[str, QA | Caption] = {}
        for record in self.records.values():
            self.items |= {caption.caption_id: caption for caption in record.captions}
            self.items |= {qa.qa_id: qa for qa in record.qas}
        self._titles = titles(run.recipe.prompts)
        self._lock = threading.Lock()  # one decision is written at a time

    def videos(self) -> dict[str, Any]:
        """The videos, with how many of their questions are decided."""
        own = self._own_decisions()
        rows = [
            {
                "id": record.video_id,
                "seconds": record.facts.duration_seconds if record.facts else 0,
                "questions": len(record.qas),
                "decided": sum(bool(decisions_about(qa, own)) for qa in record.qas),
            }
            for record in self.records.values()
        ]
        return {"reviewer": self.reviewer, "videos": rows}

    def video(self, video_id: str) -> dict[str, Any]:
        """Descriptions and questions of a video, with what was decided about them.

        Raises:
            InputError: there is no such video.
        """
        record = self._record(video_id)
        own = self._own_decisions()
        qas = [
            {
                **dataclasses.asdict(qa),
                "title": self._titles.get(qa.type, qa.type),
                "letter": qa.letter,
                "decision": next(map(dataclasses.asdict, decisions_about(qa, own)), None),
            }
            for qa in record.qas
        ]
        captions = [
            {
                **dataclasses.asdict(caption),
                "decision": next(map(dataclasses.asdict, decisions_about(caption, own)), None),
            }
            for caption in record.captions
        ]
        seconds = record.facts.duration_seconds if record.facts else 0
        return {"id": record.video_id, "seconds": seconds, "captions": captions, "qas": qas}

    def explain(self, item_id: str) -> Any:
        """Where a question comes from; see `views.explain.explain`."""
        return explain(self.run.folder, item_id)

    def agreements(self) -> list[dict[str, Any]]:
        """How far reviewers agree, pair by pair."""
        found = agreements(read_decisions(self.run.folder))
        return [dataclasses.asdict(agreement) for agreement in found]

    def decide(self, value: Any) -> dict[str, Any]:
        """Take a decision about a question or a description.

        Raises:
            InputError: it is none, is about nothing here, or an edit does not fit.
        """
        item = self.items.get(str(value.get("qa_id"))) if isinstance(value, dict) else None
        if item is None:
            raise InputError("no such question or description")
        decision = parse_decision(
            {**value, "reviewer": self.reviewer, "call_key": item.provenance.call_key}
        )
        if decision.verdict == "edit":
            _check_edit(decision, item)
        with self._lock:
            add_decision(self.run.folder, decision)
        return dataclasses.asdict(decision)

    def file_of(self, video_id: str) -> Path:
        """The file of a video.

        Raises:
            InputError: there is no such video, or its file is gone.
        """
        path = Path(self._record(video_id).path)
        if not path.is_file():
            raise InputError(f"{path}: is gone; put it back to watch it")
        return path

    def still(self, video_id: str, seconds: float) -> bytes:
        """A JPEG of the frame at a time, for formats that a browser cannot play.

        Raises:
            LlavaVideoError: there is no such video, or it cannot be read.
        """
        record = self._record(video_id)
        last = record.facts.duration_seconds - 0.1 if record.facts else seconds
        start = max(0.0, min(seconds, last))
        frames = read_video(record.path, num_frames=1, start_seconds=start)
        return jpeg(frames.pixels[0])

    def _record(self, video_id: str) -> VideoRecord:
        record = self.records.get(video_id)
        if record is None:
            raise InputError("no such video")
        return record

    def _own_decisions(self) -> Decisions:
        found = read_decisions(self.run.folder)
        return {name: own for name, own in found.items() if name == self.reviewer}


def _check_edit(decision: Decision, item: QA | Caption) -> None:
    """Refuse an edit that does not fit what it is about."""
    if isinstance(item, Caption):
        if not decision.text.strip():
            raise InputError("an edit of a description needs its text")
    elif not (decision.question.strip() and decision.answer.strip()):
        raise InputError("an edit of a question needs a question and an answer")
    elif decision.answer in set(item.options) - {item.answer}:
        raise InputError("the answer is one of the wrong choices; word it differently")
