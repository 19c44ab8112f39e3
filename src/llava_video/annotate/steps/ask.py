"""Questions and answers from the description: open-ended, multiple-choice, once or type by type."""

from __future__ import annotations

import asyncio
import dataclasses
from functools import cache
from typing import Any

from llava_video.annotate.recipe import Ask
from llava_video.annotate.records import QA, Caption, Kind, Provenance, Rejection, VideoRecord
from llava_video.annotate.steps.context import StepContext
from llava_video.annotate.steps.evidence import locate
from llava_video.annotate.steps.parse_json import is_nothing, parse_json
from llava_video.annotate.steps.prompts import dimensions, fill, load_prompt, version_with
from llava_video.calls.messages import Reply, Request, Schema, Subject
from llava_video.records.question_types import QUESTION_TYPES, find_type

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
    return dataclasses.replace(record, qas=located).noting(*rejections)


def type_groups(rules: Ask) -> list[tuple[str, ...]]:
    """The types that each call asks for."""
    return [rules.types] if rules.mode == "once" else [(slug,) for slug in rules.types]


async def _ask_group(
    record: VideoRecord,
    description: Caption,
    kind: Kind,
    types: tuple[str, ...],
    context: StepContext,
) -> Found:
    raw_text = ""
    for sample in range(context.recipe.ask.max_parse_retries + 1):
        request = make_request(record, description, kind, types, context, sample=sample)
        reply = await context.caller.call(request)
        try:
            pairs = _pairs_in(parse_json(reply.text))
        except ValueError:
            raw_text = reply.text
            continue
        return _read_pairs(record, description, pairs, request, reply)
    subject_id = f"{record.video_id}/{SHORT[kind]}" + (f"/{types[0]}" if len(types) == 1 else "")
    detail = f"no JSON in {context.recipe.ask.max_parse_retries + 1} answers"
    return [], [Rejection(subject_id, "ask", "unparsable", detail, raw_text)]


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
    prompt = load_prompt(kind)
    system, schema = instructions(kind, types, context.recipe.ask)
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


@cache
def instructions(kind: Kind, types: tuple[str, ...], rules: Ask) -> tuple[str, Schema]:
    """The system message for some types, and the schema of the answer."""
    values: dict[str, object] = {
        "dimensions": dimensions(types, kind),
        "output": _output_text(kind),
    }
    if kind == "multi_choice":
        values["num_distractors"] = rules.num_choices - 1
    return fill(load_prompt(kind).system, **values), _schema(kind, types)


def _output_text(kind: Kind) -> str:
    fields = '"type": <name of the dimension>, "question": <question>, "answer": <answer>'
    if kind == "multi_choice":
        fields += ', "wrong_answers": [<wrong answer>, ...]'
    return (
        f'Only a JSON object: {{"pairs": [{{{fields}}}, ...]}}. Leave out the dimensions that the '
        "description does not support; the list may be empty."
    )


def _schema(kind: Kind, types: tuple[str, ...]) -> Schema:
    titles = [t.title for t in QUESTION_TYPES if t.slug in types]
    text = {"type": "string"}
    fields: dict[str, Any] = {
        "type": {"type": "string", "enum": titles},
        "question": text,
        "answer": text,
    }
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


def _pairs_in(value: Any) -> list[dict[str, Any]]:
    """The pairs in a model's answer: our shape, a bare list, one pair, or a mapping by type."""
    if isinstance(value, dict):
        lower = {str(key).lower(): item for key, item in value.items()}
        if "pairs" in lower:
            value = lower["pairs"]
        elif "question" in lower:
            value = [value]
        else:
            value = [{"type": key, **item} for key, item in value.items() if isinstance(item, dict)]
    if value is None:
        value = []
    if not isinstance(value, list) or not all(isinstance(pair, dict) for pair in value if pair):
        raise ValueError("no list of pairs")
    return [{str(k).lower(): v for k, v in pair.items()} for pair in value if pair]


def _read_pairs(
    record: VideoRecord,
    description: Caption,
    pairs: list[dict[str, Any]],
    request: Request,
    reply: Reply,
) -> Found:
    qas: dict[str, QA] = {}
    rejections: list[Rejection] = []
    kind: Kind = "multi_choice" if request.stage == "multi_choice" else "open_ended"
    types = request.subject.types
    provenance = Provenance(
        request.key(), request.model, request.prompt, parents=(description.caption_id,)
    )
    for number, pair in enumerate(pairs):
        name = _text(pair.get("type") or pair.get("dimension") or "")
        slug = types[0] if len(types) == 1 else find_type(name)
        fallback_id = f"{record.video_id}/{SHORT[kind]}/{number}"
        if is_nothing(pair.get("question")) or is_nothing(pair.get("answer")):
            continue  # the model's way to say that this type does not fit
        if slug is None or slug not in types:
            rejections.append(
                Rejection(fallback_id, "ask", "unknown_type", name, _text(pair["question"]))
            )
            continue
        if slug in qas:
            rejections.append(
                Rejection(fallback_id, "ask", "repeated_type", slug, _text(pair["question"]))
            )
            continue
        answer = _text(pair["answer"])
        qas[slug] = QA(
            qa_id=f"{record.video_id}/{SHORT[kind]}/{slug}",
            kind=kind,
            type=slug,
            question=_text(pair["question"]),
            answer=answer,
            provenance=provenance,
            options=_options(answer, pair) if kind == "multi_choice" else (),
        )
    if reply.finish_reason == "length":
        detail = f"{request.stage}: the answer was cut off; only whole pairs were kept"
        rejections.append(Rejection(f"{record.video_id}/{SHORT[kind]}", "ask", "truncated", detail))
    return list(qas.values()), rejections


def _options(answer: str, pair: dict[str, Any]) -> tuple[str, ...]:
    """The right answer, then the wrong ones; some models list all choices instead."""
    wrong = pair.get("wrong_answers") or pair.get("distractors") or pair.get("options") or []
    texts = [_text(option) for option in wrong] if isinstance(wrong, list) else []
    if "options" in pair and answer in texts:
        texts.remove(answer)
    return (answer, *texts)


def _text(value: Any) -> str:
    """A value of a model's JSON as one line; lone surrogates are replaced."""
    if isinstance(value, bool):
        return "Yes" if value else "No"
    return " ".join(str(value).split()).encode(errors="replace").decode()
