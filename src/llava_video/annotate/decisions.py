"""Reviewers' decisions: one file each, applied over the records, compared for agreement."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from llava_video.annotate.records import QA, Rejection, VideoRecord
from llava_video.errors import InputError

Verdict = Literal["accept", "edit", "reject", "undo"]


@dataclass(frozen=True, slots=True)
class Decision:
    """What one reviewer decided about one question.

    Attributes:
        qa_id: the question.
        reviewer: who decided.
        verdict: accept, edit, reject, or undo (back to undecided).
        question: the new wording, for edits.
        answer: the new answer, for edits.
        call_key: the call that the question came from; a decision does not hold for the question
            of another call.
    """

    qa_id: str
    reviewer: str
    verdict: Verdict
    question: str = ""
    answer: str = ""
    call_key: str = ""

    def is_about(self, qa: QA) -> bool:
        """Whether the decision is about this version of the question."""
        return (self.qa_id, self.call_key) == (qa.qa_id, qa.provenance.call_key)


@dataclass(frozen=True, slots=True)
class Agreement:
    """Agreement of two reviewers on keeping questions.

    Attributes:
        reviewers: the two.
        num_both: questions that both decided.
        num_agreed: those they decided alike (an edit keeps the question).
        kappa: Cohen's kappa; None where chance alone would agree always.
    """

    reviewers: tuple[str, str]
    num_both: int
    num_agreed: int
    kappa: float | None


_DECISION = TypeAdapter(Decision)
Decisions = dict[str, dict[str, Decision]]  # by reviewer, then by question


def check_reviewer(name: str) -> str:
    """The name, if it can be a file's.

    Raises:
        InputError: it cannot.
    """
    if not name or not all(c.isalnum() or c in "-_" for c in name):
        raise InputError(f"reviewer {name!r}: use letters, digits, - and _")
    return name


def parse_decision(value: object) -> Decision:
    """A checked decision from plain values.

    Raises:
        InputError: they are not a decision.
    """
    try:
        decision = _DECISION.validate_python(value)
    except ValidationError as error:
        raise InputError(f"not a decision: {error.errors()[0]['msg']}") from error
    if decision.verdict == "edit" and not (decision.question.strip() and decision.answer.strip()):
        raise InputError("an edit needs a question and an answer")
    check_reviewer(decision.reviewer)
    return decision


def add_decision(folder: Path, decision: Decision) -> None:
    """Append a decision to its reviewer's file."""
    path = folder / "review" / f"{decision.reviewer}.jsonl"
    path.parent.mkdir(exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(_DECISION.dump_json(decision).decode() + "\n")


def read_decisions(folder: Path) -> Decisions:
    """The last decision of each reviewer about each question."""
    decisions: Decisions = {}
    for path in sorted((folder / "review").glob("*.jsonl")):
        own = decisions.setdefault(path.stem, {})
        for number, line in enumerate(_lines_of(path), 1):
            try:
                decision = parse_decision(json.loads(line))
            except ValueError as error:
                raise InputError(f"{path}:{number}: {error}; fix or delete the line") from error
            own.pop(decision.qa_id, None)
            if decision.verdict != "undo":
                own[decision.qa_id] = decision
    return decisions


def apply_decisions(records: Iterable[VideoRecord], decisions: Decisions) -> Iterator[VideoRecord]:
    """The records with decisions applied.

    A question that any reviewer rejected is left out. Of several edits the one of the
    alphabetically last reviewer counts.
    """
    for record in records:
        kept: list[QA] = []
        gone: list[Rejection] = []
        for qa in record.qas:
            found = decisions_about(qa, decisions)
            rejected_by = [d.reviewer for d in found if d.verdict == "reject"]
            edits = [d for d in found if d.verdict == "edit"]
            if rejected_by:
                gone.append(
                    Rejection(qa.qa_id, "review", "reviewer", ", ".join(rejected_by), qa.question)
                )
            else:
                kept.append(_edited(qa, edits[-1]) if edits else qa)
        yield dataclasses.replace(record, qas=tuple(kept)).noting(*gone)


def decisions_about(qa: QA, decisions: Decisions) -> list[Decision]:
    """Decisions about this version of a question, by reviewer."""
    found = [own[qa.qa_id] for own in decisions.values() if qa.qa_id in own]
    return [decision for decision in found if decision.is_about(qa)]


def agreements(decisions: Decisions) -> list[Agreement]:
    """Agreement of every two reviewers."""
    names = sorted(decisions)
    pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
    return [_agreement(a, b, decisions) for a, b in pairs]


def _agreement(one: str, other: str, decisions: Decisions) -> Agreement:
    both = [
        qa_id
        for qa_id in sorted(decisions[one].keys() & decisions[other].keys())
        if decisions[one][qa_id].call_key == decisions[other][qa_id].call_key
    ]
    first = [decisions[one][qa_id].verdict != "reject" for qa_id in both]
    second = [decisions[other][qa_id].verdict != "reject" for qa_id in both]
    agreed = sum(a == b for a, b in zip(first, second, strict=True))
    kappa = None
    if both:
        share_one, share_other = Counter(first)[True] / len(both), Counter(second)[True] / len(both)
        chance = share_one * share_other + (1 - share_one) * (1 - share_other)
        kappa = (agreed / len(both) - chance) / (1 - chance) if chance < 1 else None
    return Agreement((one, other), len(both), agreed, kappa)


def _lines_of(path: Path) -> list[str]:
    # Not `splitlines`, which also splits at characters of texts, such as U+2028.
    return path.read_text(encoding="utf-8").removesuffix("\n").split("\n")


def _edited(qa: QA, edit: Decision) -> QA:
    options = tuple(edit.answer if option == qa.answer else option for option in qa.options)
    return dataclasses.replace(qa, question=edit.question, answer=edit.answer, options=options)
