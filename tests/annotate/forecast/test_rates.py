"""Rates of a simulation by a real run against an endpoint that is slow and fails at times."""

import pytest

from llava_video.annotate.forecast.calibration import calibrate_rates, measure_picture_seconds
from llava_video.annotate.forecast.forecast import make_forecast
from llava_video.annotate.forecast.simulation import Rates
from llava_video.annotate.recipe import load_recipe
from llava_video.annotate.records import Facts, VideoRecord
from llava_video.annotate.videos.discover import find_videos
from llava_video.annotate.videos.select import select_videos
from llava_video.calls.ledger import open_ledger
from llava_video.calls.pricing import load_prices
from tests.annotate.fake_endpoint import Failure, FakeEndpoint
from tests.annotate.running import recipe_for, run_quietly

ASSUMED = Rates(picture_seconds=0.123)


def test_latencies_and_failures_are_those_of_the_ledger(videos, tmp_path):
    def fail(request):
        return Failure() if request.number % 4 == 0 else None

    with FakeEndpoint(delay_seconds=0.05, fail=fail) as fake:
        recipe = recipe_for(fake)
        run_quietly(videos, recipe, tmp_path / "out")
        num_failed = fake.num_requests // 4
    ledger = open_ledger(tmp_path / "out")
    assert calibrate_rates(ledger, "another-model", ASSUMED) is ASSUMED
    found = calibrate_rates(ledger, recipe.endpoint.model, ASSUMED)
    assert found.picture_seconds == 0.123
    assert found.failed_share == pytest.approx(num_failed / fake.num_requests)
    assert len(found.latency_seconds[""]) == fake.num_requests - num_failed
    assert min(found.latency_seconds[""]) >= 0.05
    assert found.failed_seconds >= 0.05
    records = select_videos(find_videos([str(videos)]), recipe, None)
    forecast = make_forecast(records, recipe, load_prices(), ledger)
    assert forecast.measured_rates
    assert forecast.simulated.num_calls == forecast.num_calls
    assert not make_forecast(records, recipe, load_prices()).measured_rates


def test_a_run_that_made_no_call_says_nothing_about_rates(tmp_path):
    (tmp_path / "out").mkdir()
    from llava_video.calls.ledger import Ledger

    ledger = Ledger(tmp_path / "out" / "ledger.sqlite")
    assert calibrate_rates(ledger, "gpt-4o", ASSUMED) is ASSUMED
    ledger.close()


def test_pictures_are_timed_on_real_files_only(videos, tmp_path):
    recipe = load_recipe("open")
    records = select_videos(find_videos([str(videos)]), recipe, None)
    seconds = measure_picture_seconds(records, recipe.describe, 2, seconds=0.05)
    assert seconds is not None
    assert seconds > 0
    gone = [VideoRecord("v", str(tmp_path / "gone.mp4"), facts=Facts(10.0, 64, 48, 4.0))]
    assert measure_picture_seconds(gone, recipe.describe, 2, seconds=0.05) is None


def test_a_large_run_is_simulated_by_a_part_and_counted_whole():
    recipe = load_recipe("open", ["endpoint.rpm=600"])
    record = VideoRecord("v", "v.mp4", facts=Facts(20.0, 640, 360, 30.0))
    forecast = make_forecast([record] * 5000, recipe, load_prices(), num_cores=4)
    assert len(forecast.planned) == 1000
    assert forecast.simulated.num_calls == forecast.num_calls
    assert forecast.simulated.seconds == pytest.approx(forecast.num_calls / 600 * 60, rel=0.01) or (
        forecast.simulated.bottleneck == "calls"
    )
