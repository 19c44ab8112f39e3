"""The dataset in the released format: LLaVA conversations, one file per kind and duration."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llava_video.annotate.recipe import Recipe
from llava_video.annotate.records import QA, VideoRecord
from llava_video.annotate.steps.option_order import draw
from llava_video.errors import InputError
from llava_video.records.duration_buckets import bucket_of
from llava_video.records.files import write_whole
from llava_video.records.json_lines import dump_json
from llava_video.records.llava_format import make_record
from llava_video.records.options import (
    LETTER_ENDING,
    OPTION_ENDING,
    answer_by_letter,
    answer_by_option,
    ask_with_options,
)

# The release names captions otherwise than questions.
_NAMES = {
    "caption": "{group}_{version}_cap_processed.json",
    "open_ended": "{group}_oe_{version}_qa_processed.json",
    "multi_choice": "{group}_mc_{version}_qa_processed.json",
}

# Ways to ask for the description; which one a video gets follows from the seed.
CAPTION_REQUESTS = (
    "Please describe this video in detail.",
    "Give a detailed account of everything that happens in the video.",
    "What happens in this video, from beginning to end?",
    "Describe the scene, the people and objects, and the course of events in this video.",
    "Write a thorough description of the video.",
    "Tell me all you can see in this video, in the order in which it happens.",
    "Provide a complete description of the video's content.",
    "Walk me through this video step by step, with its visual details.",
)


@dataclass(frozen=True, slots=True)
class Sample:
    """One training record and where it belongs.

    Attributes:
        split: caption, open_ended or multi_choice.
        group: duration bucket and source group, such as ``0_30_s_academic``.
        record: the record as the released files hold it.
        path: the video file.
    """

    split: str
    group: str
    record: dict[str, Any]
    path: str


def samples(records: Iterable[VideoRecord], recipe: Recipe, root: Path) -> Iterator[Sample]:
    """All training records, in the order of the videos.

    Args:
        records: final records, choices arranged.
        recipe: names and seed.
        root: the folder that ``video`` paths are relative to.
    """
    for record in records:
        if record.is_rejected or record.facts is None:
            continue
        source = recipe.export.groups.get(record.source, record.source)
        group = f"{bucket_of(record.facts.duration_seconds)}_{source}"
        turns = {
            "caption": _caption_pairs(record, recipe.seed),
            "open_ended": _pairs(record, "open_ended", recipe.seed),
            "multi_choice": _pairs(record, "multi_choice", recipe.seed),
        }
        for split, pairs in turns.items():
            if pairs:
                value = make_record(
                    record.video_id,
                    pairs,
                    data_source=f"{group}_{recipe.export.version}",
                    video=_relative(record.path, root),
                )
                yield Sample(split, group, value, record.path)


def released_files(found: Iterable[Sample], version: str) -> dict[str, list[dict[str, Any]]]:
    """File names with their records, named and grouped like the released ones."""
    files: dict[str, list[dict[str, Any]]] = {}
    for sample in found:
        folder = f"{sample.group}_{version}"
        name = _NAMES[sample.split].format(group=sample.group, version=version)
        files.setdefault(f"{folder}/{name}", []).append(sample.record)
    return dict(sorted(files.items()))


def write_llava(found: Iterable[Sample], recipe: Recipe, folder: Path) -> list[Path]:
    """Write the released format."""
    files = released_files(found, recipe.export.version)
    for name, values in files.items():
        write_whole(folder / name, dump_json(values, indent=2) + "\n")
    return [folder / name for name in files]


def question_text(qa: QA, seed: int) -> str:
    """The human turn of a question, without the ``<image>`` that the first turn starts with."""
    if not qa.options:
        return qa.question
    ending = LETTER_ENDING if _wants_letter(qa, seed) else OPTION_ENDING
    return ask_with_options(qa.question, qa.options, ending)


def answer_text(qa: QA, seed: int) -> str:
    """The model's turn: ``A.`` or ``A. Black.`` for choices, the answer otherwise."""
    if not qa.options:
        return qa.answer
    if _wants_letter(qa, seed):
        return answer_by_letter(qa.letter)
    return answer_by_option(qa.letter, qa.answer)


def _wants_letter(qa: QA, seed: int) -> bool:
    return int(draw(seed, f"ending {qa.qa_id}"), 16) % 2 == 0


def _pairs(record: VideoRecord, kind: str, seed: int) -> list[tuple[str, str]]:
    return [
        (question_text(qa, seed), answer_text(qa, seed)) for qa in record.qas if qa.kind == kind
    ]


def _caption_pairs(record: VideoRecord, seed: int) -> list[tuple[str, str]]:
    if record.description is None:  # a reviewer may have rejected it
        return []
    number = int(draw(seed, f"caption {record.video_id}"), 16) % len(CAPTION_REQUESTS)
    return [(CAPTION_REQUESTS[number], record.description.text)]


def _relative(path: str, root: Path) -> str:
    try:
        return Path(path).resolve().relative_to(root.resolve()).as_posix()
    except ValueError as error:
        raise InputError(
            f"{Path(path).name} does not lie below {root}; give --video-root a folder that "
            "holds all videos"
        ) from error


Writer = Callable[[list[Sample], Recipe, Path], list[Path]]
