"""The recurrent description: level 1 per clip, level 2 so far, level 3 of the whole video."""

from __future__ import annotations

import asyncio
import dataclasses

from llava_video.annotate.records import Caption, Provenance, VideoRecord
from llava_video.annotate.steps.context import AnswerError, Stage, StepContext
from llava_video.annotate.steps.prompts import fill, load_prompt
from llava_video.annotate.steps.schedule import Step, caption_schedule
from llava_video.annotate.videos.frames import pictures_between
from llava_video.calls.messages import Picture, Request, Subject

_STAGES: dict[int, Stage] = {1: "level1", 2: "level2", 3: "level3"}


async def describe(record: VideoRecord, context: StepContext) -> VideoRecord:
    """The record with the captions of all three levels, in the order they were written.

    Raises:
        AnswerError: an answer is empty or was cut off.
    """
    assert record.facts is not None, "selection measures every video first"
    captions: list[Caption] = []
    warnings: list[str] = []
    num_frames = 0
    for step in caption_schedule(record.facts.duration_seconds, context.recipe.describe):
        pictures: list[Picture] = []
        if step.level == 1:
            pictures, new = await asyncio.to_thread(
                pictures_between,
                *(record.path, step.start_seconds, step.end_seconds, record.facts),
                context.recipe.describe,
            )
            num_frames += len(pictures)
            warnings += new
        captions.append(await _write(record, step, captions, pictures, context))
    described = dataclasses.replace(record, captions=tuple(captions), num_frames_seen=num_frames)
    return described.warned(warnings)


async def _write(
    record: VideoRecord,
    step: Step,
    before: list[Caption],
    pictures: list[Picture],
    context: StepContext,
) -> Caption:
    stage = _STAGES[step.level]
    parents = [before[i] for i in ([] if step.summary is None else [step.summary])]
    parents += [before[i] for i in step.clips]
    request = context.request(
        stage=stage,
        record=record,
        prompt=load_prompt(stage).version,
        system=load_prompt(stage).system,
        parts=(_user_text(step, parents), *_interleave(pictures)),
        subject=Subject(record.path, step.start_seconds, step.end_seconds),
    )
    reply = await context.caller.call(request)
    text = " ".join(reply.text.split())
    if reply.finish_reason == "length":
        raise AnswerError("truncated", _cut_off(stage, request), reply.text)
    if not text:
        raise AnswerError("empty", f"{stage}: the answer is empty", reply.text)
    return Caption(
        caption_id=f"{record.video_id}/L{step.level}/{_number(before, step.level):03d}",
        level=step.level,
        start_seconds=step.start_seconds,
        end_seconds=step.end_seconds,
        text=text,
        provenance=Provenance(
            call_key=request.key(),
            model=request.model,
            prompt=request.prompt,
            parents=tuple(parent.caption_id for parent in parents),
            frame_seconds=tuple(round(p.seconds, 3) for p in pictures),
            frame_digests=tuple(p.digest for p in pictures),
        ),
    )


def _user_text(step: Step, parents: list[Caption]) -> str:
    lines = []
    for parent in parents:
        label = "Summary of" if parent.level == 2 else "Description of"
        span = f"{_seconds(parent.start_seconds)} to {_seconds(parent.end_seconds)} seconds"
        lines.append(f"{label} {span}: {parent.text}\n")
    history = "\n".join(lines) + "\n" if lines else ""
    values = {"history": history, "end": _seconds(step.end_seconds)}
    if step.level == 1:
        values["start"] = _seconds(step.start_seconds)
    return fill(load_prompt(_STAGES[step.level]).user, **values)


def _interleave(pictures: list[Picture]) -> list[str | Picture]:
    parts: list[str | Picture] = []
    for picture in pictures:
        parts += [f"t={picture.seconds:.1f}s", picture]
    return parts


def _number(before: list[Caption], level: int) -> int:
    return sum(caption.level == level for caption in before)


def _seconds(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _cut_off(stage: str, request: Request) -> str:
    limit = request.max_output_tokens
    return f"{stage}: the answer was cut off at {limit} tokens; raise endpoint.max_output_tokens"
