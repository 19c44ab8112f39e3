"""The recurrent description: level 1 per clip, level 2 so far, level 3 of the whole video."""

from __future__ import annotations

import asyncio
import dataclasses

from llava_video.annotate.answers.captions import judge_caption, judge_reply
from llava_video.annotate.records import Caption, Provenance, Rejection, VideoRecord
from llava_video.annotate.steps.context import AnswerError, Stage, StepContext
from llava_video.annotate.steps.prompts import Prompt, fill
from llava_video.annotate.steps.schedule import Step, caption_schedule
from llava_video.annotate.videos.frames import pictures_between, to_video
from llava_video.calls.messages import Part, Picture, Subject

_STAGES: dict[int, Stage] = {1: "level1", 2: "level2", 3: "level3"}


async def describe(record: VideoRecord, context: StepContext) -> VideoRecord:
    """The record with the captions of all three levels, in the order they were written.

    A text that is no description is asked for again; why it is none stays in the record.

    Raises:
        AnswerError: no try brought a description.
    """
    assert record.facts is not None, "selection measures every video first"
    captions: list[Caption] = []
    left_out: list[Rejection] = []
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
        captions.append(await _write(record, step, captions, pictures, context, left_out))
    described = dataclasses.replace(record, captions=tuple(captions), num_frames_seen=num_frames)
    return described.warned(warnings).noting(*left_out)


async def _write(
    record: VideoRecord,
    step: Step,
    before: list[Caption],
    pictures: list[Picture],
    context: StepContext,
    left_out: list[Rejection],
) -> Caption:
    """One description; answers that are none are added to ``left_out``."""
    stage = _STAGES[step.level]
    prompt = context.prompt(stage)
    parents = [before[i] for i in ([] if step.summary is None else [step.summary])]
    parents += [before[i] for i in step.clips]
    caption_id = f"{record.video_id}/L{step.level}/{_number(before, step.level):03d}"
    parts = (_user_text(step, parents, prompt), *show(pictures, context))
    num_samples = context.num_samples(record, context.recipe.captions.max_retries)
    alike = [caption.text for caption in before if caption.level == step.level == 1]
    for sample in range(num_samples):
        request = context.request(
            stage=stage,
            record=record,
            prompt=prompt.version,
            system=prompt.system,
            parts=parts,
            subject=Subject(record.path, step.start_seconds, step.end_seconds),
            sample=sample,
        )
        reply = await context.caller.call(request)
        verdict = judge_reply(reply, request.max_output_tokens) or judge_caption(
            reply.text, context.recipe.captions, alike
        )
        if verdict is None:
            break
        reason, detail = verdict
        raw_text = reply.text or reply.thoughts
        if sample == num_samples - 1:
            message = f"{stage}: {detail}" + (f" ({num_samples} answers)" if sample else "")
            raise AnswerError(reason, message, raw_text, tuple(left_out))
        # Not the video's own id, so that the video stays.
        try_id = f"{caption_id}/try{sample}"
        left_out.append(Rejection(try_id, "describe", reason, f"{stage}: {detail}", raw_text))
    return Caption(
        caption_id=caption_id,
        level=step.level,
        start_seconds=step.start_seconds,
        end_seconds=step.end_seconds,
        text=" ".join(reply.text.split()),
        provenance=Provenance(
            call_key=reply.call_key or request.key(),
            model=request.model,
            prompt=request.prompt,
            parents=tuple(parent.caption_id for parent in parents),
            frame_seconds=tuple(round(p.seconds, 3) for p in pictures),
            frame_digests=tuple(p.digest for p in pictures),
        ),
    )


def _user_text(step: Step, parents: list[Caption], prompt: Prompt) -> str:
    lines = []
    for parent in parents:
        label = "Summary of" if parent.level == 2 else "Description of"
        span = f"{_seconds(parent.start_seconds)} to {_seconds(parent.end_seconds)} seconds"
        lines.append(f"{label} {span}: {parent.text}\n")
    history = "\n".join(lines) + "\n" if lines else ""
    values = {"history": history, "end": _seconds(step.end_seconds)}
    if step.level == 1:
        values["start"] = _seconds(step.start_seconds)
    return fill(prompt.user, **values)


def show(pictures: list[Picture], context: StepContext) -> list[Part]:
    """Pictures with their times, or the video that is made of them."""
    rules = context.recipe.describe
    if pictures and rules.send == "video":
        return [to_video(pictures, rules.fps)]
    parts: list[Part] = []
    for picture in pictures:
        parts += [f"t={picture.seconds:.1f}s", picture]
    return parts


def _number(before: list[Caption], level: int) -> int:
    return sum(caption.level == level for caption in before)


def _seconds(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
