"""What is put to the model: questions with their prompts and the video that is shown."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from llava_video.errors import InputError, VideoError
from llava_video.evaluate.annotations.question import Question
from llava_video.evaluate.annotations.videos import VideoFolder
from llava_video.evaluate.subtitles import NONE, subtitles_of
from llava_video.evaluate.tasks.benchmark import Benchmark
from llava_video.evaluate.tasks.videomme import SUBTITLES

Baseline = Literal["none", "no-video", "first-frame", "shuffled", "other-video", "always-a"]
"""What is changed to see whether a model looks: nothing; the video is left out; only its first
frame is shown; its frames are shown in another order; another question's video is shown; the
answer is A, without any model."""

BASELINES: tuple[str, ...] = get_args(Baseline)
Part = tuple[float, float | None]
CUT = "_segment"
"""Ends the names of folders whose videos were cut to the parts that questions are about."""

MAX_TOGETHER = 16
"""Questions of one video that are answered in one batch."""
_HASHED_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Asked:
    """A question as it is put to the model.

    Attributes:
        question: what is asked.
        prompt: the text beside the video.
        video: the file that is shown; None for none.
        video_digest: of its size, its beginning and its end: what tells it from other files.
        missing: why there is no video, where there should be one.
        part: where the part of the video that is shown begins and ends, in seconds; the end may be
            None for that of the video.
        batch: the questions that are answered together have one batch.
        batch_size: how many they are.
    """

    question: Question
    prompt: str
    video: Path | None = None
    video_digest: str = ""
    missing: str = ""
    part: Part = (0.0, None)
    batch: str = ""
    batch_size: int = 1


def ask_all(
    benchmark: Benchmark,
    questions: Sequence[Question],
    folder: VideoFolder | None,
    *,
    prompts: str | None = None,
    baseline: Baseline = "none",
) -> list[Asked]:
    """Put questions with their prompts and videos, all about one video in a row.

    Args:
        benchmark: whose prompts are taken.
        questions: in any order; videos come in the order of their first question.
        folder: of the videos; not needed where none are shown.
        prompts: name of a preset; None for the benchmark's default.
        baseline: what is changed.

    Raises:
        InputError: there is no such preset, or no other video to show.
    """
    _, write = benchmark.prompt(prompts)
    by_video: dict[str, dict[Part, list[Question]]] = {}
    for question in questions:
        part = (question.start_seconds, question.end_seconds)
        by_video.setdefault(question.video, {}).setdefault(part, []).append(question)
    names = list(by_video)
    if baseline == "other-video" and len(names) < 2:
        raise InputError("other-video needs questions about two videos at least; raise --limit")
    asked = []
    for place, (name, parts) in enumerate(by_video.items()):
        wanted = names[(place + 1) % len(names)] if baseline == "other-video" else name
        shown: tuple[Path | None, str, str] = (None, "", "")
        if baseline not in ("no-video", "always-a") and folder is not None:
            shown = _find(folder, wanted)
        for part, group in parts.items():
            of_video = wanted == name and not (shown[0] and shown[0].parent.name.endswith(CUT))
            seen = part if of_video else (0.0, None)
            for start in range(0, len(group), MAX_TOGETHER):
                together = group[start : start + MAX_TOGETHER]
                batch = f"{name} {part} {start // MAX_TOGETHER}"
                for question in together:
                    text = write(question)
                    if SUBTITLES in text:
                        try:
                            said = subtitles_of(folder, question, shown[0])
                        except VideoError as error:  # a failure of its questions alone
                            said, shown = NONE, (None, "", str(error))
                        text = text.replace(SUBTITLES, said)
                    asked.append(Asked(question, text, *shown, seen, batch, len(together)))
    return asked


def _find(folder: VideoFolder, name: str) -> tuple[Path | None, str, str]:
    """The file, its digest, and why there is none."""
    try:
        path = folder.find(name)
        return path, digest_of(path), ""
    except (VideoError, OSError) as error:
        return None, "", str(error)


def digest_of(path: Path, *, num_parts: int = 2) -> str:
    """What tells a file from others: its size, its first and its last 64 KiB, and some between."""
    digest = hashlib.blake2b(digest_size=12)
    with path.open("rb") as file:
        size = file.seek(0, 2)
        digest.update(str(size).encode())
        last = max(0, size - _HASHED_BYTES)
        for number in range(num_parts):
            file.seek(last * number // (num_parts - 1))
            digest.update(file.read(_HASHED_BYTES))
    return digest.hexdigest()
