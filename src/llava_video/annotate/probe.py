"""One small call of each kind before a run: what an endpoint refuses is found before it costs."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from llava_video.annotate.answers.captions import judge_caption, judge_reply
from llava_video.annotate.answers.pairs import find_pairs
from llava_video.annotate.recipe import Recipe
from llava_video.annotate.records import Caption, Provenance, VideoRecord
from llava_video.annotate.run_folder import Work
from llava_video.annotate.steps.ask import make_request
from llava_video.annotate.steps.check import answer_schema
from llava_video.annotate.steps.context import CanCall, Stage, StepContext
from llava_video.annotate.steps.describe import show
from llava_video.annotate.steps.prompts import fill
from llava_video.calls.annotator import AttemptError, remedy_for
from llava_video.calls.caller import Caller
from llava_video.calls.ledger import Ledger
from llava_video.calls.make_annotator import make_annotator
from llava_video.calls.messages import Part, Picture, Reply, Request, Subject
from llava_video.calls.pricing import load_prices
from llava_video.errors import EndpointError, InputError, LlavaVideoError

ITEM = "probe"
"""Stage of probes in the ledger, and what they are for: no video."""
_SIDE = 64
_DESCRIPTION = (
    "A red ball rolls from the left to the right over a green table, past a blue cup, and falls "
    "off the edge. A hand picks it up and puts it back on the left. The camera stays still."
)


@dataclass(frozen=True, slots=True)
class Probe:
    """How one kind of call went.

    Attributes:
        kind: the step that makes such calls.
        model: who was asked.
        problem: why it does not work, with the remedy; empty where it does.
        notes: what is worth knowing about the answer.
        seconds: how long it took.
        prompt_tokens: as the server counted.
        completion_tokens: as the server counted.
    """

    kind: str
    model: str
    problem: str = ""
    notes: str = ""
    seconds: float = 0.0
    prompt_tokens: int = 0
    completion_tokens: int = 0


def probe_requests(recipe: Recipe) -> Iterator[tuple[str, Request]]:
    """One request of each kind that a run makes, each as small as a real one can be."""
    for request in _requests(recipe):
        yield request.stage, dataclasses.replace(request, stage=ITEM)


def _requests(recipe: Recipe) -> Iterator[Request]:
    context = StepContext(recipe, _NoCaller())
    record = VideoRecord(ITEM, "")
    origin = Provenance("", recipe.endpoint.model, "")
    description = Caption(f"{ITEM}/L3/000", 3, 0.0, 1.0, _DESCRIPTION, origin)
    rules = recipe.describe
    num_pictures = max(1, round(rules.clip_seconds * rules.fps))
    yield _descriptive(context, record, "level1", show(_pictures(num_pictures, recipe), context))
    history = f"Description of 0 to 1 seconds: {_DESCRIPTION}\n\n"
    yield _descriptive(context, record, "level3", [], history)
    for kind in recipe.ask.kinds:
        yield make_request(record, description, kind, recipe.ask.types[:1], context)
    if recipe.faithfulness.enabled:
        pictures = _pictures(recipe.faithfulness.max_frames, recipe)
        own = StepContext(_with_frames(recipe), _NoCaller())
        prompt = context.prompt("faithfulness")
        yield context.request(
            stage="faithfulness",
            record=record,
            prompt=prompt.version,
            system=prompt.system,
            parts=(fill(prompt.user, claims="1. A picture is shown."), *show(pictures, own)),
            schema=answer_schema("faithfulness"),
            model=recipe.faithfulness.model,
            subject=Subject(),
        )
    if recipe.blind.enabled:
        prompt = context.prompt("blind")
        yield context.request(
            stage="blind",
            record=record,
            prompt=prompt.version,
            system=fill(prompt.system, output='A JSON object: {"answer": <letter>}'),
            parts=(fill(prompt.user, question="Which is a colour?\nA. red\nB. seven"),),
            schema=answer_schema("blind"),
            model=recipe.blind.model,
            subject=Subject(),
        )


async def probe_before(
    work: Work, recipe: Recipe, caller: CanCall, say: Callable[[str], None] = lambda text: None
) -> None:
    """Probe what a run is going to call, unless there is nothing to do or nobody to ask.

    Probes are calls like others: their answers are in the ledger, and asked for once.

    Raises:
        LlavaVideoError: the endpoint refuses a kind of call, or one of `caller.ENDS_THE_RUN`.
    """
    settings = recipe.endpoint
    if not work.todo or settings.model == "toy" or not settings.probe:
        return
    for kind, request in probe_requests(recipe):
        found = await probe_one(kind, request, recipe, caller)
        if found.problem:
            raise EndpointError(found.problem)


async def probe_one(kind: str, request: Request, recipe: Recipe, caller: CanCall) -> Probe:
    """Make one call, and say how it went."""
    started = time.monotonic()
    try:
        reply = await caller.call(request)
    except AttemptError as error:
        where = f"{kind}: {error}"
        is_fixed = not error.is_transient or error.outcome in ("bad_body", "error_body")
        remedy = remedy_for(error, request) if not error.is_transient else "check --base-url"
        problem = f"{where}; {remedy}" if is_fixed else ""
        notes = "" if is_fixed else where
        return Probe(kind, request.model, problem, notes, time.monotonic() - started)
    usage = reply.usage
    return Probe(
        *(kind, request.model, "", _notes(kind, request, reply, recipe)),
        time.monotonic() - started,
        usage.prompt_tokens if usage else 0,
        usage.completion_tokens if usage else 0,
    )


def probe(recipe: Recipe, folder: Path) -> list[Probe]:
    """Probe an endpoint anew, with a ledger of its own in a folder.

    Raises:
        InputError: the annotator is the toy one, which only answers about videos.
    """
    if recipe.endpoint.model == "toy":
        raise InputError("the toy annotator needs no probe; give --model of an endpoint")
    return asyncio.run(_probe(recipe, folder))


async def _probe(recipe: Recipe, folder: Path) -> list[Probe]:
    annotator = make_annotator(recipe.endpoint)
    ledger = Ledger(folder / "ledger.sqlite", recipe.max_usd)
    prices = load_prices(recipe.endpoint.prices_file)
    found = []
    try:
        for kind, request in probe_requests(recipe):
            # A caller of its own, as one that has stopped calls no more.
            caller = Caller(annotator, ledger, recipe.endpoint, prices)
            try:
                found.append(await probe_one(kind, request, recipe, caller))
            except LlavaVideoError as error:
                found.append(Probe(kind, request.model, str(error)))
    finally:
        await annotator.aclose()
        await ledger.aclose()
    return found


def _notes(kind: str, request: Request, reply: Reply, recipe: Recipe) -> str:
    notes = []
    if reply.thoughts:
        notes.append("thoughts are cut off")
    if reply.usage is None:
        notes.append("no usage, so dollars will be estimated")
    verdict = judge_reply(reply, request.max_output_tokens)
    if verdict is None and kind in ("level1", "level2", "level3"):
        verdict = judge_caption(reply.text, recipe.captions)
    if verdict is None and kind in ("open_ended", "multi_choice"):
        try:
            find_pairs(reply.text)
        except ValueError:
            verdict = ("unparsable", "no JSON of pairs in the answer")
    if verdict is not None:
        notes.append(": ".join(verdict))
    return "; ".join(notes)


def _descriptive(
    context: StepContext, record: VideoRecord, stage: Stage, shown: list[Part], history: str = ""
) -> Request:
    prompt = context.prompt(stage)
    values = {"history": history, "end": "1"} | ({"start": "0"} if stage == "level1" else {})
    return context.request(
        stage=stage,
        record=record,
        prompt=prompt.version,
        system=prompt.system,
        parts=(fill(prompt.user, **values), *shown),
        subject=Subject(),
    )


def _pictures(number: int, recipe: Recipe) -> list[Picture]:
    """Small pictures, each a little different, with times in them."""
    rules = recipe.describe
    pictures = []
    for place in range(number):
        pixels = np.full((_SIDE, _SIDE, 3), (40, 160, 60), np.uint8)
        left = place * (_SIDE - 16) // max(1, number - 1)
        pixels[24:40, left : left + 16] = (220, 30, 30)
        pictures.append(
            Picture.of(pixels, place / rules.fps, rules.image_detail, rules.jpeg_quality)
        )
    return pictures


def _with_frames(recipe: Recipe) -> Recipe:
    describe = recipe.describe.model_copy(update={"send": "frames"})
    return recipe.model_copy(update={"describe": describe})


class _NoCaller:
    """For a context that only writes requests."""

    async def call(self, request: Request) -> Reply:
        raise NotImplementedError
