"""Optional checks by a second model: faithfulness to the frames, and blind answering."""

from __future__ import annotations

import asyncio
import dataclasses
import re
from typing import Any

from llava_video.annotate.answers.captions import judge_reply
from llava_video.annotate.records import QA, Rejection, VideoRecord
from llava_video.annotate.steps.context import StepContext
from llava_video.annotate.steps.option_order import draw
from llava_video.annotate.steps.parse_json import parse_json
from llava_video.annotate.steps.prompts import fill
from llava_video.annotate.steps.similarity import jaccard, shingles
from llava_video.annotate.videos.frames import pictures_spread
from llava_video.calls.messages import Part, Picture, Schema, Subject
from llava_video.records.options import chosen_letter, letter_of, lettered

VERDICTS = ("supported", "contradicted", "unclear")
_SAME_ANSWER = 0.6


async def check(record: VideoRecord, context: StepContext) -> VideoRecord:
    """The record after the checks that the recipe asks for."""
    if context.recipe.faithfulness.enabled:
        record = await check_faithfulness(record, context)
    if context.recipe.blind.enabled:
        record = await check_blind(record, context)
    return record


async def check_faithfulness(record: VideoRecord, context: StepContext) -> VideoRecord:
    """Judge every sentence of the description and every answer against frames of the video.

    Contradicted answers are dropped or tagged; contradicted sentences are noted.
    """
    description, facts = record.description, record.facts
    assert description is not None and facts is not None
    rules = context.recipe.faithfulness
    sentences = re.split(r"(?<=[.!?])\s+", description.text)
    claims = [*sentences, *(f"{qa.question} {qa.answer}" for qa in record.qas)]
    pictures = await asyncio.to_thread(
        pictures_spread, record.path, rules.max_frames, facts, context.recipe.describe
    )
    verdicts = await _verdicts(record, claims, pictures, context)
    if isinstance(verdicts, Rejection):
        return record.noting(verdicts)
    notes = [
        Rejection(description.caption_id, "check", "contradicted_sentence", "tagged", sentence)
        for sentence, verdict in zip(sentences, verdicts, strict=False)
        if verdict == "contradicted"
    ]
    by_id = dict(zip((qa.qa_id for qa in record.qas), verdicts[len(sentences) :], strict=True))
    kept, gone = [], []
    for qa in record.qas:
        if by_id[qa.qa_id] == "contradicted" and rules.action == "drop":
            gone.append(Rejection(qa.qa_id, "check", "contradicted", qa.answer, qa.question))
        else:
            kept.append(dataclasses.replace(qa, tags=(*qa.tags, by_id[qa.qa_id])))
    return dataclasses.replace(record, qas=tuple(kept)).noting(*notes, *gone)


async def _verdicts(
    record: VideoRecord, claims: list[str], pictures: list[Picture], context: StepContext
) -> list[str] | Rejection:
    prompt = context.prompt("faithfulness")
    numbered = "\n".join(f"{number}. {claim}" for number, claim in enumerate(claims, 1))
    parts: list[Part] = [fill(prompt.user, claims=numbered)]
    for picture in pictures:
        parts += [f"t={picture.seconds:.1f}s", picture]
    for sample in range(context.recipe.ask.max_parse_retries + 1):
        request = context.request(
            stage="faithfulness",
            record=record,
            prompt=prompt.version,
            system=prompt.system,
            parts=tuple(parts),
            schema=answer_schema("faithfulness"),
            sample=sample,
            model=context.recipe.faithfulness.model,
            subject=Subject(record.path, claims=tuple(claims)),
        )
        reply = await context.caller.call(request)
        found = _field(reply.text, "verdicts")
        if isinstance(found, list) and len(found) == len(claims):
            verdicts = [str(verdict).strip().lower() for verdict in found]
            if set(verdicts) <= set(VERDICTS):
                return verdicts
        reason = judge_reply(reply, request.max_output_tokens) or ("unparsable", "no verdicts")
    return Rejection(f"{record.video_id}/faithfulness", "check", *reason, reply.text)


async def check_blind(record: VideoRecord, context: StepContext) -> VideoRecord:
    """Drop or tag what a model answers without the video in every one of several trials.

    The choices are shuffled anew for each trial: with four choices and four trials, guesses are
    all right once in 256.
    """
    rules = context.recipe.blind
    results = await asyncio.gather(
        *(_trial(record, qa, n, context) for qa in record.qas for n in range(rules.trials)),
        return_exceptions=True,
    )
    hits: list[bool | Rejection] = []
    for result in results:
        if isinstance(result, BaseException):
            raise result
        hits.append(result)
    kept, gone = [], []
    for number, qa in enumerate(record.qas):
        trials = hits[number * rules.trials : (number + 1) * rules.trials]
        right = trials.count(True)
        if right < rules.trials:
            kept.append(qa)
            gone += [trial for trial in trials if isinstance(trial, Rejection)][:1]
        elif rules.action == "tag":
            kept.append(dataclasses.replace(qa, tags=(*qa.tags, "answerable_blind")))
        else:
            detail = f"right without the video in {right} of {rules.trials} trials"
            gone.append(Rejection(qa.qa_id, "check", "answerable_blind", detail, qa.question))
    return dataclasses.replace(record, qas=tuple(kept)).noting(*gone)


async def _trial(record: VideoRecord, qa: QA, trial: int, context: StepContext) -> bool | Rejection:
    prompt = context.prompt("blind")
    choices = sorted(qa.options, key=lambda option: draw(trial, f"{qa.qa_id} {option}"))
    if choices:
        output = 'A JSON object: {"answer": <letter>}'
        question = "\n".join([qa.question, *lettered(choices)])
    else:
        output, question = 'A JSON object: {"answer": <one short sentence>}', qa.question
    request = context.request(
        stage="blind",
        record=record,
        prompt=prompt.version,
        system=fill(prompt.system, output=output),
        parts=(fill(prompt.user, question=question),),
        schema=answer_schema("blind"),
        sample=trial,
        model=context.recipe.blind.model,
        subject=Subject(record.path, claims=tuple(choices)),
        is_trial=True,
    )
    reply = await context.caller.call(request)
    if (unusable := judge_reply(reply, request.max_output_tokens)) is not None:
        return Rejection(f"{qa.qa_id}/blind", "check", *unusable, reply.text)
    answer = str(_field(reply.text, "answer") or "").strip()
    if choices:
        return chosen_letter(answer, choices) == letter_of(qa.answer, choices)
    return jaccard(shingles(answer), shingles(qa.answer)) >= _SAME_ANSWER


def _field(text: str, name: str) -> Any:
    """One field of a JSON answer; a plain text answer is its own field."""
    try:
        value = parse_json(text)
    except ValueError:
        return text
    return value.get(name) if isinstance(value, dict) else value


def answer_schema(stage: str) -> Schema:
    """The JSON that a check has to answer in."""
    if stage == "faithfulness":
        return _object("verdicts", {"type": "string", "enum": list(VERDICTS)}, is_list=True)
    return _object("answer", {"type": "string"}, is_list=False)


def _object(name: str, item: dict[str, Any], *, is_list: bool) -> Schema:
    value = {"type": "array", "items": item} if is_list else item
    schema = {
        "type": "object",
        "properties": {name: value},
        "required": [name],
        "additionalProperties": False,
    }
    return Schema(name, schema)
