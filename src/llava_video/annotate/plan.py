"""What a run would do and cost, before anything is spent; afterwards, forecast against actual."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from llava_video.annotate.frames import size_to_send
from llava_video.annotate.ledger import Ledger
from llava_video.annotate.messages import Usage
from llava_video.annotate.money import PriceTable, image_tokens, text_tokens
from llava_video.annotate.prompts import dimensions, load_prompt
from llava_video.annotate.recipe import Recipe
from llava_video.annotate.records import VideoRecord
from llava_video.annotate.windows import Step, timetable

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
SECONDS_PER_CALL = 5.0
_BOUNDS = (0, 1, 2)
_PAIRS_SHARE = (0.6, 0.85, 1.0)  # how many of the sixteen types a video supports


@dataclass(slots=True)
class StagePlan:
    """Calls and tokens of one stage; tokens as (least, likely, most)."""

    num_calls: int = 0
    num_images: int = 0
    prompt_tokens: list[int] = field(default_factory=lambda: [0, 0, 0])
    completion_tokens: list[int] = field(default_factory=lambda: [0, 0, 0])
    usd: list[float] | None = field(default_factory=lambda: [0.0, 0.0, 0.0])


@dataclass(frozen=True, slots=True)
class Plan:
    """A forecast.

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
        seconds: a rough duration of the run.
        price_date: of the price table.
        calibrated: whether answer lengths were measured in an earlier run's ledger.
    """

    num_videos: int
    num_selected: int
    rejected: dict[str, int]
    seconds_of_video: float
    num_clips: int
    stages: dict[str, StagePlan]
    num_calls: int
    usd: tuple[float, ...] | None
    usd_batch: tuple[float, ...] | None
    seconds: float
    price_date: str
    calibrated: bool


def make_plan(
    records: Iterable[VideoRecord], recipe: Recipe, prices: PriceTable, ledger: Ledger | None = None
) -> Plan:
    """Forecast a run over selected videos.

    Args:
        records: after selection.
        recipe: all choices.
        prices: the price table.
        ledger: of an earlier run; its mean answer lengths replace the assumed ones.
    """
    records = list(records)
    selected = [r for r in records if not r.is_rejected and r.facts is not None]
    answers = measured_answer_tokens(ledger) if ledger is not None else {}
    counter = _Counter(recipe, prices, ANSWER_TOKENS | answers)
    longest_chain = 0
    for record in selected:
        longest_chain = max(longest_chain, counter.add_video(record))
    num_calls = sum(stage.num_calls for stage in counter.stages.values())
    usd = counter.usd()
    rejected: dict[str, int] = {}
    for record in records:
        if record.is_rejected:
            reason = record.rejections[-1].reason
            rejected[reason] = rejected.get(reason, 0) + 1
    return Plan(
        num_videos=len(records),
        num_selected=len(selected),
        rejected=rejected,
        seconds_of_video=sum(r.facts.duration_seconds for r in selected if r.facts),
        num_clips=counter.stages["level1"].num_calls,
        stages=counter.stages,
        num_calls=num_calls,
        usd=usd,
        usd_batch=tuple(v * prices.batch_discount for v in usd) if usd is not None else None,
        seconds=_duration(num_calls, longest_chain, counter, recipe),
        price_date=prices.date,
        calibrated=bool(answers),
    )


def measured_answer_tokens(ledger: Ledger) -> dict[str, tuple[int, int, int]]:
    """(10 % less, mean, 10 % more) tokens per answer by stage, where at least five were measured.

    For questions the unit is a pair, of which the likely number per call is assumed.
    """
    rows = ledger.query(
        "SELECT stage, AVG(completion_tokens), COUNT(*) FROM calls"
        " WHERE usage_reported AND completion_tokens > 0 GROUP BY stage"
    )
    found = {}
    for stage, mean, number in rows:
        if number >= 5:
            per_pair = (
                mean / (16 * _PAIRS_SHARE[1]) if stage in ("open_ended", "multi_choice") else mean
            )
            found[stage] = (round(per_pair * 0.9), round(per_pair), round(per_pair * 1.1))
    return found


def forecast_against_actual(ledger: Ledger) -> list[dict[str, float | str]]:
    """Per stage: calls, forecast and actual prompt tokens, their ratio, dollars."""
    rows = ledger.query(
        "SELECT stage, COUNT(*), SUM(forecast_tokens), SUM(prompt_tokens), SUM(completion_tokens),"
        " SUM(reasoning_tokens), SUM(usd) FROM calls GROUP BY stage"
    )
    rows.sort(key=lambda row: list(ANSWER_TOKENS).index(row[0]))
    names = ("stage", "calls", "forecast_prompt_tokens", "prompt_tokens", "completion_tokens")
    result = []
    for row in rows:
        values = dict(zip((*names, "reasoning_tokens", "usd"), row, strict=True))
        values["actual_over_forecast"] = round(row[3] / row[2], 3) if row[2] else 0.0
        result.append(values)
    return result


class _Counter:
    def __init__(
        self, recipe: Recipe, prices: PriceTable, answers: dict[str, tuple[int, int, int]]
    ) -> None:
        self._recipe = recipe
        self._answers = answers
        self._price = prices.of(recipe.endpoint.model)
        self._check_prices = {
            "faithfulness": prices.of(recipe.faithfulness.model or recipe.endpoint.model),
            "blind": prices.of(recipe.blind.model or recipe.endpoint.model),
        }
        self.stages = {"level1": StagePlan(), "level2": StagePlan(), "level3": StagePlan()}

    def add_video(self, record: VideoRecord) -> int:
        """Count a video's calls; returns how many of them wait for each other."""
        steps = timetable(record.facts.duration_seconds, self._recipe.describe)  # type: ignore[union-attr]
        for step in steps:
            self._add_step(record, step, steps)
        chain = len(steps) + 1
        self._add_questions()
        if self._recipe.faithfulness.enabled:
            seconds = record.facts.duration_seconds  # type: ignore[union-attr]
            images = min(self._recipe.faithfulness.max_frames, int(seconds) or 1)
            texts = [self._answers["level3"][i] * 2 for i in _BOUNDS]
            self._add("faithfulness", 1, images * self._tokens_per_image(record), texts)
            self.stages["faithfulness"].num_images += images
            chain += 1
        if self._recipe.blind.enabled:
            per_kind = len(self._recipe.ask.types) * len(self._recipe.ask.kinds)
            calls = round(per_kind * _PAIRS_SHARE[1]) * self._recipe.blind.trials
            self._add("blind", calls, 0, [120, 150, 200])
            chain += 1
        return chain

    def _add_step(self, record: VideoRecord, step: Step, steps: list[Step]) -> None:
        stage = f"level{step.level}"
        texts = [text_tokens(load_prompt(stage).system) + 30 for _ in _BOUNDS]
        for index in [*step.clips, *([] if step.summary is None else [step.summary])]:
            for i in _BOUNDS:
                texts[i] += self._answers[f"level{steps[index].level}"][i]
        images = 0
        if step.level == 1:
            seconds = step.end_seconds - step.start_seconds
            images = max(1, round(seconds * self._recipe.describe.fps))
            self.stages[stage].num_images += images
        per_image = self._tokens_per_image(record) + 6  # with the time beside it
        self._add(stage, 1, images * per_image, texts)

    def _add_questions(self) -> None:
        ask = self._recipe.ask
        for kind in ask.kinds:
            groups = [ask.types] if ask.mode == "once" else [(slug,) for slug in ask.types]
            for types in groups:
                system = load_prompt(kind).system + dimensions(types, kind)
                texts = [text_tokens(system) + 250 + self._answers["level3"][i] for i in _BOUNDS]
                self._add(kind, 1, 0, texts, pairs=len(types))

    def _add(
        self, stage: str, num_calls: int, images: int, texts: list[int], pairs: int = 0
    ) -> None:
        plan = self.stages.setdefault(stage, StagePlan())
        plan.num_calls += num_calls
        price = self._check_prices.get(stage, self._price)
        for i in _BOUNDS:
            prompt = num_calls * (images + texts[i])
            answer = num_calls * self._answers[stage][i]
            if pairs:
                answer = max(1, round(pairs * _PAIRS_SHARE[i] * self._answers[stage][i]))
            plan.prompt_tokens[i] += prompt
            plan.completion_tokens[i] += answer
            if not price.is_known:
                plan.usd = None
            elif plan.usd is not None:
                plan.usd[i] += price.usd(Usage(prompt, answer))

    def _tokens_per_image(self, record: VideoRecord) -> int:
        rules = self._recipe.describe
        assert record.facts is not None
        height, width = size_to_send(record.facts, rules.image_max_side)
        return image_tokens(self._price, width, height, rules.image_detail)

    def usd(self) -> tuple[float, ...] | None:
        """(least, likely, most) dollars of everything."""
        amounts = [stage.usd for stage in self.stages.values()]
        if any(amount is None for amount in amounts):
            return None
        return tuple(sum(amount[i] for amount in amounts if amount) for i in _BOUNDS)


def _duration(num_calls: int, longest_chain: int, counter: _Counter, recipe: Recipe) -> float:
    """The slowest of: calls through the concurrency, the longest video, the limits per minute."""
    endpoint = recipe.endpoint
    tokens = sum(s.prompt_tokens[1] + s.completion_tokens[1] for s in counter.stages.values())
    per_call = 0.0 if endpoint.model == "toy" else SECONDS_PER_CALL
    return max(
        num_calls * per_call / endpoint.concurrency,
        longest_chain * per_call,
        60.0 * num_calls / endpoint.rpm if endpoint.rpm else 0.0,
        60.0 * tokens / endpoint.tpm if endpoint.tpm else 0.0,
    )
