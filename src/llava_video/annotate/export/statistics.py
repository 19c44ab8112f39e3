"""Counting a dataset, for its card and report, beside the paper's LLaVA-Video-178K."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from llava_video.annotate.records import VideoRecord

# Table 3 of the paper: (name, text by, videos, total length, average FPS, captions, OE, MC).
TABLE3 = (
    ("HowTo100M", "ASR", "136M", "134.5Khr", "-", "136M", "0", "0"),
    ("ACAV", "ASR", "100M", "277.7Khr", "-", "100M", "0", "0"),
    ("YT-Temporal-180M", "ASR", "180M", "-", "-", "180M", "0", "0"),
    ("HD-VILA-100M", "ASR", "103M", "371.5Khr", "-", "103M", "0", "0"),
    ("MSVD", "Manual", "1970", "5.3h", "-", "1K", "0", "0"),
    ("LSMDC", "Manual", "118K", "158h", "-", "118K", "0", "0"),
    ("MSR-VTT", "Manual", "10K", "40h", "-", "10K", "0", "0"),
    ("DiDeMo", "Manual", "27K", "87h", "-", "27K", "0", "0"),
    ("ActivityNet", "Manual", "100K", "849h", "-", "100K", "0", "0"),
    ("YouCook2", "Manual", "14K", "176h", "-", "14K", "0", "0"),
    ("TVQA", "Manual", "21K", "3.39Khr", "-", "0", "0", "152K"),
    ("ActivityNet-QA", "Manual", "5.8K", "290h", "-", "0", "58K", "0"),
    ("Social-IQ", "Manual", "1.2K", "20h", "-", "0", "0", "7.5k"),
    ("NExT-QA", "Manual", "5.4K", "66h", "-", "0", "52K", "47K"),
    ("MSVD-QA", "Open-source Model", "1.9K", "5.3h", "-", "41K", "50K", "0"),
    ("MSRVTT-QA", "Open-source Model", "10K", "40h", "-", "0", "243K", "0"),
    ("Panda-70M", "Open-source Model", "70.8M", "166.8Khr", "-", "70.8M", "0", "0"),
    ("LLaVA-Hound", "GPT-4V", "900K", "3Khr", "0.008", "900K", "900K", "0"),
    ("ShareGPT4Video", "GPT-4V", "40K", "0.2Khr", "0.15", "40K", "0", "0"),
    ("LLaVA-Video-178K", "GPT-4o", "178K", "2Khr", "1", "178K", "960K", "196K"),
)
TABLE3_HEAD = ("dataset", "text by", "videos", "length", "avg FPS", "captions", "OE QA", "MC QA")


@dataclass(frozen=True, slots=True)
class Statistics:
    """A dataset in numbers.

    Attributes:
        num_videos: videos given.
        num_kept: videos with a description or a question in the dataset.
        total_seconds: length of the kept ones.
        average_fps: frames shown to the annotator per second of kept video.
        num_captions: level-3 descriptions.
        num_open_ended: open-ended questions.
        num_multi_choice: multiple-choice questions.
        num_without_questions: kept videos without any question.
        types: questions by type.
        letters: right letters of multiple-choice questions.
        longest_right_share: share of multiple-choice questions whose right choice is the single
            longest; with four choices 0.25 is chance.
        durations: seconds of each kept video.
        caption_words: words of each description.
        answer_words: words of each open-ended answer.
        waterfall: what was left out, by stage and reason, most frequent first within a stage.
    """

    num_videos: int
    num_kept: int
    total_seconds: float
    average_fps: float
    num_captions: int
    num_open_ended: int
    num_multi_choice: int
    num_without_questions: int
    types: dict[str, int]
    letters: dict[str, int]
    longest_right_share: float
    durations: tuple[float, ...]
    caption_words: tuple[int, ...]
    answer_words: tuple[int, ...]
    waterfall: dict[tuple[str, str], int]


_STAGES = ("select", "describe", "ask", "check", "filter", "review")


def count(records: Iterable[VideoRecord]) -> Statistics:
    """The numbers of a dataset."""
    records = list(records)
    kept = [r for r in records if (r.description or r.qas) and not r.is_rejected]
    seconds = tuple(r.facts.duration_seconds for r in kept if r.facts is not None)
    qas = [qa for record in kept for qa in record.qas]
    choices = [qa for qa in qas if qa.options]
    longest = [
        all(len(qa.answer) > len(option) for option in qa.options if option != qa.answer)
        for qa in choices
    ]
    reasons = Counter((r.stage, r.reason) for record in records for r in record.rejections)
    total = sum(seconds)
    return Statistics(
        num_videos=len(records),
        num_kept=len(kept),
        total_seconds=total,
        average_fps=sum(r.num_frames_seen for r in kept) / total if total else 0.0,
        num_captions=sum(record.description is not None for record in kept),
        num_open_ended=sum(qa.kind == "open_ended" for qa in qas),
        num_multi_choice=len(choices),
        num_without_questions=sum(not record.qas for record in kept),
        types=dict(Counter(qa.type for qa in qas)),
        letters=dict(sorted(Counter(qa.letter for qa in choices).items())),
        longest_right_share=statistics.fmean(longest) if longest else 0.0,
        durations=seconds,
        caption_words=tuple(len(r.description.text.split()) for r in kept if r.description),
        answer_words=tuple(len(qa.answer.split()) for qa in qas if not qa.options),
        waterfall=dict(
            sorted(reasons.items(), key=lambda item: (_STAGES.index(item[0][0]), -item[1], item[0]))
        ),
    )


def table3_row(name: str, model: str, found: Statistics) -> tuple[str, ...]:
    """This dataset's row in the paper's Table 3."""
    hours = found.total_seconds / 3600
    length = f"{hours:.1f}h" if hours >= 1 else f"{found.total_seconds / 60:.1f}min"
    return (
        *(name, model, _short(found.num_kept), length, f"{found.average_fps:.2f}"),
        *(_short(found.num_captions), _short(found.num_open_ended), _short(found.num_multi_choice)),
    )


def _short(number: int) -> str:
    return str(number) if number < 10_000 else f"{number / 1000:.0f}K"
