"""One question about videos and images that are shown together: its answer on the terminal."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import typer

from llava_video.chat.media_files import kind_of
from llava_video.chat.model_request import ModelRequest
from llava_video.chat.protocol import Answered, AnswerOptions, CheckpointModel, Conversation
from llava_video.chat.transcript import ShownFile, user_message
from llava_video.cli.answering.options import TINY_NOTICE, Opened, open_model
from llava_video.cli.answering.request import Together
from llava_video.errors import InputError
from llava_video.pages.terminal import harmless


@dataclass(frozen=True)
class Ask:
    """How questions are asked.

    Attributes:
        options: of the answers.
        model: name or directory.
        device: where it runs.
        dtype: that was asked for, or None.
        int8: whether its linear layers get int8 weights.
        representation: that was asked for, or None.
        max_video_tokens: of a conversation, or None.
        system: system prompt, or None.
        subtitles_file: shown before the question, or None.
        keep: how long the model is to stay ready, or None.
    """

    options: AnswerOptions
    model: str
    device: str
    dtype: str | None
    int8: bool
    representation: str | None
    max_video_tokens: int | None
    system: str | None
    subtitles_file: Path | None
    keep: str | None = None

    @cached_property
    def context(self) -> str:
        """The text before each question."""
        if self.subtitles_file is None:
            return ""
        from llava_video.chat.subtitles import describe_subtitles, read_subtitles

        sampling = self.options.sampling
        subtitles = read_subtitles(self.subtitles_file)
        return describe_subtitles(subtitles, sampling.start_seconds, sampling.end_seconds)

    def open(self, num_videos: int = 1, *, asks_again: bool = True) -> Opened:
        """The model, for conversations of that many videos; see `open_model`."""
        request = ModelRequest(
            self.model,
            self.device,
            dtype=self.dtype,
            int8=self.int8,
            representation=self.representation,
            max_video_tokens=self.max_video_tokens,
            num_frames=self.options.sampling.num_frames,
            num_videos=num_videos,
            num_new_tokens=self.options.max_new_tokens,
        )
        return open_model(request, self.keep, asks_again=asks_again)

    def conversation(self, files: Sequence[str], question: str) -> Conversation:
        """A question about files that are shown together."""
        shown = [ShownFile(name, kind_of(name)) for name in files]
        message = user_message(shown, self.context + question)
        system = [] if self.system is None else [{"role": "system", "content": self.system}]
        return [*system, message]


def answer_together(ask: Ask, request: Together, *, stream: bool, why: bool, as_json: bool) -> None:
    """Answer one question, and print the answer and what the model saw.

    Raises:
        LlavaVideoError: it cannot be answered.
    """
    start = time.perf_counter()
    num_videos = sum(kind_of(name) == "video" for name in request.files)
    if ask.subtitles_file is not None and num_videos != 1:
        raise InputError(f"--subtitles are those of one video, {num_videos} are shown")
    if why and not num_videos:
        raise InputError("--why shows how much frames of a video mattered; name a video")
    conversation = ask.conversation(request.files, request.question)
    before = time.perf_counter() - start
    opened = ask.open(num_videos, asks_again=why)
    model, loading_seconds = opened.model, round(before + opened.seconds, 4)
    answered = None
    for piece in model.answer([conversation], ask.options):
        if isinstance(piece, Answered):
            answered = piece
        elif stream:
            typer.echo(harmless(piece.text), nl=False)
    if answered is None:
        raise InputError(f"{model.name}: the model ended without an answer; ask again")
    if stream:
        typer.echo()
    values = describe(answered, model, {"processor": loading_seconds})
    for warning in values["warnings"]:
        typer.echo(f"warning: {warning}", err=True)
    if as_json:
        typer.echo(json.dumps(values, ensure_ascii=False))
        return
    if not stream:
        typer.echo(answered.text)
    _print_seen(answered, model, values["seconds"])
    if why:
        _print_influence(ask, conversation, answered, model)
    hint = opened.hint(answered.seconds.get("weights", 0.0), ask.keep)
    if hint is not None:
        typer.echo(hint, err=True)
    if ask.model == "tiny":
        typer.echo(f"\n{TINY_NOTICE}", err=True)


def _print_influence(
    ask: Ask, conversation: Conversation, answered: Answered, model: CheckpointModel
) -> None:
    from rich.console import Console

    from llava_video.cli.answering.influence_text import describe_influence, span_frames_for

    influence = model.influence(
        conversation,
        answered.text,
        ask.options,
        span_frames=span_frames_for(answered.videos),
    )
    typer.echo()
    for line in describe_influence(influence, answered.videos, Console().width):
        typer.echo(line)


def describe(
    answered: Answered, model: CheckpointModel, seconds: dict[str, float]
) -> dict[str, Any]:
    """An answer and the frames it is based on, as JSON-compatible values.

    Args:
        answered: the answer.
        model: which gave it.
        seconds: of stages before it.
    """
    values = {
        "answer": answered.text,
        "model": model.name,
        "device": str(model.device),
        "dtype": model.precision,
    }
    warnings = [*answered.warnings, *(w for video in answered.videos for w in video.warnings)]
    rest = {"seconds": {**seconds, **_stages(answered)}, "warnings": warnings}
    if len(answered.videos) != 1:
        return {**values, "videos": [asdict(video) for video in answered.videos], **rest}
    (video,) = answered.videos
    return {
        **values,
        "num_frames": len(video.timestamps_seconds),
        "timestamps_seconds": [round(seconds, 4) for seconds in video.timestamps_seconds],
        "num_video_tokens": video.num_tokens,
        "representation": video.representation,
        **rest,
    }


def _stages(answered: Answered) -> dict[str, float]:
    """Seconds of the stages that are shown: the prompt is a part of the answer."""
    seconds = answered.seconds
    shown = {name: seconds.get(name, 0.0) for name in ("frames", "weights", "prepare", "vision")}
    answer = seconds.get("prefill", 0.0) + seconds.get("answer", 0.0)
    return {**shown, "answer": round(answer, 4)}


def _print_seen(answered: Answered, model: CheckpointModel, seconds: dict[str, float]) -> None:
    typer.echo(f"\nmodel   {model.name} on {model.device}, {model.precision}")
    for video in answered.videos:
        if len(answered.videos) > 1:
            typer.echo(f"video   {video.source}")
        times = ", ".join(f"{moment:.2f}" for moment in video.timestamps_seconds)
        typer.echo(f"frames  {len(video.timestamps_seconds)} at {times} s")
        typer.echo(f"tokens  {video.num_tokens} video tokens, V = {video.representation}")
    stages = ", ".join(f"{stage} {value:.2f}" for stage, value in seconds.items())
    typer.echo(f"seconds {stages}")
