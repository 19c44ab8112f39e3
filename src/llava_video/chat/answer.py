"""One question about one video, from the file to the answer, with the time that each stage took."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers.utils import logging as transformers_logging

from llava_video.budget.devices import AUTO, parse_device
from llava_video.budget.planner import fit_memory
from llava_video.checkpoints.load import (
    TINY,
    find_checkpoint,
    load_config,
    load_model,
    load_processor,
)
from llava_video.errors import InputError
from llava_video.representation import VideoRepresentation

LARGE_BYTES = 1 << 30
"""Weights from here on take long enough to load for a bar."""


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


class Stopwatch:
    """Wall time between calls, by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def stage(self, name: str) -> None:
        """End a stage that began where the last one ended."""
        now = time.perf_counter()
        self.seconds[name] = round(now - self._last, 4)
        self._last = now


@torch.inference_mode()
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
    watch = Stopwatch()
    place = parse_device(device)
    directory = find_checkpoint(model)
    if sum(file.stat().st_size for file in directory.glob("*.safetensors")) < LARGE_BYTES:
        transformers_logging.disable_progress_bar()  # it loads in a blink
    config = load_config(directory, representation)
    config.representation, changed = fit_memory(
        config,
        directory,
        place,
        num_frames=num_frames,
        num_new_tokens=max_new_tokens,
        may_change=representation is None,
    )
    if changed is not None and num_frames is not None:
        num_frames = min(num_frames, config.representation.max_frames)
    processor = load_processor(directory, config)
    watch.stage("processor")
    # Before the weights: a file that cannot be read should not wait for gigabytes.
    frames = processor.sample_frames(video, num_frames=num_frames, fps=fps)
    watch.stage("frames")
    network = load_model(directory, config).to(place)
    watch.stage("weights")
    inputs = processor(question, frames).to(network.device)
    watch.stage("prepare")
    video_tokens = network.get_video_features(
        inputs["pixel_values_videos"], inputs["num_frames_per_video"]
    )
    inputs_embeds = network.model.embed(inputs["input_ids"], video_tokens)
    watch.stage("vision")
    output = network.generate(
        input_ids=inputs["input_ids"],
        attention_mask=inputs["attention_mask"],
        inputs_embeds=inputs_embeds,
        max_new_tokens=max_new_tokens,
        do_sample=False,
        temperature=None,
        top_p=None,
        top_k=None,
    )
    text = processor.decode_answer(output[0], inputs["input_ids"].shape[1])
    watch.stage("answer")
    return Answer(
        answer=text,
        model=str(model),
        device=str(network.device),
        num_frames=len(frames),
        timestamps_seconds=[round(float(seconds), 4) for seconds in frames.timestamps_seconds],
        num_video_tokens=len(video_tokens[0]),
        representation=str(network.config.representation),
        seconds=watch.seconds,
        warnings=[warning for warning in (changed, *frames.warnings) if warning],
    )
