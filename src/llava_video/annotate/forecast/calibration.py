"""Calibration of forecasts: by an earlier run's ledger, and by decoding some of the videos."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from av.error import FFmpegError

from llava_video.annotate.forecast.simulation import Rates
from llava_video.annotate.recipe import Describe
from llava_video.annotate.records import VideoRecord
from llava_video.annotate.videos.frames import pictures_between
from llava_video.calls.ledger import Ledger
from llava_video.errors import LlavaVideoError

STAGES = ("level1", "level2", "level3", "open_ended", "multi_choice", "faithfulness", "blind")
PAIRS_SHARE = (0.6, 0.85, 1.0)  # how many of the types asked for a video supports
_ENOUGH_CALLS = 5
_MOST_ATTEMPTS = 20_000


@dataclass(frozen=True, slots=True)
class Factors:
    """Prompt tokens that a model's server counted, over those forecast.

    Attributes:
        text: factor on the tokens of texts.
        image: factor on the tokens of pictures.
        num_calls: calls that were compared; 0 where there were too few.
    """

    text: float = 1.0
    image: float = 1.0
    num_calls: int = 0


def calibrate_tokens(ledger: Ledger, model: str) -> Factors:
    """Factors on token counts, by the ``usage`` that a model's server reported.

    Calls without pictures give the factor of texts; the rest of the others' tokens is pictures.
    """
    rows = ledger.query(
        "SELECT forecast_image_tokens > 0, COUNT(*), SUM(forecast_text_tokens),"
        " SUM(forecast_image_tokens), SUM(prompt_tokens) FROM calls"
        " WHERE model = ? AND usage_reported AND prompt_tokens > 0 AND stage != 'probe' GROUP BY 1",
        (model,),
    )
    found = {bool(row[0]): row[1:] for row in rows if row[1] >= _ENOUGH_CALLS}
    text = image = 1.0
    if False in found:
        _, texts, _, counted = found[False]
        text = counted / texts
    if True in found:
        _, texts, images, counted = found[True]
        image = max(0.0, counted - text * texts) / images
    return Factors(text, image, sum(row[0] for row in found.values()))


def calibrate_answers(
    ledger: Ledger, model: str, types_per_call: int
) -> dict[str, tuple[int, int, int]]:
    """(10 % less, mean, 10 % more) tokens per answer by stage, where enough were reported.

    For questions the unit is a pair; calls are taken to have asked for ``types_per_call`` types, of
    which the likely share was found.
    """
    rows = ledger.query(
        "SELECT stage, AVG(completion_tokens), COUNT(*) FROM calls"
        " WHERE model = ? AND usage_reported AND completion_tokens > 0 GROUP BY stage",
        (model,),
    )
    found = {}
    for stage, mean, number in rows:
        if number >= _ENOUGH_CALLS:
            is_pairs = stage in ("open_ended", "multi_choice")
            unit = mean / (types_per_call * PAIRS_SHARE[1]) if is_pairs else mean
            found[stage] = (round(unit * 0.9), round(unit), round(unit * 1.1))
    return found


def calibrate_rates(ledger: Ledger, model: str, rates: Rates) -> Rates:
    """Rates with the latencies and failures that an earlier run's attempts had.

    The latest attempts at calls of the model count, and those at calls that no model answered.
    Where there are too few, ``rates`` are returned as they are.
    """
    rows = ledger.query(
        "SELECT attempts.stage, outcome, seconds FROM attempts LEFT JOIN calls USING (key)"
        " WHERE seconds IS NOT NULL AND attempts.stage != 'probe' AND COALESCE(model, ?1) = ?1"
        " ORDER BY attempt_id DESC LIMIT ?2",
        (model, _MOST_ATTEMPTS),
    )
    answered = [(stage, seconds) for stage, outcome, seconds in rows if outcome == "ok"]
    failed = [seconds for _, outcome, seconds in rows if outcome != "ok"]
    if len(answered) < _ENOUGH_CALLS:
        return rates
    latencies: dict[str, list[float]] = {"": [seconds for _, seconds in answered]}
    for stage, seconds in answered:
        latencies.setdefault(stage, []).append(seconds)
    return dataclasses.replace(
        rates,
        latency_seconds={
            stage: found for stage, found in latencies.items() if len(found) >= _ENOUGH_CALLS
        },
        failed_share=len(failed) / len(rows),
        failed_seconds=sum(failed) / len(failed) if failed else 0.0,
    )


def measure_picture_seconds(
    records: Sequence[VideoRecord], rules: Describe, num_cores: int, seconds: float = 1.0
) -> float | None:
    """Seconds of a core for a picture that is sent: clips of the first videos, on all cores.

    Args:
        records: selected videos.
        rules: how frames are sampled, scaled and encoded.
        num_cores: threads that decode at the same time, as in a run.
        seconds: how long to measure, at least.

    Returns:
        None where no video can be read, which the run itself will report.
    """
    readable = [(r.path, r.facts) for r in records if r.facts is not None and not r.is_rejected]
    started = time.perf_counter()
    until = started + seconds

    def decode(first: int) -> int:
        number = 0
        for path, facts in readable[first::num_cores]:
            if number and time.perf_counter() > until:
                break
            end = min(rules.clip_seconds, facts.duration_seconds)
            try:
                number += len(pictures_between(path, 0.0, end, facts, rules)[0])
            except (LlavaVideoError, FFmpegError, OSError):
                continue
        return number

    with ThreadPoolExecutor(num_cores) as pool:
        num_pictures = sum(pool.map(decode, range(num_cores)))
    if not num_pictures:
        return None
    used = min(num_cores, len(readable))
    return (time.perf_counter() - started) * used / num_pictures


def forecast_against_actual(ledger: Ledger) -> list[dict[str, Any]]:
    """Per stage: calls, forecast and actual prompt tokens, their ratio, dollars.

    ``actual_over_forecast`` is over the calls whose usage was reported, and None without any.
    """
    forecast = "(forecast_text_tokens + forecast_image_tokens)"
    rows = ledger.query(
        f"SELECT stage, COUNT(*), SUM({forecast}), SUM(prompt_tokens), SUM(completion_tokens),"
        f" SUM(reasoning_tokens), SUM(usd), SUM({forecast} * (prompt_tokens > 0))"
        " FROM calls GROUP BY stage"
    )
    order = {stage: number for number, stage in enumerate(STAGES)}
    rows.sort(key=lambda row: (order.get(row[0], len(order)), row[0]))  # others call, too
    names = ("stage", "calls", "forecast_prompt_tokens", "prompt_tokens", "completion_tokens")
    result = []
    for *row, comparable in rows:
        values = dict(zip((*names, "reasoning_tokens", "usd"), row, strict=True))
        values["actual_over_forecast"] = round(row[3] / comparable, 3) if comparable else None
        result.append(values)
    return result
