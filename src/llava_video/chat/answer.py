"""One question about one video, from the file to the answer, with the time that each stage took."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from llava_video.budget.devices import AUTO
from llava_video.chat.local.limits import CacheLimits
from llava_video.chat.local_model import LocalModel
from llava_video.chat.protocol import AnswerOptions, Sampling, answer_one
from llava_video.checkpoints.load import TINY
from llava_video.errors import InputError
from llava_video.representation import VideoRepresentation


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer and the frames it is based on.

    Attributes:
        answer: the text.
        model: name or directory of the model.
        device: where it ran.
        num_frames: T, frames seen.
        timestamps_seconds: when each was shown, from the start of the video.
        num_video_tokens: V.
        representation: how frames became tokens.
        seconds: wall time per stage.
        warnings: what went wrong while reading the video, and what was changed to fit the memory.
    """

    answer: str
    model: str
    device: str
    num_frames: int
    timestamps_seconds: list[float]
    num_video_tokens: int
    representation: str
    seconds: dict[str, float]
    warnings: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """The attributes as JSON-compatible values."""
        return asdict(self)


def answer_question(
    video: str | Path,
    question: str,
    *,
    model: str | Path = TINY,
    num_frames: int | None = None,
    fps: float | None = None,
    representation: VideoRepresentation | str | None = None,
    max_new_tokens: int = 256,
    device: str = AUTO,
) -> Answer:
    """Ask a model about a video, greedily.

    Args:
        video: a file.
        question: plain text; nothing in it is read as a control token.
        model: see `load`.
        num_frames: frames to sample uniformly, by default T of the representation.
        fps: sample at this rate instead, up to T frames.
        representation: see `load`.
        max_new_tokens: the longest answer.
        device: where to run; see `parse_device`. Where the checkpoint's own representation does not
            fit into what is free there, another is taken, and ``warnings`` says which and why; one
            that was asked for is never changed.

    Raises:
        LlavaVideoError: the video, the model or the representation cannot be used.
    """
    if not question.strip():
        raise InputError("the question is empty; ask something about the video")
    start = time.perf_counter()
    local = LocalModel.load(
        model,
        device=device,
        representation=representation,
        num_frames=num_frames,
        num_new_tokens=max_new_tokens,
        limits=CacheLimits(0, 0, 0),  # nothing is asked again
    )
    loaded_seconds = round(time.perf_counter() - start, 4)
    content = [{"type": "video", "video": video}, {"type": "text", "text": question}]
    answered = answer_one(
        local,
        [{"role": "user", "content": content}],
        AnswerOptions(max_new_tokens=max_new_tokens, sampling=Sampling(num_frames, fps)),
    )
    (shown,) = answered.videos
    seconds = answered.seconds
    return Answer(
        answer=answered.text,
        model=str(model),
        device=str(local.network.device),
        num_frames=len(shown.timestamps_seconds),
        timestamps_seconds=[round(value, 4) for value in shown.timestamps_seconds],
        num_video_tokens=shown.num_tokens,
        representation=shown.representation,
        seconds={
            "processor": loaded_seconds,
            **{stage: seconds[stage] for stage in ("frames", "weights", "prepare", "vision")},
            "answer": round(seconds["prefill"] + seconds["answer"], 4),
        },
        warnings=[*answered.warnings, *shown.warnings],
    )
