"""The dataset in the released format: LLaVA conversations, one file per kind and duration."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llava_video.annotate.recipe import Recipe
from llava_video.annotate.records import QA, VideoRecord, write_atomically
from llava_video.annotate.steps.option_order import draw
from llava_video.errors import InputError
from llava_video.records.json_lines import dump_json

LETTER_ENDING = "Please respond with only the letter of the correct answer."
OPTION_ENDING = "Please provide your answer by stating the letter followed by the full option."
# Upper bound in seconds of each bucket, and its name in file names.
BUCKETS = ((30.0, "0_30_s"), (60.0, "30_60_s"), (120.0, "1_2_m"), (180.0, "2_3_m"))
LAST_BUCKET = "3_m_up"
SPLITS = ("caption", "open_ended", "multi_choice")
_SHORT = {"caption": "cap", "open_ended": "oe", "multi_choice": "mc"}

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


def bucket_of(duration_seconds: float) -> str:
    """Name of a duration's bucket."""
    return next((name for limit, name in BUCKETS if duration_seconds <= limit), LAST_BUCKET)


def samples(records: Iterable[VideoRecord], recipe: Recipe, root: Path) -> Iterator[Sample]:
    """All training records, in the order of the videos.

    Args:
        records: final records, choices arranged.
        recipe: names and seed.
        root: the folder that ``video`` paths are relative to.
    """
    for record in records:
        if record.is_rejected or record.description is None or record.facts is None:
            continue
        source = recipe.export.groups.get(record.source, record.source)
        group = f"{bucket_of(record.facts.duration_seconds)}_{source}"
        turns = {
            "caption": _caption_turns(record, recipe.seed),
            "open_ended": _turns(record, "open_ended", recipe.seed),
            "multi_choice": _turns(record, "multi_choice", recipe.seed),
        }
        for split, conversation in turns.items():
            if conversation:
                value = {
                    "id": record.video_id,
                    "conversations": conversation,
                    "data_source": f"{group}_{recipe.export.version}",
                    "video": _relative(record.path, root),
                }
                yield Sample(split, group, value, record.path)


def released_files(found: Iterable[Sample], version: str) -> dict[str, list[dict[str, Any]]]:
    """File names with their records, named and grouped like the released ones."""
    files: dict[str, list[dict[str, Any]]] = {}
    for sample in found:
        folder = f"{sample.group}_{version}"
        name = f"{sample.group}_{_SHORT[sample.split]}_{version}_processed.json"
        files.setdefault(f"{folder}/{name}", []).append(sample.record)
    return dict(sorted(files.items()))


def write_llava(found: Iterable[Sample], recipe: Recipe, folder: Path) -> list[Path]:
    """Write the released format."""
    files = released_files(found, recipe.export.version)
    for name, values in files.items():
        write_atomically(folder / name, dump_json(values, indent=2) + "\n")
    return [folder / name for name in files]


def question_text(qa: QA, seed: int) -> str:
    """The human turn of a question, without the ``<image>`` that the first turn starts with."""
    if not qa.options:
        return qa.question
    lines = [f"{chr(65 + i)}. {option}" for i, option in enumerate(qa.options)]
    ending = LETTER_ENDING if _wants_letter(qa, seed) else OPTION_ENDING
    return "\n".join([qa.question, *lines, ending])


def answer_text(qa: QA, seed: int) -> str:
    """The model's turn: ``A.`` or ``A. Option`` for choices, the answer otherwise."""
    if not qa.options:
        return qa.answer
    return f"{qa.letter}." if _wants_letter(qa, seed) else f"{qa.letter}. {qa.answer}"


def _wants_letter(qa: QA, seed: int) -> bool:
    return int(draw(seed, f"ending {qa.qa_id}"), 16) % 2 == 0


def _turns(record: VideoRecord, kind: str, seed: int) -> list[dict[str, str]]:
    pairs = [
        (question_text(qa, seed), answer_text(qa, seed)) for qa in record.qas if qa.kind == kind
    ]
    return _conversation(pairs)


def _caption_turns(record: VideoRecord, seed: int) -> list[dict[str, str]]:
    assert record.description is not None
    number = int(draw(seed, f"caption {record.video_id}"), 16) % len(CAPTION_REQUESTS)
    return _conversation([(CAPTION_REQUESTS[number], record.description.text)])


def _conversation(pairs: list[tuple[str, str]]) -> list[dict[str, str]]:
    turns = []
    for number, (question, answer) in enumerate(pairs):
        start = "<image>\n" if number == 0 else ""
        # A literal <image> in the text would be taken for a second video by every LLaVA trainer.
        turns.append({"from": "human", "value": start + question.replace("<image>", "image")})
        turns.append({"from": "gpt", "value": answer.replace("<image>", "image")})
    return turns


def _relative(path: str, root: Path) -> str:
    try:
        return Path(path).resolve().relative_to(root.resolve()).as_posix()
    except ValueError as error:
        raise InputError(
            f"{Path(path).name} does not lie below {root}; give --video-root a folder that "
            "holds all videos"
        ) from error


Writer = Callable[[list[Sample], Recipe, Path], list[Path]]
