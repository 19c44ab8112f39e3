"""Forecast of a run: its calls, tokens, dollars and duration."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from llava_video.annotate.forecast.calibration import (
    PAIRS_SHARE,
    STAGES,
    Factors,
    calibrate_answers,
    calibrate_rates,
    calibrate_tokens,
)
from llava_video.annotate.forecast.simulation import (
    Fleet,
    PlannedCall,
    PlannedVideo,
    Rates,
    Simulated,
    simulate,
)
from llava_video.annotate.recipe import Recipe
from llava_video.annotate.records import Facts, VideoRecord
from llava_video.annotate.steps.ask import instructions, prompt_name, type_groups
from llava_video.annotate.steps.prompts import load_prompt
from llava_video.annotate.steps.schedule import Step, caption_schedule
from llava_video.annotate.videos.frames import count_between, count_spread, size_to_send
from llava_video.calls.ledger import Ledger
from llava_video.calls.messages import Usage
from llava_video.calls.pricing import MESSAGE_OVERHEAD_TOKENS, Price, PriceTable, image_tokens
from llava_video.calls.token_count import find_tokenizer, text_tokens

# Tokens that annotators write: (least, likely, most) per answer, or per question pair for `ask`.
ANSWER_TOKENS = {
    "level1": (80, 160, 320),
    "level2": (150, 320, 640),
    "level3": (220, 480, 960),
    "open_ended": (25, 45, 75),
    "multi_choice": (45, 75, 120),
    "faithfulness": (60, 120, 250),
    "blind": (5, 12, 40),
}
_MOST_SIMULATED = 1000  # videos, evenly taken; a larger run goes on at their rate
_JPEG_BYTES_PER_PIXEL = 0.17
TextBasis = Literal["calibrated", "counted", "estimated"]
_BOUNDS = (0, 1, 2)
_BLIND_QUESTION_TOKENS = (100, 130, 180)
_LABEL_TOKENS = 12  # "Description of 10 to 20 seconds: "
_TIME_TOKENS = 6  # "t=12.0s"


@dataclass(slots=True)
class StageForecast:
    """Calls and tokens of one stage; tokens as (least, likely, most)."""

    num_calls: int = 0
    num_images: int = 0
    prompt_tokens: list[int] = field(default_factory=lambda: [0, 0, 0])
    completion_tokens: list[int] = field(default_factory=lambda: [0, 0, 0])
    usd: list[float] | None = field(default_factory=lambda: [0.0, 0.0, 0.0])


@dataclass(frozen=True, slots=True)
class Forecast:
    """Forecast of a run.

    Attributes:
        num_videos: videos named.
        num_selected: videos that would be annotated.
        rejected: the others, by reason.
        seconds_of_video: total length of the selected ones.
        num_clips: level-1 clips.
        stages: calls and tokens by stage.
        num_calls: all calls.
        usd: (least, likely, most), or None where the model has no price.
        usd_batch: the same through batch files.
        planned: the calls of the videos that are simulated.
        simulated: the run as the simulation sees it: how long, and what it waits for.
        measured_rates: whether latencies and failures were measured in an earlier run.
        price_date: of the price table.
        measured_answers: whether answer lengths were measured in an earlier run.
        text_basis: where the tokens of texts come from: ``calibrated`` by what the server counted
            in an earlier run, ``counted`` with the model's vocabulary, or ``estimated`` from their
            length.
        factors: calibration of the tokens of texts and of pictures.
    """

    num_videos: int
    num_selected: int
    rejected: dict[str, int]
    seconds_of_video: float
    num_clips: int
    stages: dict[str, StageForecast]
    num_calls: int
    usd: tuple[float, ...] | None
    usd_batch: tuple[float, ...] | None
    planned: list[PlannedVideo]
    simulated: Simulated
    measured_rates: bool
    price_date: str
    measured_answers: bool
    text_basis: TextBasis
    factors: Factors


@dataclass(frozen=True, slots=True)
class _Model:
    """Price and calibration of one model: factors on token counts, lengths of answers."""

    price: Price
    factors: Factors
    answers: dict[str, tuple[int, int, int]]
    is_measured: bool

    @classmethod
    def of(cls, name: str, recipe: Recipe, prices: PriceTable, ledger: Ledger | None) -> _Model:
        if ledger is None:
            return cls(prices.of(name), Factors(), ANSWER_TOKENS, is_measured=False)
        is_free = recipe.ask.mode == "free"
        types_per_call = recipe.ask.num_free if is_free else len(type_groups(recipe.ask)[0])
        answers = calibrate_answers(ledger, name, types_per_call)
        factors = calibrate_tokens(ledger, name)
        return cls(prices.of(name), factors, ANSWER_TOKENS | answers, is_measured=bool(answers))

    @property
    def text_basis(self) -> TextBasis:
        if self.factors.num_calls:
            return "calibrated"
        return "counted" if find_tokenizer(self.price.tokenizer_name) is not None else "estimated"


def make_forecast(
    records: Iterable[VideoRecord],
    recipe: Recipe,
    prices: PriceTable,
    ledger: Ledger | None = None,
    *,
    rates: Rates | None = None,
    num_cores: int | None = None,
) -> Forecast:
    """Forecast a run over selected videos.

    Args:
        records: after selection.
        recipe: all choices.
        prices: the price table.
        ledger: of an earlier run, to calibrate by.
        rates: how fast decoding and calls are; the ledger's latencies come before these.
        num_cores: that decode; this machine's by default.
    """
    records = list(records)
    selected = [r for r in records if not r.is_rejected and r.facts is not None]
    counter = _Counter(recipe, prices, ledger)
    most = max(_MOST_SIMULATED, 4 * recipe.endpoint.concurrency)
    step = max(1, math.ceil(len(selected) / most))
    planned = [
        video
        for number, record in enumerate(selected)
        if (video := counter.add_video(record)) and number % step == 0
    ]
    assumed = rates or Rates()
    if recipe.endpoint.model == "toy":
        assumed = dataclasses.replace(assumed, latency_seconds={"": (0.0,)})
    found_rates = assumed
    if ledger is not None:
        found_rates = calibrate_rates(ledger, recipe.endpoint.model, assumed)
    num_calls = sum(stage.num_calls for stage in counter.stages.values())
    usd = counter.usd()
    rejected = dict(Counter(r.rejections[-1].reason for r in records if r.is_rejected))
    return Forecast(
        num_videos=len(records),
        num_selected=len(selected),
        rejected=rejected,
        seconds_of_video=sum(r.facts.duration_seconds for r in selected if r.facts),
        num_clips=counter.stages["level1"].num_calls,
        stages=counter.stages,
        num_calls=num_calls,
        usd=usd,
        usd_batch=tuple(v * prices.batch_discount for v in usd) if usd is not None else None,
        planned=planned,
        simulated=simulate(
            planned,
            _fleet(recipe, num_cores or os.cpu_count() or 1),
            found_rates,
            num_videos=len(selected),
        ),
        measured_rates=found_rates is not assumed,
        price_date=prices.date,
        measured_answers=counter.annotator.is_measured,
        text_basis=counter.annotator.text_basis,
        factors=counter.annotator.factors,
    )


def count_calls(records: Iterable[VideoRecord], recipe: Recipe) -> int:
    """How many calls a run over selected videos makes: `Forecast.num_calls` without its tokens."""
    questions = len(recipe.ask.kinds) * len(type_groups(recipe.ask))
    checks = recipe.faithfulness.enabled + recipe.blind.enabled * _num_blind_calls(recipe)
    return sum(
        len(caption_schedule(record.facts.duration_seconds, recipe.describe)) + questions + checks
        for record in records
        if not record.is_rejected and record.facts is not None
    )


def _num_blind_calls(recipe: Recipe) -> int:
    """Of one video: for each question that it is likely to support, as often as it is tried."""
    each = recipe.ask.num_free if recipe.ask.mode == "free" else len(recipe.ask.types)
    num_asked = each * len(recipe.ask.kinds)
    return round(num_asked * PAIRS_SHARE[1]) * recipe.blind.trials


class _Counter:
    """Adds calls up, stage by stage."""

    def __init__(self, recipe: Recipe, prices: PriceTable, ledger: Ledger | None) -> None:
        self._recipe = recipe
        own = recipe.endpoint.model
        names = dict.fromkeys(STAGES, own)
        names["faithfulness"] = recipe.faithfulness.model or own
        names["blind"] = recipe.blind.model or own
        models = {name: _Model.of(name, recipe, prices, ledger) for name in set(names.values())}
        self._models = {stage: models[name] for stage, name in names.items()}
        self.annotator = models[own]
        self.stages = {
            "level1": StageForecast(),
            "level2": StageForecast(),
            "level3": StageForecast(),
        }

    def add_video(self, record: VideoRecord) -> PlannedVideo:
        """Count a video's calls; returns them."""
        assert record.facts is not None
        facts, recipe = record.facts, self._recipe
        steps = caption_schedule(facts.duration_seconds, recipe.describe)
        groups: list[tuple[PlannedCall, ...]]
        groups = [(self._add_step(record.path, facts, step, steps),) for step in steps]
        groups.append(tuple(self._add_questions()))
        if recipe.faithfulness.enabled:
            num_images = count_spread(recipe.faithfulness.max_frames, facts, recipe.describe)
            claims = [2 * length for length in self._answer("level3")]
            groups.append((self._add("faithfulness", claims, facts=facts, num_images=num_images),))
        if recipe.blind.enabled:
            num_calls = _num_blind_calls(recipe)
            one = self._add("blind", _BLIND_QUESTION_TOKENS, num_calls=num_calls)
            groups.append((one,) * num_calls)
        return tuple(groups)

    def _add_step(self, path: str, facts: Facts, step: Step, steps: list[Step]) -> PlannedCall:
        stage = f"level{step.level}"
        texts = [0, 0, 0]
        for index in [*step.clips, *([] if step.summary is None else [step.summary])]:
            length = self._answer(f"level{steps[index].level}")
            texts = [texts[i] + length[i] + _LABEL_TOKENS for i in _BOUNDS]
        num_images = 0
        if step.level == 1:
            rules = self._recipe.describe
            num_images = count_between(path, step.start_seconds, step.end_seconds, facts, rules)
        prompt = load_prompt(stage, self._recipe.prompts)
        return self._add(
            stage, texts, prompt.system, prompt.user, facts=facts, num_images=num_images
        )

    def _add_questions(self) -> Iterator[PlannedCall]:
        ask = self._recipe.ask
        for kind in ask.kinds:
            for types in type_groups(ask):
                folder = self._recipe.prompts
                system, schema = instructions(kind, types, ask, folder)
                texts = [system, load_prompt(prompt_name(kind, ask), folder).user]
                if self._recipe.endpoint.structured == "json_schema":
                    texts.append(json.dumps(schema.schema))
                answer = self._answer(kind)
                num_pairs = ask.num_free if ask.mode == "free" else len(types)
                pairs = [num_pairs * PAIRS_SHARE[i] * answer[i] for i in _BOUNDS]
                answers = [max(1, round(length)) for length in pairs]
                yield self._add(kind, self._answer("level3"), *texts, answers=answers)

    def _add(
        self,
        stage: str,
        lengths: Sequence[int],
        *texts: str,
        num_calls: int = 1,
        facts: Facts | None = None,
        num_images: int = 0,
        answers: Sequence[int] | None = None,
    ) -> PlannedCall:
        """Count calls that send these texts, texts of these (least, likely, most) tokens, images.

        Returns:
            One of them, as it is likely.

        Args:
            stage: the step that asks.
            lengths: tokens of what earlier answers put into the prompt.
            texts: what every such prompt holds.
            num_calls: how many calls.
            facts: of the video, for the size of its pictures.
            num_images: pictures in each call, each with its time beside it.
            answers: tokens of the answer; the stage's usual ones by default.
        """
        model = self._models[stage]
        answers = self._answer(stage) if answers is None else answers
        images = num_images * self._tokens_per_image(facts, model) if facts else 0.0
        fixed = sum(text_tokens(text, model.price.tokenizer_name) for text in texts)
        fixed += MESSAGE_OVERHEAD_TOKENS + num_images * _TIME_TOKENS
        total = self.stages.setdefault(stage, StageForecast())
        total.num_calls += num_calls
        total.num_images += num_images
        for i in _BOUNDS:
            prompt = round(num_calls * (images + (fixed + lengths[i]) * model.factors.text))
            answer = num_calls * answers[i]
            total.prompt_tokens[i] += prompt
            total.completion_tokens[i] += answer
            if not model.price.is_known:
                total.usd = None
            elif total.usd is not None:
                total.usd[i] += model.price.usd(Usage(prompt, answer))
        likely = round(images + (fixed + lengths[1]) * model.factors.text)
        usd = model.price.usd(Usage(likely, answers[1])) if model.price.is_known else 0.0
        size = num_images * self._jpeg_bytes(facts) if facts else 0.0
        return PlannedCall(stage, num_images, likely, round(4 * likely + size), usd)

    def _answer(self, stage: str) -> tuple[int, int, int]:
        return self._models[stage].answers[stage]

    def _tokens_per_image(self, facts: Facts, model: _Model) -> float:
        rules = self._recipe.describe
        height, width = size_to_send(facts, rules.image_max_side)
        return image_tokens(model.price, width, height, rules.image_detail) * model.factors.image

    def _jpeg_bytes(self, facts: Facts) -> float:
        """Of a picture, in base64."""
        height, width = size_to_send(facts, self._recipe.describe.image_max_side)
        return height * width * _JPEG_BYTES_PER_PIXEL * 4 / 3

    def usd(self) -> tuple[float, ...] | None:
        """(least, likely, most) dollars of everything."""
        amounts = [stage.usd for stage in self.stages.values()]
        if any(amount is None for amount in amounts):
            return None
        return tuple(sum(amount[i] for amount in amounts if amount) for i in _BOUNDS)


def _fleet(recipe: Recipe, num_cores: int) -> Fleet:
    """This machine, and what the recipe says of the endpoint."""
    endpoint = recipe.endpoint
    return Fleet(
        num_cores=num_cores,
        concurrency=endpoint.concurrency,
        rpm=endpoint.rpm,
        tpm=endpoint.tpm,
        attempts=endpoint.attempts,
        max_wait_seconds=endpoint.max_wait_seconds,
        max_usd=recipe.max_usd,
    )
