"""Solvers: an answer is asked for once, and a failure is a value, never text."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

from inspect_ai.model import ContentImage, ContentText, ContentVideo, ModelOutput, get_model
from inspect_ai.solver import Generate, Solver, TaskState, solver
from PIL import Image

from llava_video.errors import LlavaVideoError, VideoError
from llava_video.evaluate.harness.kept_answers import KeptAnswer, KeptAnswers, key_of
from llava_video.evaluate.harness.provider import BATCH, LlavaVideoAPI, fingerprint

FAILURE, FAILURE_KIND, DETAILS = "failure", "failure_kind", "details"
"""Keys of a sample's metadata."""


@solver
def answer_once(answers_file: str | None = None, settings: str = "") -> Solver:
    """Ask the model, unless its answer is known; the answer is on disk before it is used.

    Args:
        answers_file: where answers are kept; None keeps none.
        settings: what else an answer depends on, as text.
    """
    kept = KeptAnswers(Path(answers_file)) if answers_file else None

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        metadata = state.metadata
        if metadata.get("missing"):
            return _fail(state, "video", metadata["missing"])
        content = (settings, str(state.sample_id), state.input_text, metadata["video_digest"])
        key = key_of(_identity(), *content)
        found = kept.find(key) if kept is not None else None
        if found is not None:
            return _answered(state, found)
        is_ours = isinstance(get_model().api, LlavaVideoAPI)
        batch, size = metadata["batch"], metadata["batch_size"] if is_ours else 1
        try:
            found = await _ask(
                state, generate, {"extra_body": {BATCH: [batch, size]}} if is_ours else {}
            )
        finally:
            if kept is not None:
                if found is None:
                    kept.lose(batch, size)
                else:
                    kept.add(key, found, batch, size)
        return _answered(state, found)

    return solve


@solver
def always(text: str) -> Solver:
    """Answer the same to every question, without a model."""

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        return _answered(state, KeptAnswer(text))

    return solve


@solver
def frames_as_pictures(num_frames: int) -> Solver:
    """Send frames as pictures with their times, to models that take no video.

    Args:
        num_frames: of each video, spread evenly.
    """

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        for message in state.messages:
            if isinstance(message.content, str):
                continue
            message.content = [
                shown
                for part in message.content
                for shown in (
                    _pictures(part, num_frames) if isinstance(part, ContentVideo) else [part]
                )
            ]
        return state

    return solve


def _pictures(part: ContentVideo, num_frames: int) -> list[Any]:
    from llava_video.video import read_video

    shown: list[Any] = []
    frames = read_video(part.video, num_frames=num_frames)
    for pixels, seconds in zip(frames.pixels, frames.timestamps_seconds, strict=True):
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "JPEG", quality=90)
        data = base64.b64encode(buffer.getvalue()).decode()
        shown.append(ContentText(text=f"{seconds:.2f}s:"))
        shown.append(ContentImage(image=f"data:image/jpeg;base64,{data}"))
    return shown


def _identity() -> str:
    """The model under test: its name, its settings, and what tells its weights from others."""
    model = get_model()
    if not isinstance(model.api, LlavaVideoAPI):
        return str(model)
    api = model.api
    shown = (api.representation, api.num_frames, api.shown)
    return f"{api.model_name} {fingerprint(api.model_name)} {shown}"


async def _ask(state: TaskState, generate: Generate, more: dict[str, Any]) -> KeptAnswer:
    try:
        state = await generate(state, **more)
    except LlavaVideoError as error:
        kind = "video" if isinstance(error, VideoError) else "model"
        return KeptAnswer("", str(error), kind)
    return KeptAnswer(state.output.completion, details=dict(state.output.metadata or {}))


def _answered(state: TaskState, answer: KeptAnswer) -> TaskState:
    if answer.failure:
        return _fail(state, answer.failure_kind, answer.failure)
    if state.output.empty:
        state.output = ModelOutput.from_content(str(state.model), answer.text)
    state.metadata[DETAILS] = answer.details
    return state


def _fail(state: TaskState, kind: str, message: str) -> TaskState:
    state.output = ModelOutput.from_content(str(state.model), "")
    state.metadata |= {FAILURE: message, FAILURE_KIND: kind}
    return state
