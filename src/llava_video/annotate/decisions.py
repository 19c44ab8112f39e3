"""Reviewers' decisions: one file each, applied over the records, compared for agreement."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import TypeAdapter, ValidationError

from llava_video.annotate.records import QA, Caption, Rejection, VideoRecord
from llava_video.errors import InputError
from llava_video.records.json_lines import append_line

Item = TypeVar("Item", QA, Caption)
Verdict = Literal["accept", "edit", "reject", "undo"]


@dataclass(frozen=True, slots=True)
class Decision:
    """What one reviewer decided about one question or description.

    Attributes:
        qa_id: the question, or the description.
        reviewer: who decided.
        verdict: accept, edit, reject, or undo (back to undecided).
        question: the new wording, for edits.
        answer: the new answer, for edits.
        text: the new description, for edits of one.
        call_key: the call that the question came from; a decision does not hold for the question
            of another call.
    """

    qa_id: str
    reviewer: str
    verdict: Verdict
    question: str = ""
    answer: str = ""
    call_key: str = ""
    text: str = ""

    def is_about(self, item: QA | Caption) -> bool:
        """Whether the decision is about this version of the question or description."""
        return (self.qa_id, self.call_key) == (id_of(item), item.provenance.call_key)


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
    is_question = decision.question.strip() and decision.answer.strip()
    if decision.verdict == "edit" and not (is_question or decision.text.strip()):
        raise InputError("an edit needs a question and an answer, or the text of a description")
    check_reviewer(decision.reviewer)
    return decision


def add_decision(folder: Path, decision: Decision) -> None:
    """Append a decision to its reviewer's file."""
    path = folder / "review" / f"{decision.reviewer}.jsonl"
    path.parent.mkdir(exist_ok=True)
    append_line(path, _DECISION.dump_python(decision, mode="json"))


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

    A question or description that any reviewer rejected is left out; the questions of a rejected
    description stay, as they can be rejected themselves. Of several edits the one of the
    alphabetically last reviewer counts.
    """
    for record in records:
        gone: list[Rejection] = []
        qas = tuple(_decided(record.qas, decisions, gone))
        captions = tuple(_decided(record.captions, decisions, gone))
        yield dataclasses.replace(record, qas=qas, captions=captions).noting(*gone)


def _decided(items: Iterable[Item], decisions: Decisions, gone: list[Rejection]) -> Iterator[Item]:
    """Items that no reviewer rejected, edited; the others are added to ``gone``."""
    for item in items:
        found = decisions_about(item, decisions)
        rejected_by = [d.reviewer for d in found if d.verdict == "reject"]
        edits = [d for d in found if d.verdict == "edit"]
        if rejected_by:
            raw_text = item.question if isinstance(item, QA) else item.text
            names = ", ".join(rejected_by)
            gone.append(Rejection(id_of(item), "review", "reviewer", names, raw_text))
        else:
            yield _edited(item, edits[-1]) if edits else item


def id_of(item: QA | Caption) -> str:
    """Id of a question or a description."""
    return item.qa_id if isinstance(item, QA) else item.caption_id


def decisions_about(item: QA | Caption, decisions: Decisions) -> list[Decision]:
    """Decisions about this version of a question or description, by reviewer."""
    found = [own[id_of(item)] for own in decisions.values() if id_of(item) in own]
    return [decision for decision in found if decision.is_about(item)]


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


def _edited(item: Item, edit: Decision) -> Item:
    if isinstance(item, Caption):
        return dataclasses.replace(item, text=" ".join(edit.text.split()) or item.text)
    return _edited_question(item, edit)


def _edited_question(qa: QA, edit: Decision) -> QA:
    options = tuple(edit.answer if option == qa.answer else option for option in qa.options)
    return dataclasses.replace(qa, question=edit.question, answer=edit.answer, options=options)
