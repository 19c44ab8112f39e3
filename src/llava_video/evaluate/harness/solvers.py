"""Solvers: an answer is asked for once, and a failure is a value, never text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from inspect_ai.model import (
    Content,
    ContentImage,
    ContentText,
    ContentVideo,
    ModelOutput,
    get_model,
)
from inspect_ai.solver import Generate, Solver, TaskState, solver
from inspect_ai.util import materialize_media

from llava_video.errors import InputError, LlavaVideoError, VideoError
from llava_video.evaluate.harness.kept_answers import KeptAnswer, KeptAnswers, key_of
from llava_video.evaluate.harness.provider import LlavaVideoAPI, Together, fingerprint
from llava_video.pages.pictures import jpeg, jpeg_url

FAILURE, FAILURE_KIND = "failure", "failure_kind"
"""Keys of a sample's metadata."""


@solver
def answer_once(
    kept: KeptAnswers | None = None, settings: str = "", num_pictures: int | None = None
) -> Solver:
    """Ask the model, unless its answer is known; the answer is on disk before it is used.

    Args:
        kept: where answers are kept; None keeps none.
        settings: what else an answer depends on, as text.
        num_pictures: send so many frames as pictures, to models that take no video.
    """

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        metadata = state.metadata
        if metadata["missing"]:
            return _fail(state, "video", metadata["missing"])
        said = "\0".join(message.text for message in state.messages)
        part = tuple(metadata["part"])
        content = (settings, str(state.sample_id), said, metadata["video_digest"], str(part))
        key = key_of(_identity(), *content, str(num_pictures))
        is_ours = isinstance(get_model().api, LlavaVideoAPI)
        batch, size = metadata["batch"], metadata["batch_size"] if is_ours else 1
        found = kept.find(key) if kept is not None else None
        if kept is not None and found is not None:
            kept.skip(batch, size)
            return _answered(state, found)
        try:
            if is_ours:
                together = Together(metadata["file"], batch, size, part)
                state = await generate(state, **together.config())
            else:
                state = await _show(state, generate, num_pictures)
            found = KeptAnswer(state.output.completion, state.output.metadata or {})
        except LlavaVideoError as error:
            kind = "video" if isinstance(error, VideoError) else "model"
            return _fail(state, kind, str(error))
        finally:
            if kept is not None:
                if found is None:
                    kept.skip(batch, size)
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


async def _show(state: TaskState, generate: Generate, num_pictures: int | None) -> TaskState:
    """Ask a model of others, which gets the file itself, or pictures."""
    message = state.messages[0]
    text = message.text
    file = state.metadata["file"]
    try:
        if file:
            start, end = state.metadata["part"]
            if num_pictures:
                shown = _pictures(file, num_pictures, start, end)
            elif start or end is not None:
                raise InputError(
                    f"{file}: the question is about a part of it, and whole files are sent; send "
                    "frames, with --frames-as-pictures N"
                )
            else:
                shown = [await _inline(file)]
            message.content = [*shown, ContentText(text=text)]
        return await generate(state)
    finally:
        message.content = text


async def _inline(file: str) -> Content:
    """A file as inspect_ai sends it: base64, in one of three formats."""
    suffix = Path(file).suffix.lower()
    kind: Any = {".mpg": "mpeg", ".mpeg": "mpeg", ".mov": "mov"}.get(suffix, "mp4")
    return ContentVideo(video=await materialize_media(file), format=kind)


def _pictures(file: str, num_frames: int, start: float, end: float | None) -> list[Content]:
    """Frames as pictures with their times."""
    from llava_video.video import read_video

    shown: list[Content] = []
    frames = read_video(file, num_frames=num_frames, start_seconds=start, end_seconds=end)
    for pixels, seconds in zip(frames.pixels, frames.timestamps_seconds, strict=True):
        shown.append(ContentText(text=f"{seconds:.2f}s:"))
        shown.append(ContentImage(image=jpeg_url(jpeg(pixels, quality=90))))
    return shown


def _identity() -> str:
    """The model under test: its name, its settings, and what tells its weights from others."""
    model = get_model()
    if not isinstance(model.api, LlavaVideoAPI):
        return str(model)
    api, opened = model.api, model.api.open()
    # That which fits into the memory, where none was asked for.
    representation = str(getattr(opened, "representation", api.representation))
    precision = getattr(opened, "precision", "")
    shown = (representation, api.num_frames, api.shown, precision)
    return f"{api.model_name} {fingerprint(api.model_name)} {shown}"


def _answered(state: TaskState, answer: KeptAnswer) -> TaskState:
    """Put an answer that was kept where one that was just given is."""
    if state.output.empty:
        state.output = ModelOutput.from_content(str(state.model), answer.text)
        state.output.metadata = dict(answer.details)
    return state


def _fail(state: TaskState, kind: str, message: str) -> TaskState:
    state.output = ModelOutput.from_content(str(state.model), "")
    state.metadata |= {FAILURE: message, FAILURE_KIND: kind}
    return state
