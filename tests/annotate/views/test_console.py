"""Screens: what a plan shows fits into 80 columns, and nothing of it is cut."""

import io

from rich.console import Console

from llava_video.annotate.forecast.calibration import STAGES, Factors
from llava_video.annotate.forecast.forecast import Forecast, StageForecast
from llava_video.annotate.forecast.simulation import Simulated
from llava_video.annotate.recipe import load_recipe
from llava_video.annotate.views.console import forecast_screen
from llava_video.pages.terminal import to_rich


def test_a_plan_of_any_size_fits_into_80_columns():
    stages = {
        name: StageForecast(
            *(987_654 * scale, 98_765_432 * scale),
            *([9_876_543_210 * scale] * 3, [987_654_321 * scale] * 3),
            [12_345.67 * scale, 0.1234, 99_999.99],
        )
        for scale, name in enumerate(STAGES)
    }
    usd = (1.0, 2.0, 3.0)
    run = Simulated(9.0, 9, 0, 9, 9, 2.0, {"cores": 0.5, "calls": 1.0}, 1.0)
    forecast = Forecast(
        *(9, 9, {}, 60.0, 9, stages, 9, usd, usd, [], run, False),
        *("2026-11-12", False, "counted", Factors()),
    )
    _, table, _ = forecast_screen(forecast, load_recipe("open"))
    output = io.StringIO()
    Console(file=output, width=80).print(to_rich(table))
    lines = output.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert len(lines) == len(STAGES) + 2  # no row is folded
    for row in table.rows:
        assert any(all(str(cell) in line for cell in row) for line in lines)
