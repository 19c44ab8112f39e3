"""Calibration of forecasts by the ledger of an earlier run: token counts and answer lengths."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from llava_video.calls.ledger import Ledger

STAGES = ("level1", "level2", "level3", "open_ended", "multi_choice", "faithfulness", "blind")
PAIRS_SHARE = (0.6, 0.85, 1.0)  # how many of the types asked for a video supports
_ENOUGH_CALLS = 5


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
