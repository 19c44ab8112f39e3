"""Questions and answers from the description: open-ended, multiple-choice, once or type by type."""

from __future__ import annotations

import asyncio
import dataclasses
from functools import cache
from typing import Any

from llava_video.annotate.answers.captions import cut_off, judge_reply
from llava_video.annotate.answers.choices import index_base, one_line, read_answer, read_choices
from llava_video.annotate.answers.pairs import find_pairs, salvage_pairs
from llava_video.annotate.answers.refusals import find_refusal
from llava_video.annotate.recipe import Ask
from llava_video.annotate.records import QA, Caption, Kind, Provenance, Rejection, VideoRecord
from llava_video.annotate.steps.context import StepContext
from llava_video.annotate.steps.evidence import locate
from llava_video.annotate.steps.parse_json import is_nothing
from llava_video.annotate.steps.prompts import (
    FREE_FORM,
    dimensions,
    fill,
    load_prompt,
    question_types,
    type_named,
    version_with,
)
from llava_video.calls.messages import Reply, Request, Schema, Subject

Found = tuple[list[QA], list[Rejection]]
SHORT = {"open_ended": "oe", "multi_choice": "mc"}


async def ask(record: VideoRecord, context: StepContext) -> VideoRecord:
    """The record with its questions; what did not parse is rejected, with its raw text."""
    description = record.description
    assert description is not None, "the description comes first"
    rules = context.recipe.ask
    # All calls finish even when one fails, so that paid answers are kept.
    results = await asyncio.gather(
        *(
            _ask_group(record, description, kind, types, context)
            for kind in rules.kinds
            for types in type_groups(rules)
        ),
        return_exceptions=True,
    )
    qas: list[QA] = []
    rejections: list[Rejection] = []
    for result in results:
        if isinstance(result, BaseException):
            raise result
        qas += result[0]
        rejections += result[1]
    located = tuple(locate(qa, record.captions) for qa in qas)
    if not qas and not rejections and rules.kinds:
        kinds = " or ".join(kind.replace("_", "-") for kind in rules.kinds)
        detail = f"no {kinds} question came of its description"
        rejections.append(Rejection(f"{record.video_id}/questions", "ask", "no_question", detail))
    return dataclasses.replace(record, qas=located).noting(*rejections)


def type_groups(rules: Ask) -> list[tuple[str, ...]]:
    """The types that each call asks for."""
    if rules.mode == "free":
        return [(FREE_FORM,)]
    return [rules.types] if rules.mode == "once" else [(slug,) for slug in rules.types]


async def _ask_group(
    record: VideoRecord,
    description: Caption,
    kind: Kind,
    types: tuple[str, ...],
    context: StepContext,
) -> Found:
    """Questions of some types: asked for until an answer is whole, or tries are used up.

    Of an answer that was cut off, whole pairs are kept and only the types that are missing are
    asked for again; where not one came, half of them at a time.
    """
    qas: list[QA] = []
    left_out: list[Rejection] = []
    failure: tuple[str, str, str] | None = None
    waiting = [types]
    num_samples = context.num_samples(record, context.recipe.ask.max_parse_retries)
    for sample in range(num_samples):
        wanted = waiting.pop(0)
        request = make_request(record, description, kind, wanted, context, sample=sample)
        reply = await context.caller.call(request)
        verdict = judge_reply(reply, request.max_output_tokens)
        pairs = salvage_pairs(reply.text) if reply.is_cut_off else None
        if verdict is None:
            try:
                pairs = find_pairs(reply.text)
            except ValueError:
                refusal = find_refusal(reply.text)
                verdict = ("refusal", refusal) if refusal else ("unparsable", "no JSON of pairs")
        if pairs is not None:
            found, unfit = read_pairs(record, description, pairs, request, reply, context)
            new = [qa for qa in found if qa.qa_id not in {known.qa_id for known in qas}]
            qas += new
            left_out += unfit
            missing = tuple(t for t in wanted if t not in {qa.type for qa in new})
            if reply.is_cut_off and missing:
                waiting = [*_split(missing, bool(new)), *waiting]
            elif reply.is_cut_off and types == (FREE_FORM,):
                subject_id = f"{record.video_id}/{SHORT[kind]}"
                detail = f"{cut_off(reply, request.max_output_tokens)}; whole pairs were kept"
                left_out.append(Rejection(subject_id, "ask", "truncated", detail))
        else:
            waiting.insert(0, wanted)
        if verdict is not None and waiting:
            failure = (*verdict, reply.text or reply.thoughts)
        if not waiting:
            return qas, left_out
    assert failure is not None
    left_out.append(_given_up(record, kind, types, waiting, num_samples, failure))
    return qas, left_out


def _split(types: tuple[str, ...], is_some_whole: bool) -> list[tuple[str, ...]]:
    """How to ask for types that are missing."""
    middle = (len(types) + 1) // 2
    if is_some_whole or len(types) == 1:
        return [types]
    return [types[:middle], types[middle:]]


def _given_up(
    record: VideoRecord,
    kind: Kind,
    types: tuple[str, ...],
    waiting: list[tuple[str, ...]],
    num_samples: int,
    failure: tuple[str, str, str],
) -> Rejection:
    reason, detail, raw_text = failure
    missing = tuple(slug for group in waiting for slug in group)
    subject_id = f"{record.video_id}/{SHORT[kind]}" + (f"/{types[0]}" if len(types) == 1 else "")
    if missing != types:
        detail += f"; missing are {', '.join(missing)}"
    return Rejection(subject_id, "ask", reason, f"{detail} ({num_samples} answers)", raw_text)


def make_request(
    record: VideoRecord,
    description: Caption,
    kind: Kind,
    types: tuple[str, ...],
    context: StepContext,
    *,
    sample: int = 0,
) -> Request:
    """The request for some types. Definitions come first, for the server's prefix cache."""
    recipe = context.recipe
    prompt = load_prompt(prompt_name(kind, recipe.ask), recipe.prompts)
    system, schema = instructions(kind, types, recipe.ask, recipe.prompts)
    return context.request(
        stage=kind,
        record=record,
        prompt=version_with(prompt, system),
        system=system,
        parts=(fill(prompt.user, description=description.text),),
        schema=schema,
        sample=sample,
        subject=Subject(record.path, 0.0, description.end_seconds, types),
    )


def prompt_name(kind: Kind, rules: Ask) -> str:
    """Name of the prompt that asks for questions of a kind."""
    return f"free_{kind}" if rules.mode == "free" else kind


@cache
def instructions(
    kind: Kind, types: tuple[str, ...], rules: Ask, folder: str | None = None
) -> tuple[str, Schema]:
    """The system message for some types, and the schema of the answer."""
    is_free = rules.mode == "free"
    values: dict[str, object] = {"output": _output_text(kind, is_free)}
    if is_free:
        values["num_questions"] = rules.num_free
    else:
        values["dimensions"] = dimensions(types, kind, folder)
    if kind == "multi_choice":
        values["num_distractors"] = rules.num_choices - 1
    prompt = load_prompt(prompt_name(kind, rules), folder)
    return fill(prompt.system, **values), _schema(kind, types, folder)


def _output_text(kind: Kind, is_free: bool) -> str:
    fields = '"question": <question>, "answer": <answer>'
    if not is_free:
        fields = f'"type": <name of the dimension>, {fields}'
    if kind == "multi_choice":
        fields += ', "wrong_answers": [<wrong answer>, ...]'
    whole = f'Only a JSON object: {{"pairs": [{{{fields}}}, ...]}}.'
    if is_free:
        return whole
    return (
        f"{whole} Leave out the dimensions that the "
        "description does not support; the list may be empty."
    )


def _schema(kind: Kind, types: tuple[str, ...], folder: str | None) -> Schema:
    named = [t.title for t in question_types(folder) if t.slug in types]
    text = {"type": "string"}
    fields: dict[str, Any] = {"type": {"type": "string", "enum": named}} if named else {}
    fields |= {"question": text, "answer": text}
    if kind == "multi_choice":
        fields["wrong_answers"] = {"type": "array", "items": text}
    pair = {
        "type": "object",
        "properties": fields,
        "required": list(fields),
        "additionalProperties": False,
    }
    whole = {
        "type": "object",
        "properties": {"pairs": {"type": "array", "items": pair}},
        "required": ["pairs"],
        "additionalProperties": False,
    }
    return Schema(f"{kind}_pairs", whole)


def read_pairs(
    record: VideoRecord,
    description: Caption,
    pairs: list[dict[str, Any]],
    request: Request,
    reply: Reply,
    context: StepContext,
) -> Found:
    """Questions of the pairs that an answer holds; those that cannot be used have a reason."""
    qas: dict[str, QA] = {}
    rejections: list[Rejection] = []
    kind: Kind = "multi_choice" if request.stage == "multi_choice" else "open_ended"
    types, recipe = request.subject.types, context.recipe
    provenance = Provenance(
        reply.call_key or request.key(),
        request.model,
        request.prompt,
        parents=(description.caption_id,),
    )
    base = index_base(pairs)
    for number, pair in enumerate(pairs):
        if is_nothing(pair.get("question")) or is_nothing(read_answer(pair)):
            continue  # the model's way to say that this type does not fit
        name = one_line(pair.get("type") or pair.get("dimension") or "")
        slug = types[0] if len(types) == 1 else type_named(name, recipe.prompts)
        question = one_line(pair["question"])
        qa_id = f"{record.video_id}/{SHORT[kind]}/{slug}"
        if slug == FREE_FORM:
            qa_id += f"_{number + 1}"
        problem = None
        if slug is None or slug not in types:
            problem = ("unknown_type", name)
        elif qa_id in qas:
            problem = ("repeated_type", slug)
        if problem is not None:
            subject_id = f"{record.video_id}/{SHORT[kind]}/{number}"
            rejections.append(Rejection(subject_id, "ask", *problem, question))
            continue
        answer = one_line(read_answer(pair))
        options: tuple[str, ...] = ()
        if kind == "multi_choice":
            choices = read_choices(pair, recipe.ask.num_choices, base)
            if choices.problem:
                rejections.append(Rejection(qa_id, "ask", choices.problem, answer, question))
                continue
            answer, options = choices.answer, (choices.answer, *choices.wrong)
        assert slug is not None
        qas[qa_id] = QA(qa_id, kind, slug, question, answer, provenance, options)
    return list(qas.values()), rejections
