"""Two runs on the same questions: the paired difference, and the questions that changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from llava_video.errors import InputError
from llava_video.evaluate.scoring.outcomes import Outcome, task_folders
from llava_video.evaluate.scoring.power import num_questions_needed
from llava_video.evaluate.scoring.results import read_task
from llava_video.evaluate.scoring.scores import Paired, compare_paired, valued_outcomes
from llava_video.evaluate.thumbnails import thumbnails
from llava_video.pages.blocks import Block, Page, Section, Table, Text, Tiles
from llava_video.pages.html import to_html
from llava_video.records.files import write_whole

_MOST_SHOWN = 20
_POINT = 0.01


@dataclass(frozen=True, slots=True)
class Comparison:
    """A task of two runs.

    Attributes:
        task: its name.
        paired: the difference.
        changed: ``(before, after)`` of questions with another value.
    """

    task: str
    paired: Paired
    changed: Sequence[tuple[Outcome, Outcome]]

    def in_words(self) -> str:
        """The difference in one line."""
        paired = self.paired
        return (
            f"{self.task}: {paired.first:.3f} to {paired.second:.3f}, difference "
            f"{paired.difference.text} (95 %, clustered by video), {paired.num_better} better and "
            f"{paired.num_worse} worse of {paired.difference.num_values}"
        )

    def power_in_words(self) -> str:
        """How many questions would show a difference of one point."""
        if self.paired.differing_share <= _POINT:
            return "Too few questions differ to say how many would show one point."
        needed = num_questions_needed(_POINT, self.paired.differing_share)
        return (
            f"The runs differ on {self.paired.differing_share:.1%} of the questions: at that share "
            f"{needed:,} questions about as many videos would show a difference of one point."
        )


def compare(first: Path, second: Path) -> list[Comparison]:
    """Compare the tasks that two runs share.

    Raises:
        InputError: they share none, or no question.
    """
    before = {folder.name: folder for folder in task_folders(first)}
    after = {folder.name: folder for folder in task_folders(second)}
    shared = [name for name in before if name in after]
    if not shared:
        raise InputError(
            f"{first} has {', '.join(before)} and {second} has {', '.join(after)}: no task in both"
        )
    return [_compare(name, before[name], after[name]) for name in shared]


def _compare(task: str, before: Path, after: Path) -> Comparison:
    (results, first), (other, second) = read_task(before), read_task(after)
    failures = results["settings"]["failures"]
    if other["settings"]["failures"] != failures:
        raise InputError(
            f"{task}: one run leaves failed questions out, the other counts them as wrong; "
            "llava-video eval rescore RUN --failures makes them alike"
        )
    paired = compare_paired(first, second, failures)
    if paired is None:
        raise InputError(f"{task}: the two runs scored no question in common; same annotations?")
    valued = {outcome.id: (outcome, value) for outcome, value in valued_outcomes(second, failures)}
    pairs = [
        (a, value, *valued[a.id]) for a, value in valued_outcomes(first, failures) if a.id in valued
    ]
    changed = [(a, b) for a, value, b, other_value in pairs if value != other_value]
    return Comparison(task, paired, changed)


def write_page(comparisons: Sequence[Comparison], first: Path, second: Path, page: Path) -> None:
    """Write a page with the differences and the questions that changed.

    Raises:
        InputError: it cannot be written.
    """
    sections = []
    for each in comparisons:
        difference = each.paired.difference
        blocks: list[Block] = [
            Tiles(
                [
                    (f"{each.paired.first:.3f}", str(first)),
                    (f"{each.paired.second:.3f}", str(second)),
                    (difference.text, "difference, 95 %"),
                    (f"{each.paired.num_better:,}", "better"),
                    (f"{each.paired.num_worse:,}", "worse"),
                ]
            ),
            Text(each.power_in_words()),
            _changed(each.changed[:_MOST_SHOWN]),
        ]
        sections.append(Section(each.task, blocks))
    write_whole(page, to_html(Page(f"{first.name} and {second.name}", [], sections)))


def _changed(pairs: Sequence[tuple[Outcome, Outcome]]) -> Block:
    if not pairs:
        return Text("No question changed.")
    rows = [
        (
            thumbnails(before if before.file else after),
            before.prompt,
            before.text,
            after.text,
            before.target,
        )
        for before, after in pairs
    ]
    return Table(("seen", "prompt", "first", "second", "right"), rows)
